# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that no test by role can judge, because their role has too few; and the largest change.

A model has one pooler and one embedding. Medians by role and tests for outliers in a role need
several matrices, so findings by role name these matrices separately, by comparison with all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sigmascope._display.glossary import entry
from sigmascope._words.rows import Row, full_rank
from sigmascope._words.text import bounds, counted, number_of, short, with_error, with_shape

from .chance import COMPARISON, LEAST
from .estimates import FEWEST, Middle, groups, middle, outliers
from .findings import Finding, listing, more

_CHANGE = "relative_change"


def alone(rows: Iterable[Row]) -> list[Row]:
    """Return the rows whose tower and role have no other row."""
    return [group[0] for group in groups(rows, "tower", "role").values() if len(group) == 1]


@dataclass(frozen=True, slots=True)
class LargestChanges:
    """The matrices that changed far more than all others, the largest change first.

    Attributes
    ----------
    rows
        The matrices that stand out.
    factor, error
        Ratio of the smallest of their relative changes to the largest of the others, and its error.
    following
        The matrix with the largest change among the others.
    others
        Median of the relative changes of the others.
    """

    rows: tuple[Row, ...]
    factor: float
    error: float
    following: Row
    others: Middle

    def sentence(self) -> str:
        """Name the matrices, their changes, and the change of the others."""
        return f"{self.names()} changed most, by {self.sizes()}; {self.rest()}."

    def names(self) -> str:
        """Write the name of the matrix, or the number of the matrices and the first name."""
        first = str(self.rows[0]["name"])
        few = len(self.rows) == 1
        return first if few else f"{len(self.rows)} matrices, the first of them {first},"

    def sizes(self) -> str:
        """Write the change of the matrix, or the range of the changes, in per cent."""
        least, largest = self.rows[-1], self.rows[0]
        largest_change = f"{number_of(largest, _CHANGE, 100)} %"
        if least is largest:
            return f"{largest_change} of its size"
        return f"{number_of(least, _CHANGE, 100)} to {largest_change} of their size"

    def rest(self) -> str:
        """Write how much the other matrices changed."""
        following = f"{number_of(self.following, _CHANGE, 100)} %"
        if self.others.count == 1:
            return f"the other matrix changed by {following}"
        return (
            f"the other {self.others.count:,} matrices changed by at most {following}, "
            f"their median by {short(100 * self.others.value)} %"
        )

    def finding(self) -> Finding:
        """Return the finding that names these matrices."""
        text = (
            f"{self.sentence()} That is {with_error(self.factor, self.error)} × as much as the "
            "next one."
        )
        items = [(row["name"], f"‖ΔW‖/‖W‖ {number_of(row, _CHANGE)}") for row in self.rows]
        return Finding("Changed most", text + more(len(items)), "notice", listing(items))


def largest_changes(changed: Iterable[Row]) -> LargestChanges | None:
    """Return the matrices that changed far more than all others; None if there is no such gap.

    A matrix is considered if its role has too few matrices for a test, or if it is an outlier in
    its role. The gap between these and all others must be at least `LEAST.gap`, beyond
    twice the errors, and at most half of the matrices may lie above it.
    """
    rows = [row for row in changed if row.get(_CHANGE) and math.isfinite(row[_CHANGE])]
    rows.sort(key=lambda row: -row[_CHANGE])
    far = {outlier.row["name"] for outlier in outliers(rows, [_CHANGE], COMPARISON)}
    few = {
        row["name"]
        for group in groups(rows, "tower", "role").values()
        if len(group) < FEWEST
        for row in group
    }
    considered = next((i for i, row in enumerate(rows) if row["name"] not in far | few), len(rows))
    gaps = {i: _gap(rows[i - 1], rows[i]) for i in range(1, min(considered, len(rows) // 2) + 1)}
    count = max(gaps, key=lambda i: gaps[i][0] - 2 * gaps[i][1], default=0)
    if not count or gaps[count][0] - 2 * gaps[count][1] < LEAST.gap:
        return None
    others = middle([row[_CHANGE] for row in rows[count:]])
    return LargestChanges(tuple(rows[:count]), *gaps[count], rows[count], others)


def _gap(larger: Row, smaller: Row) -> tuple[float, float]:
    """Return the ratio of two relative changes, and its error."""
    factor = larger[_CHANGE] / smaller[_CHANGE]
    errors = [(row.get(f"{_CHANGE}_error") or 0.0) / row[_CHANGE] for row in (larger, smaller)]
    return factor, factor * sum(errors)


def alone_in_role(rows: Sequence[Row], rank: str) -> Iterator[Finding]:
    """Yield the finding of a scan on matrices that are the only ones of their role.

    Parameters
    ----------
    rows
        The analysed rows.
    rank
        The measure of rank whose share of the full rank is compared.
    """
    single = alone(rows)
    if not single or len(rows) < 2:
        return
    measures: tuple[tuple[str, Callable[[Row], float | None], str], ...] = (
        (entry(rank).label, lambda row: _share(row, rank), " % of the full rank"),
        ("root mean square of the entries", _root_mean_square, ""),
    )
    items = []
    for row in single:
        others = [other for other in rows if other is not row]
        remarks = [_among(row, others, *measure) for measure in measures]
        items.append((row["name"], with_shape(row, "; ".join(filter(None, remarks)))))
    few = len(single) == 1
    text = (
        f"{counted(len(single), 'matrix', 'matrices')} {'is' if few else 'are'} the only "
        f"{'one' if few else 'ones'} of {'its' if few else 'their'} role, so a test within the "
        f"role is not possible. The list compares {'it' if few else 'each'} with all other "
        "matrices."
    )
    yield Finding("Alone in a role", text + more(len(items)), "plain", listing(items))


def _share(row: Row, rank: str) -> float | None:
    return None if row.get(rank) is None else 100 * float(row[rank]) / full_rank(row, rank)


def _root_mean_square(row: Row) -> float | None:
    norm = row.get("fro_norm")
    return None if norm is None else float(norm) / math.sqrt(row["rows"] * row["columns"])


def _among(
    row: Row, others: Iterable[Row], label: str, of: Callable[[Row], float | None], unit: str
) -> str:
    """Write a value of a row and its place among the values of other rows; "" without a value."""
    value, known = of(row), [number for other in others if (number := of(other)) is not None]
    if value is None or not known:
        return ""
    low, high = bounds(min(known), max(known))
    inside = min(known) <= value <= max(known)
    place = "within the range of" if inside else "below" if value < min(known) else "above"
    return f"{label} {short(value)}{unit}, {place} the others ({low} to {high})"
