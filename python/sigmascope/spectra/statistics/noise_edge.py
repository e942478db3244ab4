# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular value that noise of the observed bulk reaches in 99 of 100 matrices.

The edge of Marchenko and Pastur applies to independent entries of one variance. Noise spreads
further if its rows, columns or entries have different sizes, or depend on their neighbours. Its
bulk shows it: the logarithms of the upper half of the values, minus those of even noise, grow along
a straight line in sigma^2, and the end of the line is the edge. A row, column or entry far larger
than the others makes a singular value above that edge, which its norm shows, but not the bulk.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Known, Moments
from sigmascope.spectra.units import scaled

from . import marchenko_pastur as mp

Array = NDArray[np.float64]

FRACTIONS = np.linspace(0.5, 0.95, 10)
"""Fractions of the bulk, from its median upwards, at which it is compared with even noise."""

STEEPEST = math.log(2.0)
"""Logarithm of the largest ratio of a bulk's edge to the edge of even noise of its median."""

UNEVEN, UNEVEN_SMALL = 6.5, 100.0
"""Tracy-Widom widths by which that logarithm exceeds 0 if a bulk is not even: 6.5 + 100 / M.

In one of a thousand matrices of even noise it is 11.8 widths for M = 10 values, 8.4 for 24, 5.3 for
96, 3.4 for 160.
"""

_MARGIN, _MARGIN_SMALL = 3.0, 30.0
"""Widths between the edge and the threshold: 3 + 30 / M for M values.

2.02 is the 99 % quantile of even noise whose edge is known. The rest allows for the deviation of
the edge that a bulk shows: 1.3 widths for 160 values, 2.5 for 24, 3 for 12.
"""

_SLACK, _SLACK_ALONE = 0.5, 1.5
"""Share of the logarithm that is added again, with and without norms of rows and columns."""

_ROUNDS = 64
"""Largest number of rounds in which the number of values above the bulk is found."""

_LARGEST = 600.0
"""Largest logarithm of a threshold over the median; beyond it no value is above."""

_GRID = (np.arange(512) + 0.5) * (math.pi / 512)


class Extremes(NamedTuple):
    """The largest norm of a row, the largest of a column, and the largest magnitude of an entry."""

    row: float
    column: float
    entry: float

    @classmethod
    def of(cls, moments: Moments | None) -> Self | None:
        """Return the extremes in the statistics of the elements; None if these lack them."""
        if moments is None or moments.row_norms is None:
            return None
        row, column = (float(x.max()) for x in (moments.row_norms, moments.column_norms))
        extremes = cls(row, column, float(moments.abs_max))
        return extremes if math.isfinite(sum(extremes)) else None

    def scaled(self, exponent: int) -> Extremes:
        """Return the extremes of the matrix times 2^exponent."""
        return Extremes(*(scaled(x, exponent) for x in self))

    def plus(self, other: Extremes, factor: float) -> Extremes:
        """Bound the extremes of a matrix plus a multiple of another one."""
        return Extremes(*(a + abs(factor) * b for a, b in zip(self, other, strict=True)))


class NoiseEdge(NamedTuple):
    """The threshold that noise of the observed bulk exceeds in one matrix of a hundred.

    Attributes
    ----------
    threshold
        In units of sigma.
    growth
        Logarithm of the edge of the bulk over the edge of even noise with its median; at least 0.
    clear
        Number of values above the threshold.
    uneven
        True if the bulk, without all values above `edge`, is not even noise.
    """

    threshold: float
    growth: float
    clear: int
    uneven: bool

    @property
    def applies(self) -> bool:
        """True if the bulk may be noise: an even one, or one below clear values."""
        return not self.uneven or (self.clear > 0 and self.growth <= STEEPEST)


