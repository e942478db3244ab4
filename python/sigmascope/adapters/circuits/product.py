# SPDX-License-Identifier: BSD-3-Clause
"""The product of a circuit, with both factors in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.low_rank.exact import triangle_by_blocks

from .factors import Array


class CircuitProduct(LowRank):
    """A product whose factors were stored in the formats `storages`, before gains were included."""

    __slots__ = ("_arrays", "storages")
    _r_of = staticmethod(triangle_by_blocks)

    def __init__(self, B: Array, A: Array, storages: tuple[str, str]) -> None:
        super().__init__(B, A)
        self._arrays, self.storages = (B, A), storages

    def load(self) -> CircuitProduct:
        """Return the product itself, which is in memory."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return CircuitProduct, (*self._arrays, self.storages)

    def _factors(self) -> tuple[Array, Array]:
        finite = all(np.isfinite(array).all() for array in self._arrays)
        return self._arrays if finite else super()._factors()
