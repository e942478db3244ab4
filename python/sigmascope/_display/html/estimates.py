# SPDX-License-Identifier: BSD-3-Clause
"""Medians with intervals, and what stands out among its like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from sigmascope._display.text import bounds, short

from .chance import LEAST, Pair, cut_off, far_out, holm

Row = dict[str, Any]

OUTLIER = 3.5
"""Robust standard deviations beyond which a value stands out (Iglewicz & Hoaglin 1993)."""

_FEWEST = 5
"""Fewer matrices than this have no rule that one could be an exception to."""

_SHOWN = 0.05
"""Intervals in sentences hold the median in all cases but this share."""

_LEAST_SPREAD = 1e-2
"""A standard deviation of logarithms below this is taken for it."""

_ERRORS = 4.0
"""So many errors of its own a value that stands out is from the median: more than it can err."""


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
    among
        How many there could be; 0 if all are there.
    """

    value: float
    low: float
    high: float
    count: int
    among: int = 0

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 3, unit: str = "") -> str:
        """Show it: "58.0 [23.1, 64.0]", with of how many if some are missing."""
        found = f"{short(self.value, digits)}{unit}"
        if self.count > 1 or self.low != self.high:
            low, high = bounds(self.low, self.high, digits)
            found += f" [{low}, {high}]"
        some = self.count < self.among
        return f"{found} (of {self.count:,} of {self.among:,})" if some else found

    def times(self, factor: float) -> Middle:
        """Return it multiplied by a positive factor."""
        value, low, high = (factor * x for x in (self.value, self.low, self.high))
        return Middle(value, low, high, self.count, self.among)


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
    cut = cut_off(len(values), _SHOWN)
    if cut is None:
        low = min(v - 2 * e for v, e in zip(values, errors, strict=True))
        high = max(v + 2 * e for v, e in zip(values, errors, strict=True))
    else:
        ranked, width = sorted(values), 2 * median(errors)
        low, high = ranked[cut] - width, ranked[-1 - cut] + width
    return Middle(median(values), low, high, len(values))


def of_column(rows: Iterable[Row], column: str) -> Middle | None:
    """Return the middle of a column; None if it is missing in more than half of the rows."""
    rows = list(rows)
    found = [row for row in rows if row.get(column) is not None]
    if not found or 2 * len(found) < len(rows):
        return None
    among = middle([r[column] for r in found], [r.get(f"{column}_error") or 0.0 for r in found])
    return replace(among, among=len(rows))


def pairs_of(rows: Iterable[Row], column: str) -> list[Pair]:
    """Return the values of a column that are there, each with its error."""
    return [
        (row[column], row.get(f"{column}_error") or 0.0)
        for row in rows
        if row.get(column) is not None
    ]


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


def outliers(rows: Iterable[Row], columns: Iterable[str], level: float) -> list[Outlier]:
    """Return what stands out within its tower and role, farthest first.

    Values are compared as logarithms. One that stands out is beyond OUTLIER robust standard
    deviations of the median and more than the least factor from it, by more than it can err; and it
    is farther than chance puts any of so many: the groups of all columns are tested together.

    Parameters
    ----------
    columns
        The measures by which one may stand out.
    level
        The chance that anything stands out where all of a group are of one kind.
    """
    names = list(columns)
    tests = [
        (column, having)
        for group in groups(rows, "tower", "role").values()
        for column in names
        if len(having := [row for row in group if (row.get(column) or 0.0) > 0.0]) >= _FEWEST
    ]
    far = [
        far_out([math.log(row[column]) for row in having], _LEAST_SPREAD)
        for column, having in tests
    ]
    levels = holm([min(one.chances) for one in far], level)
    every = [
        outlier
        for (column, having), one, share in zip(tests, far, levels, strict=True)
        for outlier in _far_enough(having, column, one.at(share))
    ]
    return sorted(every, key=lambda outlier: -abs(outlier.distance))


def _far_enough(having: Sequence[Row], column: str, places: Sequence[int]) -> Iterator[Outlier]:
    """Those of a group that are also as far from its median as matters."""
    logs = [math.log(row[column]) for row in having]
    centre = median(logs)
    spread = max(1.4826 * median(abs(x - centre) for x in logs), _LEAST_SPREAD)
    among = middle([row[column] for row in having])
    for place in places:
        row, away = having[place], logs[place] - centre
        error = _ERRORS * (row.get(f"{column}_error") or 0.0)
        far = abs(away) > max(OUTLIER * spread, math.log(LEAST.factor))
        if far and abs(row[column] - among.value) > error and _stays(row, column, centre, away):
            yield Outlier(row, column, among, away / spread)


def _stays(row: Row, column: str, centre: float, away: float) -> bool:
    """Whether a value is as far from the median without the largest entry of its matrix.

    Of entries with heavy tails there is always one matrix that has the largest; that alone is no
    news of the matrix. Where the entries are not known, nothing is taken away.
    """
    largest = max(abs(row.get("min") or 0.0), abs(row.get("max") or 0.0)) ** 2
    rest = {
        name: row[name] ** 2 - largest
        for name in ("fro_norm", "spectral_norm")
        if row.get(name) is not None
    }
    if not largest or "spectral_norm" not in rest:
        return True
    if column in rest:
        value = math.sqrt(max(rest[column], 0.0))
    elif column == "stable_rank" and "fro_norm" in rest:
        value = rest["fro_norm"] / rest["spectral_norm"] if rest["spectral_norm"] > 0 else 0.0
    else:
        return bool(rest["spectral_norm"] > largest)
    further = math.log(value) - centre if value > 0 else 0.0
    return bool(further * math.copysign(1.0, away) > math.log(LEAST.factor))
