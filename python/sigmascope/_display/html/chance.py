# SPDX-License-Identifier: BSD-3-Clause
"""What chance alone would make: the level of a page, the least size of a finding, and the tests.

Many matrices are looked at, and many differences between them. A page therefore says that something
differs only where two things hold: the difference is at least of the size in `LEAST`, and its
interval, at a level that is shared out among all that was looked at, does not hold "no difference".
So at most one page in twenty of models in which there is nothing says that there is something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean, median, variance

LEVEL = 0.05
"""The chance that a page of nothing but noise says that something differs."""

SCAN, COMPARISON = LEVEL / 2, LEVEL / 7
"""What each kind of finding may take of it: two on the page of a scan, seven on a comparison's.

Outlier channels are decided matrix by matrix, at a level that takes nothing of it: see
:meth:`sigmascope.Moments.outlier_rows`.
"""


@dataclass(frozen=True, slots=True)
class Least:
    """The least sizes that are worth a sentence; `docs/measures.md` has them in one table."""

    factor: float = 1.2
    """Of a matrix to the median of its role, of two roles, of the last layers to the first."""
    rank: float = 1.1
    """Of the share of its rank that one role uses to that of another."""
    turned: float = 1.0
    """Degrees by which leading directions have turned."""
    chance: float = 3.0
    """Degrees between the angle of a change and that of random directions."""
    expands: float = 0.01
    """Change of the effective rank over the rank before."""
    decay: float = 0.005
    """Share of the energy of a change that is a multiple of what it changes."""


LEAST = Least()

Pair = tuple[float, float]
"""A value and its error."""


def tail(t: float, df: int) -> float:
    """Return P(|T| > t) of Student's distribution (Abramowitz & Stegun 26.7.3 and 26.7.4).

    To about 1e-15, so what is below that may be 0.
    """
    theta = math.atan(abs(t) / math.sqrt(df))
    cos2, term, total = math.cos(theta) ** 2, 1.0, 0.0
    odd = df % 2
    for i in range(1, (df - odd) // 2 + 1):
        total += term
        term *= cos2 * (2 * i - 1 + odd) / (2 * i + odd)
    if odd:
        inside = 2 / math.pi * (theta + math.sin(theta) * math.cos(theta) * total)
    else:
        inside = math.sin(theta) * total
    return max(0.0, 1.0 - inside)


@lru_cache(maxsize=1024)
def t_of(level: float, df: int) -> float:
    """Return the t that |T| exceeds with the probability `level`, by bisection."""
    low, high = 0.0, 1.0
    while tail(high, df) > level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, df) > level else (low, middle)
    return high


def holm(chances: Sequence[float], level: float) -> list[float]:
    """Return for each test the level at which it is rejected, 0 if it is not (Holm 1979).

    The probability that any true hypothesis of these is rejected is at most `level`, whatever
    depends on what.
    """
    found = [0.0] * len(chances)
    order = sorted(range(len(chances)), key=chances.__getitem__)
    for rank, i in enumerate(order):
        share = level / (len(chances) - rank)
        if chances[i] > share:
            break
        found[i] = share
    return found


@lru_cache(maxsize=4096)
def cut_off(count: int, level: float) -> int | None:
    """Return how many sorted values to cut off at each end of an interval for their median.

    r - 1, with r the largest that keeps P(Binomial(count, 1/2) < r) <= level / 2; None if even the
    range of so few values holds their median with less than 1 - level.
    """
    if count > 1000:
        z = NormalDist().inv_cdf(1 - level / 2)
        return int(count / 2 - z * math.sqrt(count) / 2) - 1
    below, r, most = 0, 0, level / 2 * 2.0**count
    while below + math.comb(count, r) <= most:
        below += math.comb(count, r)
        r += 1
    return r - 1 if r else None


def interval(pairs: Sequence[Pair], level: float) -> Pair:
    """Return an interval that holds the middle of what values are drawn from with 1 - level.

    From order statistics, which assumes no distribution; of too few values for that, Student's
    interval of their mean. It is widened by twice the median error, in case all err alike. Of one
    value nothing is known of the others.
    """
    if len(pairs) < 2:
        return -math.inf, math.inf
    values, width = sorted(v for v, _ in pairs), 2 * median(e for _, e in pairs)
    cut = cut_off(len(values), level)
    if cut is not None:
        return values[cut] - width, values[-1 - cut] + width
    half = t_of(level, len(values) - 1) * math.sqrt(variance(values) / len(values)) + width
    return fmean(values) - half, fmean(values) + half


def sure(pairs: Sequence[Pair], level: float) -> list[bool]:
    """Return which of these values are not 0, beyond their errors, at a level for all of them."""
    normal = NormalDist()
    chances = [
        (2 * normal.cdf(-abs(v) / e) if math.isfinite(e) else 1.0) if e else float(v == 0)
        for v, e in pairs
    ]
    return [found > 0 for found in holm(chances, level)]


def apart(one: Sequence[Pair], other: Sequence[Pair]) -> float:
    """Return the chance of two groups of positive values so far apart if they were of one kind.

    Welch's test of the logarithms, after the distance is lessened by twice the median relative
    error of each group, in case all of a group err alike. 1 for fewer than two values in a group.
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
    return tail(distance / math.sqrt(sum(parts)), max(1, math.floor(freedom)))


@dataclass(frozen=True, slots=True)
class FarOut:
    """The values of a group from the farthest on, and the chance of so many so far out."""

    places: tuple[int, ...]
    chances: tuple[float, ...]

    def at(self, level: float) -> tuple[int, ...]:
        """Return the places of those that are too far out for a level."""
        last = max((i + 1 for i, p in enumerate(self.chances) if p <= level), default=0)
        return self.places[:last]


def far_out(values: Sequence[float], least_spread: float) -> FarOut:
    """Find what is far from the others of a group (generalised ESD, Rosner 1983).

    The farthest value is taken away and the rest looked at again, so that several outliers do not
    hide each other, up to a third of them. Every chance counts how many values there are and how
    often it was looked, and is that of values that are distributed normally.
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
        # The distance from the others in their own standard deviation is Student's t.
        spread = max(math.sqrt(variance(rest)), least_spread)
        t = abs(left.pop(place) - fmean(rest)) / (spread * math.sqrt(1 + 1 / (n - 1)))
        places.append(place)
        chances.append(min(1.0, rounds * n * tail(t, n - 2)))
    return FarOut(tuple(places), tuple(chances))
