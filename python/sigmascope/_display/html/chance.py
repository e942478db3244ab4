# SPDX-License-Identifier: BSD-3-Clause
"""Statistical tests of a page's findings: the level of a page and the least size of a finding.

A page tests many matrices and many differences. It reports a difference only if it has at least the
size in `LEAST` and is significant at a level that is divided among all tested differences. For
models that consist of noise, at most one page in twenty therefore reports a difference.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median, variance

from sigmascope._distributions import (
    binomial_at_most,
    normal_tail,
    student_quantile,
    student_tail,
)

LEVEL = 0.05
"""Largest probability that a page on noise says that something differs."""

SCAN, COMPARISON = LEVEL / 2, LEVEL / 7
"""Level of each kind of finding: a scan's page has two kinds, a comparison's has seven.

Outlier channels are not among them. They are decided for each matrix, at a level that is negligible
here: see :meth:`sigmascope.results.Moments.outlier_rows`.
"""


@dataclass(frozen=True, slots=True)
class Least:
    """Least sizes of findings; `docs/measures.md` has a table of them."""

    factor: float = 1.2
    """Ratio of a matrix to the median of its role, of two roles, or of the last layers to the
    first."""
    rank: float = 1.1
    """Ratio of two roles' fractions of the full rank."""
    rotation: float = 1.0
    """Degrees by which leading directions turned."""
    chance: float = 3.0
    """Degrees between the angle of a change and the angle of random directions."""
    expands: float = 0.01
    """Change of the effective rank, relative to the rank before."""
    gap: float = 2.0
    """Ratio of the largest relative changes to all others, for matrices of roles with few."""
    decay: float = 0.005
    """Fraction of the energy of a change in its component along W."""


LEAST = Least()

Pair = tuple[float, float]
"""A value and its error."""


def holm(chances: Sequence[float], level: float) -> list[float]:
    """Return for each test the level at which it is rejected, or 0 if it is not (Holm 1979).

    The probability that any true hypothesis is rejected is at most `level`, also if the tests
    depend on each other.

    Parameters
    ----------
    chances
        P-values of the tests.
    level
        Level of all tests together.
    """
    levels = [0.0] * len(chances)
    order = sorted(range(len(chances)), key=chances.__getitem__)
    for rank, i in enumerate(order):
        share = level / (len(chances) - rank)
        if chances[i] > share:
            break
        levels[i] = share
    return levels


@lru_cache(maxsize=4096)
def cut_off(count: int, level: float) -> int | None:
    """Return how many sorted values to cut off at each end of an interval for their median.

    It is r - 1, with the largest r for which P(Binomial(count, 1/2) < r) <= level / 2. The result
    is None if there are too few values: then even their range contains the median with a
    probability below 1 - level.
    """
    r = bisect_right(range(count), level / 2, key=lambda low: binomial_at_most(low, count, 0.5))
    return r - 1 if r else None


def interval(pairs: Sequence[Pair], level: float) -> Pair:
    """Return a confidence interval, at 1 - level, for the median of a population from a sample.

    It comes from order statistics, which assumes no distribution. For too few values it is
    Student's interval of their mean, and for one value it is infinite. It is widened by twice the
    median error, in case all values err in the same direction.
    """
    if len(pairs) < 2:
        return -math.inf, math.inf
    values, width = sorted(v for v, _ in pairs), 2 * median(e for _, e in pairs)
    cut = cut_off(len(values), level)
    if cut is not None:
        return values[cut] - width, values[-1 - cut] + width
    deviation = math.sqrt(variance(values) / len(values))
    half = student_quantile(level, len(values) - 1) * deviation + width
    return fmean(values) - half, fmean(values) + half


def sure(pairs: Sequence[Pair], level: float) -> list[bool]:
    """Return True for each value that differs from 0 by more than its error allows.

    `level` is the level of all values together.
    """
    chances = [
        (2 * normal_tail(abs(v) / e) if math.isfinite(e) else 1.0) if e else float(v == 0)
        for v, e in pairs
    ]
    return [rejected > 0 for rejected in holm(chances, level)]


def welch(one: Sequence[Pair], other: Sequence[Pair]) -> float:
    """Return the p-value of Welch's test that two groups of positive values have the same mean.

    The test compares logarithms. Their distance is first reduced by twice the median relative error
    of each group, in case all values of a group err in the same direction. The result is 1 if a
    group has fewer than two values.
    """
    groups = [[(math.log(v), e / v) for v, e in group if v > 0] for group in (one, other)]
    if min(map(len, groups)) < 2:
        return 1.0
    means = [fmean(x for x, _ in g) for g in groups]
    distance = abs(means[0] - means[1]) - 2 * sum(median(e for _, e in g) for g in groups)
    parts = [variance([x for x, _ in g]) / len(g) for g in groups]
    if distance <= 0:
        return 1.0
    if not sum(parts):
        return 0.0
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(g) - 1) for part, g in zip(parts, groups, strict=True)
    )
    return student_tail(distance / math.sqrt(sum(parts)), max(1, math.floor(freedom)))


Layered = Mapping[int, Pair]
"""The mean logarithm of positive values in each layer, and its error."""


def by_layer(triples: Iterable[tuple[int, float, float]]) -> dict[int, Pair]:
    """Return the mean logarithm and the mean relative error of (layer, value, error) per layer."""
    layers: defaultdict[int, list[Pair]] = defaultdict(list)
    for layer, value, error in triples:
        if value > 0:
            layers[layer].append((math.log(value), error / value))
    return {
        layer: (fmean(x for x, _ in pairs), fmean(e for _, e in pairs))
        for layer, pairs in layers.items()
    }


