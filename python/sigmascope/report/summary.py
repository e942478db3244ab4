# SPDX-License-Identifier: BSD-3-Clause
"""What a scan says as a whole: its rows by role and by layer, and those that stand out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sigmascope._display.text import bounds, median_with_error, with_error
from sigmascope._tables.schema import Row

RANKS = ("effective_rank", "stable_rank")
"""The measures that an overview is built on: the first that a scan has."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together, under a name."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """What one measure is over some rows.

    Attributes
    ----------
    median, error
        Of the rows that have it, and how far that can be off; None where an error is not known.
    low, high
        All values with their errors are between them.
    count, among
        How many rows have it, of how many.
    """

    median: float
    error: float | None
    low: float
    high: float
    count: int
    among: int

    def __str__(self) -> str:
        """The median, of how many if not of all, and the range where there are several."""
        text = with_error(self.median, self.error)
        if self.count < self.among:
            text += f", {self.count} of {self.among}"
        if self.count == 1 or (self.low == self.high and not self.error):
            return text
        return f"{text} ({' to '.join(bounds(self.low, self.high))})"


@dataclass(frozen=True, slots=True)
class Grid:
    """One measure by layer and role: `cells[i][j]` are the rows of layers i and role j."""

    measure: str
    layers: tuple[str, ...]
    roles: tuple[str, ...]
    cells: tuple[tuple[tuple[Row, ...], ...], ...]


def by_role(rows: Iterable[Row]) -> list[Group]:
    """Group rows by role, with the tower before it if there is more than one."""
    rows = list(rows)
    several = len({row["tower"] for row in rows}) > 1
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{row['tower']} {row['role']}" if several else row["role"]
        groups.setdefault(name, []).append(row)
    return [Group(name, tuple(found)) for name, found in groups.items()]


def spread(rows: Iterable[Row], measure: str) -> Spread | None:
    """Summarise a measure over the rows that have it; None if none has."""
    rows = list(rows)
    return spread_of([(row[measure], row.get(f"{measure}_error")) for row in rows])


def spread_of(pairs: Sequence[tuple[float | None, float | None]]) -> Spread | None:
    """Summarise values with their errors; None if no value is there."""
    found = [(value, error) for value, error in pairs if value is not None]
    if not found:
        return None
    return Spread(
        *median_with_error(found),
        min(value - (error or 0.0) for value, error in found),
        max(value + (error or 0.0) for value, error in found),
        len(found),
        len(pairs),
    )


def rank_measure(rows: Iterable[Row]) -> str:
    """Return the first of `RANKS` that some row has."""
    rows = list(rows)
    return next((m for m in RANKS if any(row[m] is not None for row in rows)), RANKS[-1])


def by_layer(rows: Iterable[Row], most: int = 24) -> Grid:
    """Arrange the rows that belong to a layer; neighbours share a line if there are many layers.

    Parameters
    ----------
    rows
        Analysed rows; those without a layer are left out.
    most
        Lines at most.
    """
    rows = [row for row in rows if row["layer"] is not None]
    numbers = sorted({row["layer"] for row in rows})
    step = -(-len(numbers) // most) or 1
    lines = [numbers[i : i + step] for i in range(0, len(numbers), step)]
    roles = by_role(rows)
    cells = tuple(
        tuple(tuple(row for row in role.rows if row["layer"] in set(line)) for role in roles)
        for line in lines
    )
    names = tuple(f"{line[0]}" if len(line) == 1 else f"{line[0]}-{line[-1]}" for line in lines)
    return Grid(rank_measure(rows), names, tuple(role.name for role in roles), cells)


def fraction(row: Row, measure: str) -> float:
    """Return a rank as a fraction of the full rank, so that matrices of all sizes compare."""
    rank: float = row[measure]
    return rank / full_rank(row)


def full_rank(row: Row) -> int:
    """Return how many singular values a matrix has."""
    return int(min(row["rows"], row["columns"]))


def extremes(rows: Iterable[Row], count: int = 3) -> tuple[list[Row], list[Row]]:
    """Return the rows of lowest rank as a fraction of full rank, and those of highest."""
    rows = list(rows)
    measure = rank_measure(rows)
    known = sorted(
        (row for row in rows if row[measure] is not None), key=lambda row: fraction(row, measure)
    )
    count = min(count, len(known) // 2)
    return known[:count], known[len(known) - count :][::-1]


def least_certain(rows: Iterable[Row], measures: Sequence[str]) -> tuple[Row, str] | None:
    """Return the row and the measure of the largest relative error; None if all are exact."""
    worst: tuple[float, Row, str] | None = None
    for row in rows:
        for measure in measures:
            value, error = row[measure], row[f"{measure}_error"]
            if value and error:
                relative = error / abs(value)
                if worst is None or relative > worst[0]:
                    worst = relative, row, measure
    return None if worst is None else worst[1:]


def without_spectrum(rows: Iterable[Row]) -> Counter[str]:
    """Count the tensors that are not meant to have a spectrum, by what they are, read or not."""
    return Counter(
        row["kind"]
        for row in rows
        if row["status"] in ("not analysed", "entrywise") and row["kind"] != "unreadable"
    )