def noise_edge(
    known: Known,
    edge: float,
    shape: tuple[int, int],
    fro_norm: float,
    extremes: Extremes | None,
    *,
    deflated: bool = False,
) -> NoiseEdge:
    """Find the threshold above which a singular value is more than noise, at a level of 1 %.

    Parameters
    ----------
    known
        The singular values.
    edge
        The edge of even noise with the median of all of them.
    shape, fro_norm
        Shape and norm of the matrix; the norm in units of sigma.
    extremes
        Largest norms of rows, columns and entries. Without them, a large row or entry looks like a
        direction, and the threshold is higher if the bulk is not even.
    deflated
        True if the extremes belong to the matrix without its clear directions.

    Notes
    -----
    The values above the threshold are not part of the bulk, and the threshold depends on the bulk.
    Rounds solve this. The first leaves out all values above `edge`; each later round leaves out
    only values above the last threshold, until no value returns to the bulk. The mean contribution
    of the clear values to a row, a column and an entry is then subtracted from the largest row,
    column and entry, which may make further values clear. O(M) for each round.
    """
    roots = math.sqrt(shape[0]), math.sqrt(shape[1])
    width = math.cbrt(1.0 / roots[0] + 1.0 / roots[1]) / 2.0 / sum(roots)
    bulk = _Bulk(known, shape, fro_norm, extremes, width)
    most = min(shape) - mp.MIN_VALUES
    k = min(bulk.above(edge), most)
    threshold = bulk.threshold(k, 0)
    uneven = threshold.growth > (UNEVEN + UNEVEN_SMALL / min(shape)) * width
    for _ in range(_ROUNDS):
        clear = bulk.above(threshold.threshold)
        if clear >= k:
            break
        k = clear
        threshold = bulk.threshold(k, 0)
    for _ in range(_ROUNDS):
        if deflated or not k or not threshold.of_one:
            break
        threshold = bulk.threshold(k, k)
        clear = bulk.above(threshold.threshold)
        if min(clear, most) <= k:
            break
        k = min(clear, most)
    return NoiseEdge(threshold.threshold, threshold.growth, clear, uneven)


class _Threshold(NamedTuple):
    """A threshold, the growth of the edge, and whether one row, column or entry decides it."""

    threshold: float
    growth: float
    of_one: bool