def paired_by_layer(one: Layered, other: Layered) -> float | None:
    """Return the p-value of Student's test that two roles have the same mean in every layer.

    It treats the differences within layers as independent and normal. A trend with depth, or chance
    that the matrices of a layer share, therefore does not hide a difference. The mean is first
    reduced by twice the median errors, in case all err in the same direction. The result is None
    if fewer than two layers have both roles.
    """
    layers = sorted(one.keys() & other.keys())
    if len(layers) < 2:
        return None
    differences = [one[layer][0] - other[layer][0] for layer in layers]
    errors = [median(role[layer][1] for layer in layers) for role in (one, other)]
    return _student(fmean(differences), 2 * sum(errors), differences)


def _student(mean: float, error: float, values: Sequence[float]) -> float:
    distance = abs(mean) - error
    if distance <= 0:
        return 1.0
    spread = math.sqrt(variance(values) / len(values))
    return student_tail(distance / spread, len(values) - 1) if spread else 0.0


@dataclass(frozen=True, slots=True)
class Trend:
    """The change of roles with depth, as the factor from the first to the last third of the layers.

    Attributes
    ----------
    factor, low, high
        The factor within roles, and its 95 % interval, with layers as independent units.
    p
        P-value of no trend: twice the smaller p-value of two tests, of thirds and of a line.
    """

    factor: float
    low: float
    high: float
    p: float


def trend_within(roles: Iterable[Layered]) -> Trend | None:
    """Test whether values change with depth; None if fewer than six layers have values.

    Each role's mean over its layers is subtracted, so that roles of different levels do not hide a
    trend. The mean of the roles in a layer is then one number: matrices of a layer share chance.
    Two Student's tests assume independent, normal layers if nothing changes: one of the first and
    the last third, with one variance, and one of the correlation with the layer.
    """
    centred: defaultdict[int, list[Pair]] = defaultdict(list)
    for role in roles:
        if len(role) > 1:
            centre = fmean(x for x, _ in role.values())
            for layer, (x, error) in role.items():
                centred[layer].append((x - centre, error))
    layers = sorted(centred)
    if len(layers) < 6:
        return None
    values = [fmean(x for x, _ in centred[layer]) for layer in layers]
    error = 2 * median(fmean(e for _, e in centred[layer]) for layer in layers)
    third = len(layers) // 3
    first, last = values[:third], values[-third:]
    distance, freedom = fmean(last) - fmean(first), 2 * (third - 1)
    spread = math.sqrt((variance(first) + variance(last)) / third)
    shifted = max(abs(distance) - 2 * error, 0.0)
    of_thirds = student_tail(shifted / spread, freedom) if spread else float(shifted == 0)
    half = student_quantile(0.05, freedom) * spread + 2 * error
    low, high = (math.exp(min(distance + sign * half, 700.0)) for sign in (-1, 1))
    p = min(1.0, 2 * min(of_thirds, _of_line(values, 2 * error)))
    return Trend(math.exp(distance), low, high, p)


def _of_line(values: Sequence[float], error: float) -> float:
    """Return the p-value of the slope of values in order; their rise is reduced by `error`."""
    n, places = len(values), range(len(values))
    centre, mean = fmean(places), fmean(values)
    square = math.fsum((i - centre) ** 2 for i in places)
    slope = math.fsum((i - centre) * x for i, x in zip(places, values, strict=True)) / square
    rest = math.fsum(
        (x - mean - slope * (i - centre)) ** 2 for i, x in zip(places, values, strict=True)
    )
    slope = max(abs(slope) - error / (n - 1), 0.0)
    spread = math.sqrt(rest / (n - 2) / square)
    return student_tail(slope / spread, n - 2) if spread else float(slope == 0)


@dataclass(frozen=True, slots=True)
class FarOut:
    """The values of a group that are farthest out, and the p-values of these distances.

    Attributes
    ----------
    places
        Places of the values in the group, the farthest first.
    chances
        P-value of each distance.
    """

    places: tuple[int, ...]
    chances: tuple[float, ...]

    def at(self, level: float) -> tuple[int, ...]:
        """Return the places of the outliers at a level."""
        last = max((i + 1 for i, p in enumerate(self.chances) if p <= level), default=0)
        return self.places[:last]


def far_out(values: Sequence[float], least_spread: float) -> FarOut:
    """Find outliers of a group by the generalised extreme Studentised deviate (Rosner 1983).

    The farthest value is removed and the others are tested again, so that several outliers, up to a
    third of the values, do not hide each other. P-values assume normally distributed values and are
    multiplied by the number of values and of repetitions.
    """
    left = dict(enumerate(values))
    rounds = max(1, len(values) // 3)
    places, chances = [], []
    for _ in range(rounds):
        n = len(left)
        if n < 3:
            break
        centre = fmean(left.values())
        place = max(left, key=lambda i: abs(left[i] - centre))
        rest = [v for i, v in left.items() if i != place]
        # The distance of a value from the others, in their standard deviation, is Student's t.
        spread = max(math.sqrt(variance(rest)), least_spread)
        t = abs(left.pop(place) - fmean(rest)) / (spread * math.sqrt(1 + 1 / (n - 1)))
        places.append(place)
        chances.append(min(1.0, rounds * n * student_tail(t, n - 2)))
    return FarOut(tuple(places), tuple(chances))
