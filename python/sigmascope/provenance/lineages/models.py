# SPDX-License-Identifier: BSD-3-Clause
"""Models as the tests see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .blocks import Floats, Integers
from .features import Features, Layer, LayerFeatures, Order
from .vocabularies import Vocabulary


class Model(Protocol):
    """A model as the tests see it: features by layer, from files or from a fingerprint."""

    name: str
    units: int | None
    seed: int

    @property
    def layers(self) -> Mapping[Layer, int]:
        """The number of hidden units of each layer."""

    @property
    def nbytes(self) -> int:
        """Bytes that were read."""

    @property
    def slopes(self) -> bool:
        """True if the heads differ by number."""

    def layer(self, layer: Layer) -> LayerFeatures | None:
        """Return the features of the units of one layer."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The rows of the embedding."""

    def coordinates(self, tokens: Integers | None = None) -> tuple[Features | None, Order]:
        """Return the residual coordinates by tokens, and whether their order is information."""

    def related_coordinates(self, layers: Sequence[Layer]) -> Features | None:
        """Return the residual coordinates by their products in some layers."""

    def heads(self, layers: Sequence[Layer]) -> Mapping[Layer, Features]:
        """Return the heads of some layers."""

    def embeddings(self, tokens: Integers) -> Floats | None:
        """Return rows of the embedding as they are."""

    def units_along(self, layer: Layer, basis: Floats) -> Features | None:
        """Return the units of one layer by their products with directions of the residual."""

    def assignable(self, layer: Layer, basis: Floats | None = None) -> Mapping[str, Floats]:
        """Return sketches of all rows of gate and up, for the calibrated match of units."""