class _Bulk(NamedTuple):
    """The arguments of :func:`noise_edge`, and the relative width of the fluctuation."""

    known: Known
    shape: tuple[int, int]
    fro_norm: float
    extremes: Extremes | None
    width: float

    def above(self, x: float) -> int:
        """Count the values above x."""
        known = self.known
        if known.density is None or known.reaches(x):
            return len(known.values) - int(known.values[::-1].searchsorted(x, side="right"))
        return round(float(known.density.counts_above(np.array([x]))[0][0]))

    def threshold(self, outside: int, clear: int) -> _Threshold:
        """Return the threshold of the bulk of the values after the first few.

        `outside`: the number of values outside the bulk. `clear`: the number of values whose part
        in the largest row, column and entry is known.
        """
        M, N = sorted(self.shape)
        reference = _reference(M - outside, N - outside)
        values, off = self._upper_half(outside, reference)
        unit = float(values[0])
        if not unit > 0.0:  # the median: nothing is known of the bulk
            return _Threshold(math.inf, math.inf, of_one=False)
        log = np.log(values / unit) - reference.log_values
        even = float(log[0]) + reference.log_edge
        edge = float(reference.weights @ log) + reference.log_edge
        one = self._single(outside, clear, unit)
        growth = max(edge - even, 0.0)
        slack = _SLACK_ALONE if self.extremes is None else _SLACK
        highest = max(edge, even, one)
        highest += (_MARGIN + _MARGIN_SMALL / M) * self.width + slack * growth + off
        threshold = unit * math.exp(highest) if highest < _LARGEST else math.inf
        return _Threshold(threshold, growth, one > max(edge, even))

    def _upper_half(self, outside: int, reference: _Reference) -> tuple[Array, float]:
        """Return the values of the bulk at `FRACTIONS`, and the error of the logarithm of its edge.

        If all values are known, the relative error is largest at the median.
        """
        known = self.known
        if known.complete:
            bulk = known.values[outside:]
            low = bulk.take(reference.places)
            values = low + (bulk.take(reference.places + 1) - low) * reference.shares
            middle = outside + int(reference.places[0]) + 1
            error = reference.spread * float(known.errors[middle])
            return values, error / float(values[0]) if values[0] > 0.0 else math.inf
        place = outside + reference.places + reference.shares
        values, errors = known.quantiles(1.0 - np.clip(place / (known.n - 1), 0.0, 1.0))
        if not values[0] > 0.0:
            return values, math.inf
        return values, float(np.abs(reference.weights) @ (errors / values))

    def _single(self, outside: int, clear: int, unit: float) -> float:
        """Return the logarithm of the largest value, over `unit`, of one row, column or entry.

        In noise of variance s^2, a row of norm R^2 = a n s^2 makes the squared singular value
        R^2 (1 + m / n / (a - 1)) if a > 1 + sqrt(m / n) (Baik & Silverstein 2006). An entry x
        makes (x^2 + m s^2) (x^2 + n s^2) / x^2 if x^2 > s^2 sqrt(m n). The mean contribution of
        clear directions to a row, a column and an entry is subtracted.
        """
        if self.extremes is None:
            return -math.inf
        m, n = self.shape
        row, column, entry = (x / unit for x in self.extremes)
        rest = (self.fro_norm / unit) ** 2 - self._energy(outside, unit)
        variance = max(rest, 0.0) / ((m - outside) * (n - outside))
        if variance == 0.0:
            return -math.inf
        energy = self._energy(clear, unit)
        squares = [0.0]
        lines = (row**2 - energy / m, n, m), (column**2 - energy / n, m, n)
        for norm2, across, along in lines:
            a = norm2 / (across * variance)
            if a > 1.0 + math.sqrt(along / across):
                squares.append(norm2 * (1.0 + along / across / (a - 1.0)))
        entry2 = entry**2 - energy / (m * n)
        if entry2 > variance * math.sqrt(m * n):
            squares.append((entry2 + m * variance) * (entry2 + n * variance) / entry2)
        largest = max(squares)
        return 0.5 * math.log(largest) if largest > 0.0 else -math.inf

    def _energy(self, k: int, unit: float) -> float:
        """Return the sum of the squares of the first k values, in units of `unit`."""
        s = self.known.values[:k] / unit
        return float(s @ s)


class _Reference(NamedTuple):
    """Even noise of variance 1: logarithms of values at `FRACTIONS`, and of the edge.

    `weights` (10,) times logarithms of ratios to these values gives the logarithm of the ratio at
    the edge, on the straight line of least squares in sigma^2; `spread` is the sum of magnitudes of
    `weights`. Fractions lie at `places`, in descending order, plus `shares` of the way to the next.
    """

    log_values: Array
    weights: Array
    log_edge: float
    spread: float
    places: NDArray[np.intp]
    shares: Array


@lru_cache(maxsize=4096)
def _reference(M: int, N: int) -> _Reference:
    beta = M / N
    square = 1.0 + beta + 2.0 * math.sqrt(beta) * np.cos(_GRID)
    density = np.sin(_GRID) ** 2 / square
    above = np.cumsum(density)
    above = (above - density / 2.0) / above[-1]
    values = np.sqrt(N * np.interp(np.interp(1.0 - FRACTIONS, above, _GRID), _GRID, square))
    edge = math.sqrt(M) + math.sqrt(N)
    distance = (values / edge) ** 2 - 1.0
    from_mean = distance - distance.mean()
    slope = from_mean / float(from_mean @ from_mean)
    weights = 1.0 / len(FRACTIONS) - float(distance.mean()) * slope
    place = (1.0 - FRACTIONS) * M - 0.5
    places = np.floor(place).astype(np.intp)
    spread = float(np.abs(weights).sum())
    return _Reference(np.log(values), weights, math.log(edge), spread, places, place - places)
