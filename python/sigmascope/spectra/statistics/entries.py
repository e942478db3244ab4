# SPDX-License-Identifier: BSD-3-Clause
"""Sums over the elements of a vector, and over the differences of two vectors, chunk by chunk.

Sums are stored as numbers of moderate size times powers of two. Elements whose squares underflow or
overflow are therefore not lost. Summation is pairwise within a chunk and exact over the chunks: the
error is about 1e-15 of the sum of the magnitudes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Measure

from .pairs import ABOVE, ROUNDING, is_rounded, units_of

Array = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.integer]

_HUGE = 2.0**1021
"""Magnitude above which numbers are halved before subtraction, since differences may overflow."""

_WHOLE = 2.0**53
"""Magnitude above which float64 does not hold every integer."""


class Total:
    """A sum of products, as a number times a power of two."""

    def __init__(self) -> None:
        self._parts: list[tuple[float, int]] = []

    def add(self, x: Array, y: Array, power: int = 0) -> None:
        """Add the products of the entries of two arrays of one shape, times 2**power."""
        (a, e), (b, f) = _scaled(x), _scaled(y)
        part = float(np.sum(a * b))
        if part != 0.0:
            self._parts.append((part, e + f + power))

    def split(self) -> tuple[float, int]:
        """Return a number and an even exponent: the sum is number * 2**exponent."""
        top = max((e for _, e in self._parts), default=0)
        top += top % 2
        # Parts below 2**-1000 of the largest do not change the sum in float64.
        return math.fsum(math.ldexp(s, max(e - top, -1000)) for s, e in self._parts), top

    def root(self) -> float | None:
        """Return the square root of a sum of squares; None if it is beyond float64."""
        number, exponent = self.split()
        return _power(math.sqrt(number), exponent // 2)


def _scaled(x: Array) -> tuple[Array, int]:
    """Return an array times a power of two whose largest entry is in [1/2, 1), and the power."""
    exponent = int(np.frexp(np.max(np.abs(x), initial=0.0))[1])
    return np.ldexp(x, -exponent), exponent


def _power(number: float, exponent: int) -> float | None:
    """Return number * 2**exponent; None where that is beyond float64."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return None


@dataclass(slots=True)
class VectorStatistics:
    """Statistics of the numbers of one vector.

    Attributes
    ----------
    count, zeros, nan, inf, masked
        Numbers of elements, exact zeros, NaNs, infinities, and negative infinities.
    first
        Index of the first NaN or infinity in C order, or None.
    least, greatest
        Smallest and largest finite number; None if no number is finite.
    """

    count: int = 0
    zeros: int = 0
    nan: int = 0
    inf: int = 0
    masked: int = 0
    first: int | None = None
    least: float | None = None
    greatest: float | None = None
    squares: Total = field(default_factory=Total)
    sum: Total = field(default_factory=Total)

    def add(self, numbers: Numbers) -> Array:
        """Add a chunk; return it in float64, with zeros in place of NaN and infinity."""
        x = np.asarray(numbers, dtype=np.float64)
        finite = np.isfinite(x)
        if not finite.all():
            if self.first is None:
                self.first = self.count + int(np.argmin(finite))
            self.masked += int(np.sum(np.isneginf(x)))
            nan = int(np.isnan(x).sum())
            self.nan += nan
            self.inf += int(np.sum(~finite)) - nan
            x = np.where(finite, x, 0.0)
        self.count += len(x)
        self.zeros += int(np.sum(finite & (x == 0.0)))
        if finite.any():
            low, high = float(x[finite].min()), float(x[finite].max())
            self.least = low if self.least is None else min(self.least, low)
            self.greatest = high if self.greatest is None else max(self.greatest, high)
        self.squares.add(x, x)
        self.sum.add(x, np.ones_like(x))
        return x

    @property
    def finite(self) -> bool:
        """True if no number is NaN or infinite."""
        return self.nan == self.inf == 0

    @property
    def is_mask(self) -> bool:
        """True if all numbers are 0 or -inf and both occur, as in an attention mask.

        If all are -inf, the tensor may be a weight that has diverged.
        """
        return 0 < self.masked == self.inf == self.count - self.zeros < self.count

    @property
    def largest(self) -> float:
        """Largest magnitude of a finite number; 0 if there is none."""
        return max(-(self.least or 0.0), self.greatest or 0.0, 0.0)

    @property
    def mean(self) -> float | None:
        """Mean of the finite numbers; None if no number is finite."""
        number, exponent = self.sum.split()
        known = self.count - self.nan - self.inf
        return _power(number / known, exponent) if known else None


