# SPDX-License-Identifier: BSD-3-Clause
"""Sums of arrays whose bits do not depend on the order of their terms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_BITS = 40
_STEP = 16
_CHUNK = 2**16

MOST_TERMS = 2**22
"""Largest number of terms of a sum. The sums of their 40-bit words then fit into 63 bits."""


class ExactSum:
    """A sum of arrays, stored as integers, which makes addition associative.

    Each term is rounded once, to a grid at least 65 bits below its own largest entry (in steps of
    16 bits). It is added as two words of 40 bits: units[0] * 2^(e - 40) + units[1] * 2^(e - 80) for
    the grid of exponent e. With `keep_remainder`, the rounding error of a term goes to a finer
    grid, and nothing above 2^-1000 of the largest entry is lost.

    Terms and sums may be in units of a power of two: then every float64 number is in range.

    Memory: 16 bytes for every element and grid. The caller must add at most `MOST_TERMS` terms.
    """

    def __init__(self, shape: tuple[int, ...], *, keep_remainder: bool = False) -> None:
        self.shape = shape
        self.size = math.prod(shape)
        self.keep_remainder = keep_remainder
        self.grids: dict[int, NDArray[np.int64]] = {}

    def add(
        self, term: NDArray[np.float64] | np.float64, first_row: int = 0, unit: int = 0
    ) -> None:
        """Add a term of finite numbers: a whole array, or rows of it from `first_row` on.

        The numbers are in units of 2^unit; `unit` is a multiple of 16.
        """
        assert unit % _STEP == 0
        flat = np.ascontiguousarray(term, dtype=np.float64).reshape(-1)
        start = first_row * math.prod(self.shape[1:])
        while (largest := max(flat.max(initial=0.0), -flat.min(initial=0.0))) > 0.0:
            exponent = grid_of(float(largest))
            units = self._grid(exponent + unit)
            rest = np.empty_like(flat) if self.keep_remainder else None
            for i in range(0, len(flat), _CHUNK):
                part = _scaled(flat[i : i + _CHUNK], _BITS - exponent)
                upper = np.rint(part)
                below = (part - upper) * 2.0**_BITS
                lower = np.rint(below)
                here = slice(start + i, start + i + len(part))
                units[0, here] += upper.astype(np.int64)
                units[1, here] += lower.astype(np.int64)
                if rest is not None:
                    rest[i : i + len(part)] = _scaled(below - lower, exponent - 2 * _BITS)
            if rest is None:
                return
            flat = rest

    def merge(self, other: ExactSum) -> None:
        """Add another sum, which is not changed."""
        for exponent, units in list(other.grids.items()):
            total = self._grid(exponent)
            total += units

    @property
    def highest(self) -> int:
        """Exponent of the highest grid, a multiple of 16. Terms are smaller than 2^highest."""
        return max(self.grids, default=0)

    def value(self, unit: int = 0) -> NDArray[np.float64]:
        """Return the sum in units of 2^unit, rounded to float64; infinite where out of range."""
        total = np.zeros(self.size)
        with np.errstate(over="ignore", invalid="ignore"):
            for exponent in sorted(self.grids):
                for i in range(0, self.size, _CHUNK):
                    upper, lower = self.grids[exponent][:, i : i + _CHUNK].astype(np.float64)
                    total[i : i + _CHUNK] += _scaled(lower, exponent - unit - 2 * _BITS)
                    total[i : i + _CHUNK] += _scaled(upper, exponent - unit - _BITS)
        return total.reshape(self.shape)

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        """Return the state to save: the exponents of the grids, and an array for each."""
        units = {f"units_{exponent}": units for exponent, units in self.grids.items()}
        return {"exponents": np.array(list(self.grids), np.int64), **units}

    def restore(self, arrays: Mapping[str, NDArray[np.int64]]) -> None:
        """Restore the state of :meth:`arrays`; KeyError or ValueError if it does not fit."""
        for exponent in arrays["exponents"].tolist():
            units = arrays[f"units_{exponent}"]
            if units.shape != (2, self.size) or units.dtype != np.int64:
                form = f"{units.dtype} of shape {units.shape}"
                raise ValueError(f"units_{exponent} is {form}, not int64 of {(2, self.size)}")
            self.grids[int(exponent)] = units

    def _grid(self, exponent: int) -> NDArray[np.int64]:
        if exponent not in self.grids:
            self.grids[exponent] = np.zeros((2, self.size), np.int64)
        return self.grids[exponent]


def grid_of(largest: float) -> int:
    """Return the exponent of the grid for a term with this largest entry."""
    return -(-math.frexp(largest)[1] // _STEP) * _STEP


def _scaled(x: NDArray[np.float64], power: int) -> NDArray[np.float64]:
    """Multiply by 2^power."""
    return np.ldexp(x, power) if abs(power) > 1000 else x * 2.0**power
