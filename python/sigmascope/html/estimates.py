# SPDX-License-Identifier: BSD-3-Clause
"""Medians with intervals, and what stands out among its like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

from sigmascope.text import short

Row = dict[str, Any]

OUTLIER = 3.5
"""Robust standard deviations beyond which a value stands out (Iglewicz & Hoaglin 1993)."""

_FEWEST = 5
"""Fewer matrices than this have no rule that one could be an exception to."""

_FEWEST_FOR_INTERVAL = 6
"""The range of fewer values holds their median in less than 95 % of cases: no interval has more."""

_LEAST_FACTOR = 1.2
"""A value closer than this to the median is no news, however tight the others are."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of some values, and an interval for it.

    Attributes
    ----------
    value, low, high
        The interval holds the median of what they are drawn from in 95 % of cases; with fewer than
        six values it is their range.
    count
        How many values there are.
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count == 1 and self.low == self.high:
            return short(self.value)
        return f"{short(self.value)} [{short(self.low)}, {short(self.high)}]"

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies on one side of zero, else 0."""
        return (self.low > 0) - (self.high < 0)


def middle(values: Sequence[float], errors: Sequence[float] | None = None) -> Middle:
    """Return the median with its interval from order statistics, which assumes no distribution.

    Parameters
    ----------
    values
        One or more.
    errors
        Of each value. The interval is widened by twice their median, in case all err alike; a
        range goes from the least value less twice its error to the greatest.
    """
    errors = [0.0] * len(values) if errors is None else errors
    if len(values) < _FEWEST_FOR_INTERVAL:
        low = min(v - 2 * e for v, e in zip(values, errors, strict=True))
        high = max(v + 2 * e for v, e in zip(values, errors, strict=True))
    else:
        ranked, cut, width = sorted(values), _order(len(values)), 2 * median(errors)
        low, high = ranked[cut] - width, ranked[-1 - cut] + width
    return Middle(median(values), low, high, len(values))


@lru_cache(maxsize=4096)
def _order(count: int) -> int:
    """How many values to cut off at each end: r - 1, with r the largest that keeps
    P(Binomial(count, 1/2) < r) <= 2.5 %.
    """
    if count > 1000:
        return int(count / 2 - 0.98 * math.sqrt(count)) - 1
    below, total, r = 0, 2**count, 0
    while 40 * (below + math.comb(count, r)) <= total:
        below += math.comb(count, r)
        r += 1
    return max(r - 1, 0)


def of_column(rows: Iterable[Row], column: str) -> Middle | None:
    """Return the middle of a column; None if it is missing in more than half of the rows."""
    rows = list(rows)
    found = [row for row in rows if row.get(column) is not None]
    if not found or 2 * len(found) < len(rows):
        return None
    return middle([r[column] for r in found], [r.get(f"{column}_error") or 0.0 for r in found])


def groups(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """Sort rows by the values of some columns, in the order of their first appearance."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.get(column) for column in columns), []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class Outlier:
    """A matrix whose measure is far from the median of its role."""

    row: Row
    column: str
    middle: Middle
    distance: float
    """In robust standard deviations, signed."""


def outliers(rows: Iterable[Row], column: str) -> list[Outlier]:
    """Return what stands out within its tower and role, farthest first.

    Values are compared as logarithms, by the median and the median absolute deviation; what is
    within twice its error of the median does not count.
    """
    found: list[Outlier] = []
    for group in groups(rows, "tower", "role").values():
        having = [row for row in group if (row.get(column) or 0.0) > 0.0]
        if len(having) < _FEWEST:
            continue
        logs = [math.log(row[column]) for row in having]
        centre = median(logs)
        spread = max(1.4826 * median(abs(x - centre) for x in logs), 1e-2)
        among = middle([row[column] for row in having])
        for row, x in zip(having, logs, strict=True):
            error = 2 * (row.get(f"{column}_error") or 0.0)
            far = abs(x - centre) > max(OUTLIER * spread, math.log(_LEAST_FACTOR))
            if far and abs(row[column] - among.value) > error:
                found.append(Outlier(row, column, among, (x - centre) / spread))
    return sorted(found, key=lambda outlier: -abs(outlier.distance))