@dataclass(slots=True)
class VectorChange:
    """Statistics of two vectors of one length: before, after, and after - before.

    Attributes
    ----------
    formats
        Formats in which both are stored: "f32", "bf16", "i64" and so on; integers are not rounded.
    before, after
        Statistics of each vector.
    changed
        Number of elements that are not exactly the same; NaN equals NaN.
    beyond
        Number of these that differ by more than a unit in the last place of the coarser format.
        That is the largest difference between two roundings of one number; integers are not
        rounded.
    largest
        Largest magnitude of a difference of finite numbers; None if it is beyond float64.
    """

    formats: tuple[str, str]
    before: VectorStatistics = field(default_factory=VectorStatistics)
    after: VectorStatistics = field(default_factory=VectorStatistics)
    changed: int = 0
    beyond: int = 0
    largest: float | None = 0.0
    change: Total = field(default_factory=Total)
    product: Total = field(default_factory=Total)
    inner: Total = field(default_factory=Total)
    rounding: Total = field(default_factory=Total)

    def add(self, one: Numbers, two: Numbers) -> None:
        """Add the numbers at the same positions of both vectors."""
        differ = _differ(one, two)
        self.changed += int(differ.sum())
        x, y = self.before.add(one), self.after.add(two)
        power = int(max(np.max(np.abs(x), initial=0.0), np.max(np.abs(y), initial=0.0)) > _HUGE)
        d = np.ldexp(y, -power) - np.ldexp(x, -power)
        reach = np.zeros_like(d)
        for numbers, kind in ((x, self.formats[0]), (y, self.formats[1])):
            if is_rounded(kind):
                unit, closer = units_of(numbers, kind)
                error = unit / np.where(closer, 4.0, math.sqrt(12.0))
                self.rounding.add(error, error)
                reach = np.maximum(reach, np.ldexp(unit, -power))
        # Integers beyond 2**53 may differ although their difference in float64 is zero.
        self.beyond += int(np.sum(differ & ((np.abs(d) > reach) | (reach == 0.0))))
        largest = _power(float(np.max(np.abs(d), initial=0.0)), power)
        both = self.largest is not None and largest is not None
        self.largest = max(self.largest or 0.0, largest or 0.0) if both else None
        self.change.add(d, d, 2 * power)
        self.product.add(d, x, power)
        self.inner.add(x, y)

    @property
    def relative_change(self) -> Measure | None:
        """||after - before|| / ||before||; None if before is zero."""
        (change, e), (before, f) = self.change.split(), self.before.squares.split()
        if before == 0.0:
            return None
        value = _power(math.sqrt(change / before), (e - f) // 2)
        return None if value is None else Measure(value, ROUNDING * value, "exact")

    @property
    def cosine(self) -> Measure | None:
        """Cosine between before and after; None if one of them is zero."""
        inner, e = self.inner.split()
        (one, f), (two, g) = self.before.squares.split(), self.after.squares.split()
        if one == 0.0 or two == 0.0:
            return None
        value = _power(inner / math.sqrt(one) / math.sqrt(two), e - (f + g) // 2)
        return None if value is None else Measure(min(max(value, -1.0), 1.0), ROUNDING, "exact")

    @property
    def decay_coefficient(self) -> Measure | None:
        """Coefficient c of the projection c * before of the change; None if before is zero."""
        (product, e), (before, f) = self.product.split(), self.before.squares.split()
        change = self.relative_change
        if before == 0.0 or change is None:
            return None
        value = _power(product / before, e - f)
        return None if value is None else Measure(value, ROUNDING * change.value, "exact")

    @property
    def floor(self) -> float | None:
        """Expected ||after - before|| from rounding only; None if a format is not known."""
        known = all(is_rounded(kind) or _is_integer(kind) for kind in self.formats)
        return self.rounding.root() if known else None

    @property
    def above_rounding(self) -> bool | None:
        """True if rounding cannot explain half of the squared change, or one element's change."""
        if self.floor is None:
            return None
        (change, e), (rounding, f) = self.change.split(), self.rounding.split()
        if self.beyond > 0 or rounding == 0.0:
            return self.changed > 0
        ratio = _power(change / rounding, e - f)
        return ratio is None or ratio > ABOVE


def _is_integer(kind: str) -> bool:
    return kind == "bool" or kind[0] in "ui"


def _differ(one: Numbers, two: Numbers) -> NDArray[np.bool_]:
    """Return which numbers differ, compared exactly, whatever their types."""
    whole = [x for x in (one, two) if x.dtype.kind != "f"]
    mixed = one.dtype.kind != two.dtype.kind
    if mixed and any(np.any(np.abs(x.astype(np.float64)) >= _WHOLE) for x in whole):
        return np.asarray(one.astype(object) != two.astype(object), dtype=bool)
    mask = np.asarray(one != two)
    return mask if whole else mask & ~(np.isnan(one) & np.isnan(two))
