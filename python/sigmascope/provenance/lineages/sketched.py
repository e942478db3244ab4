# SPDX-License-Identifier: BSD-3-Clause
"""Models of which only narrow sketches are compared, so that a small file can stand for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .blocks import Floats, Integers
from .features import Features, Layer, LayerFeatures, Order, choose_things, sketch_features
from .models import Model
from .vocabularies import Vocabulary

FINGERPRINT_WIDTH = 16
"""Sums of features that a fingerprint keeps of each view."""


class SketchedModel:
    """A model whose views have at most `width` features.

    The map from features to sums is fixed and does not see the things, so all tests stay exact;
    the standardised statistic falls by the square root of the share of features that is left.
    """

    def __init__(self, model: Model, width: int = FINGERPRINT_WIDTH) -> None:
        self._model, self._width = model, width
        self.name, self.units, self.seed, self.slopes = (
            model.name,
            model.units,
            model.seed,
            model.slopes,
        )
        self.layers: Mapping[Layer, int] = model.layers

    @property
    def nbytes(self) -> int:
        """Bytes that were read."""
        return self._model.nbytes

    def _narrow(self, features: Features) -> Features:
        return sketch_features(features, self._width, self.seed)

    def layer(self, layer: Layer) -> LayerFeatures | None:
        """Return the features of the units of one layer."""
        features = self._model.layer(layer)
        if features is None:
            return None
        units = self._narrow(features.units)
        return LayerFeatures(
            units,
            self._narrow(features.relations),
            among(units, features.sketch),
            features.order,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The rows of the embedding; without texts, since rows of another choice are not kept."""
        return Vocabulary(self._model.vocabulary.rows, self._model.vocabulary.digest)

    def coordinates(self, tokens: Integers | None = None) -> tuple[Features | None, Order]:
        """Return the residual coordinates by tokens, and whether their order is information."""
        features, order = self._model.coordinates(tokens)
        return None if features is None else self._narrow(features), order

    def related_coordinates(self, layers: Sequence[Layer]) -> Features | None:
        """Return the residual coordinates by their products in some layers."""
        features = self._model.related_coordinates(layers)
        return None if features is None else self._narrow(features)

    def heads(self, layers: Sequence[Layer]) -> dict[Layer, Features]:
        """Return the heads of some layers."""
        heads = self._model.heads(layers)
        return {layer: self._narrow(features) for layer, features in heads.items()}

    def embeddings(self, tokens: Integers) -> Floats | None:
        """Return nothing: a sketch has no rows of weights."""
        return None

    def units_along(self, layer: Layer, basis: Floats) -> Features | None:
        """Return nothing: a sketch has no rows of weights."""
        return None

    def assignable(self, layer: Layer, basis: Floats | None = None) -> dict[str, Floats]:
        """Return nothing: a sketch is too narrow to match units."""
        return {}


def among(units: Features, others: Features) -> Features:
    """Return the units whose numbers are among those of others."""
    places = units.numbers.searchsorted(others.numbers)
    return choose_things(units, places)
