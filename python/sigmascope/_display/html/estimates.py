# SPDX-License-Identifier: BSD-3-Clause
"""Medians with intervals, and outliers among the matrices of a role."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from sigmascope._words.rows import Row
from sigmascope._words.text import bounds, short

from .chance import LEAST, Pair, by_layer, cut_off, far_out, holm

Unit = Callable[[Row], float | None]
"""The number by which a row's value is divided, such as the full rank; None leaves the row out."""

OUTLIER = 3.5
"""Robust standard deviations beyond which a value is an outlier (Iglewicz & Hoaglin 1993)."""

FEWEST = 5
"""Least number of matrices in a group that is searched for outliers."""

_SHOWN = 0.05
"""Probability that an interval in a sentence does not contain the median."""

_LEAST_SPREAD = 1e-2
"""Least standard deviation of logarithms; smaller ones are replaced by it."""

_ERRORS = 4.0
"""Least distance of an outlier from the median, in errors of its value."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of some values, and an interval for it.

    Attributes
    ----------
    value, low, high
        The median, and an interval that contains the median of the population in 95 % of cases;
        with fewer than six values it is their range.
    count
        Number of values.
    among
        Number of matrices, if some have no value; else 0 or `count`.
    """

    value: float
    low: float
    high: float
    count: int
    among: int = 0

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 3, unit: str = "") -> str:
        """Write "58.0 [23.1, 64.0]", and the counts if some matrices have no value."""
        text = f"{short(self.value, digits)}{unit}"
        if self.count > 1 or self.low != self.high:
            low, high = bounds(self.low, self.high, digits)
            text += f" [{low}, {high}]"
        some = self.count < self.among
        return f"{text} (median of {self.count:,} of {self.among:,})" if some else text

    def times(self, factor: float) -> Middle:
        """Return the median and interval multiplied by a positive factor."""
        value, low, high = (factor * x for x in (self.value, self.low, self.high))
        return Middle(value, low, high, self.count, self.among)


def middle(values: Sequence[float], errors: Sequence[float] | None = None) -> Middle:
    """Return the median with its interval from order statistics, which assumes no distribution.

    Parameters
    ----------
    values
        One or more values.
    errors
        Error of each value. The interval is widened by twice the median error, in case all values
        err in the same direction; a range is widened at both ends by twice an error.
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
    """Return the median of a column; None if it is missing in more than half of the rows."""
    rows = list(rows)
    having = [row for row in rows if row.get(column) is not None]
    if not having or 2 * len(having) < len(rows):
        return None
    errors = [row.get(f"{column}_error") or 0.0 for row in having]
    return replace(middle([row[column] for row in having], errors), among=len(rows))


def pairs_of(rows: Iterable[Row], column: str) -> list[Pair]:
    """Return the values of a column, each with its error, of the rows that have one."""
    return [
        (row[column], row.get(f"{column}_error") or 0.0)
        for row in rows
        if row.get(column) is not None
    ]


def layered(rows: Iterable[Row], column: str, unit: Unit = lambda row: 1.0) -> dict[int, Pair]:
    """Return the mean logarithm of a column, in a unit, in each layer, and its error."""
    return by_layer(
        (row["layer"], row[column] / total, (row.get(f"{column}_error") or 0.0) / total)
        for row in rows
        if row.get("layer") is not None and row.get(column) is not None and (total := unit(row))
    )


def groups(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by the values of some columns, in the order of their first appearance."""
    by_values: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        by_values.setdefault(tuple(row.get(column) for column in columns), []).append(row)
    return by_values


@dataclass(frozen=True, slots=True)
class Outlier:
    """A matrix whose measure is far from the median of its role."""

    row: Row
    column: str
    middle: Middle
    distance: float
    """Signed distance in robust standard deviations."""


def outliers(rows: Iterable[Row], columns: Iterable[str], level: float) -> list[Outlier]:
    """Return the outliers among the matrices of each tower and role, the farthest first.

    Values are compared as logarithms. An outlier is more than OUTLIER robust standard deviations
    and more than the least factor from the median, by more than its error. It is also significant
    in a test over the groups of all columns together.

    Parameters
    ----------
    columns
        The measures to test.
    level
        Probability of any outlier if the values of every group have one distribution.
    """
    names = list(columns)
    tests = [
        (column, having)
        for group in groups(rows, "tower", "role").values()
        for column in names
        if len(having := [row for row in group if (row.get(column) or 0.0) > 0.0]) >= FEWEST
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
    """Yield the significant values of a group that are far enough from its median."""
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
    """Return True if a value is far from the median even without the largest entry of its matrix.

    If entries have heavy tails, some matrix has the largest entry by chance, which does not make it
    an outlier. If the entries are not known, the result is True.
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
