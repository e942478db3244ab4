# SPDX-License-Identifier: BSD-3-Clause
"""The product of a circuit, with both factors in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.low_rank.exact import Triangle, triangle_by_blocks

from .factors import Array
from .logits import LogitBound, LogitScale, RotaryPlanes, bound_logits, planes_of
from .rotary import Rotation


class HeldFactor:
    """The rows of one head, and the triangle of their transpose, which is computed once.

    Heads that share keys or values share this object.
    """

    __slots__ = ("_triangle", "rows")

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self._triangle: Triangle | None = None

    @property
    def triangle(self) -> Triangle:
        """R of W^T = Q R."""
        if self._triangle is None:
            self._triangle = triangle_by_blocks(self.rows.T)
        return self._triangle

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldFactor, (self.rows,)


@dataclass(frozen=True, slots=True)
class Positions:
    """The rotation of a W_q^T W_k, and the scale of its logits; None where they are not known."""

    rotation: Rotation | None
    scale: LogitScale | None


class CircuitProduct(LowRank):
    """A product whose factors were stored in the formats `storages`, before gains were included.

    `left` holds the transpose of B, `right` holds A. `positions` belongs to W_q^T W_k.
    """

    __slots__ = ("_held", "positions", "storages")

    def __init__(
        self,
        left: HeldFactor,
        right: HeldFactor,
        storages: tuple[str, str],
        positions: Positions | None = None,
    ) -> None:
        super().__init__(left.rows.T, right.rows)
        self._held, self.storages, self.positions = (left, right), storages, positions

    def load(self) -> CircuitProduct:
        """Return the product itself, which is in memory."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return CircuitProduct, (*self._held, self.storages, self.positions)

    def logit_bound(self) -> LogitBound | None:
        """Bound the magnitude of logits; None if their scale is not known."""
        if self.positions is None or self.positions.scale is None:
            return None
        self._factors()
        R_q, R_k = (held.triangle.R for held in self._held)
        return bound_logits(R_q, R_k, self.positions.rotation, self.positions.scale)

    def planes(self) -> RotaryPlanes | None:
        """Return the part of each rotary plane; None if the planes are not known."""
        if self.positions is None or self.positions.rotation is None:
            return None
        self._factors()
        R_q, R_k = (held.triangle.R for held in self._held)
        return planes_of(R_q, R_k, self.positions.rotation)

    def _factors(self) -> tuple[Array, Array]:
        finite = all(np.isfinite(held.rows).all() for held in self._held)
        return (self._held[0].rows.T, self._held[1].rows) if finite else super()._factors()

    def _r_of(self, X: Array) -> Triangle:
        for held in self._held:
            same = X.ctypes.data == held.rows.ctypes.data and X.strides == held.rows.T.strides
            if same and X.shape == held.rows.T.shape:
                return held.triangle
        return triangle_by_blocks(X)
