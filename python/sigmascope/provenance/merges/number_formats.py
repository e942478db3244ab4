# SPDX-License-Identifier: BSD-3-Clause
"""Formats of stored numbers, and the cells of real numbers that round to each of them.

All functions take and return float64, which holds every number of these formats, every midpoint of
neighbours, and every spacing exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

_EXPONENT = np.int64(0x7FF0_0000_0000_0000)
_FRACTION = np.int64(0x000F_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A binary floating-point format with subnormal numbers, rounded to nearest, ties to even.

    Attributes
    ----------
    name
        The name that a matrix has for it in ``Matrix.storage``.
    words
        The name in sentences.
    digits
        Binary digits of a normal number, with the leading one.
    least
        Exponent of the least positive number, a power of two.
    largest
        The largest finite number.
    saturates
        True if there is no infinity, and casts may give the largest number instead.
    """

    name: str
    words: str
    digits: int
    least: int
    largest: float
    saturates: bool = False

    def spacing(self, x: Reals) -> Reals:
        """Return the distance of neighbours in the binade of each real number."""
        bits = np.asarray(x, np.float64).view(np.int64) & _EXPONENT
        power = bits.view(np.float64) * 2.0 ** (1 - self.digits)
        return np.maximum(power, 2.0**self.least)

    def round(self, x: Reals) -> Reals:
        """Return the nearest number of the format to each real number."""
        unit = self.spacing(x)
        with np.errstate(invalid="ignore"):
            nearest = np.rint(x / unit) * unit
        beyond = np.abs(nearest) > self.largest
        if np.any(beyond) or not np.all(np.isfinite(nearest)):
            edge = self.largest if self.saturates else np.inf
            nearest = np.where(beyond, np.copysign(edge, x), nearest)
            nearest = np.where(np.isinf(x), np.copysign(edge, x), nearest)
        return nearest

    def next_up(self, stored: Reals) -> Reals:
        """Return the next larger number of the format; beyond the largest, one spacing more."""
        unit = self.spacing(stored)
        power_of_two = np.asarray(stored, np.float64).view(np.int64) & _FRACTION == 0
        nearer = (stored < 0) & power_of_two & (unit > 2.0**self.least)
        return np.asarray(stored + np.where(nearer, unit / 2, unit))

    def next_down(self, stored: Reals) -> Reals:
        """Return the next smaller number of the format."""
        return -self.next_up(-stored)

    def cells(self, stored: Reals, rounding: str = "nearest") -> tuple[Reals, Reals]:
        """Return the ends of the closed intervals of the real numbers that are stored so.

        An interval is closed at both ends. If the last digit of the number is odd, that is one
        point more at each end, where ties go to the neighbour. NaN has an empty interval.

        Parameters
        ----------
        stored
            Numbers of the format.
        rounding
            "nearest"; "toward zero", if low digits are cut off; "either", if both neighbours of a
            real number may stand for it, as in stochastic rounding.
        """
        with np.errstate(invalid="ignore"):
            below, above = self.next_down(stored), self.next_up(stored)
            if rounding == "nearest":
                low, high = (below + stored) / 2, (stored + above) / 2
            elif rounding == "toward zero":
                low = np.where(stored > 0, stored, below)
                high = np.where(stored < 0, stored, above)
            else:
                low, high = below, above
        if np.any(np.abs(stored) >= self.largest) or np.any(np.isnan(stored)):
            low, high = self._ends_of_the_range(np.asarray(stored), low, high)
        return low, high

    def _ends_of_the_range(self, stored: Reals, low: Reals, high: Reals) -> tuple[Reals, Reals]:
        largest = self.largest
        edge = largest + self.spacing(np.array(largest)) / 2
        low = np.where(stored == np.inf, edge, np.where(stored == -np.inf, -np.inf, low))
        high = np.where(stored == -np.inf, -edge, np.where(stored == np.inf, np.inf, high))
        if self.saturates:
            high = np.where(stored == largest, np.inf, high)
            low = np.where(stored == -largest, -np.inf, low)
        return np.where(np.isnan(stored), np.inf, low), np.where(np.isnan(stored), -np.inf, high)

    def sources(self, low: Reals, high: Reals) -> tuple[Reals, Reals]:
        """Return the reals whose rounded value lies in each interval; low > high if there are none.

        Rounding is monotone, so these are an interval, too: from the lower end of the cell of the
        first number of the format in the interval to the upper end of the cell of the last.
        """
        first = self._first_at_least(low)
        last = -self._first_at_least(-high)
        empty = ~(first <= last)
        lower, upper = self.cells(first)[0], self.cells(last)[1]
        return np.where(empty, np.inf, lower), np.where(empty, -np.inf, upper)

    def _first_at_least(self, x: Reals) -> Reals:
        """Return the least number of the format that is not below each real number."""
        unit = self.spacing(x)
        with np.errstate(invalid="ignore"):
            first = np.ceil(x / unit) * unit
        first = np.where(first > self.largest, np.inf, first)
        first = np.where(first < -self.largest, -self.largest, first)
        return np.where(np.isinf(x), x, first)


FORMATS = {
    each.name: each
    for each in (
        NumberFormat("f32", "float32", 24, -149, 3.4028234663852886e38),
        NumberFormat("bf16", "bfloat16", 8, -133, 3.3895313892515355e38),
        NumberFormat("f16", "float16", 11, -24, 65504.0),
        NumberFormat("f8_e4m3", "float8 (e4m3)", 4, -9, 448.0, saturates=True),
        NumberFormat("f8_e5m2", "float8 (e5m2)", 3, -16, 57344.0),
    )
}
"""Formats whose cells are known, by the names of ``Matrix.storage``."""
