# SPDX-License-Identifier: BSD-3-Clause
"""Summaries of a scan: rows by role and by layer, extremes, and the least certain number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sigmascope._tables.schema import Row
from sigmascope._tables.table import Table
from sigmascope._words.rows import full_rank, rank_of_product, role_in_tower
from sigmascope._words.text import median_with_error, range_of, with_error

RANKS = ("effective_rank", "stable_rank")
"""Measures for overviews; the first one that the rows have is used."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one role, and its name."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of one measure over some rows.

    Attributes
    ----------
    median, error
        Median of the rows that have the measure, and its error; None if an error is not known.
    low, high
        Ends of the range of all values, with their errors.
    count, among
        Number of rows that have the measure, and number of all.
    """

    median: float
    error: float | None
    low: float
    high: float
    count: int
    among: int

    def __str__(self) -> str:
        """Return the median, the count if some rows lack the measure, and the range."""
        text = with_error(self.median, self.error)
        if self.count < self.among:
            text += f", {self.count} of {self.among}"
        if self.count == 1 or (self.low == self.high and not self.error):
            return text
        low, high = range_of(self.low, self.high, self.median, self.error)
        return f"{text} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows by layer and role for one measure: `cells[i][j]` has the rows of line i and role j.

    A line has one layer or several neighbouring ones.
    """

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
        name = role_in_tower(row["tower"], row["role"]) if several else row["role"]
        groups.setdefault(name, []).append(row)
    return [Group(name, tuple(group)) for name, group in groups.items()]


def spread(rows: Iterable[Row], measure: str) -> Spread | None:
    """Return the spread of a measure over the rows that have it; None if no row has it."""
    rows = list(rows)
    return spread_of([(row[measure], row.get(f"{measure}_error")) for row in rows])


def spread_of(pairs: Sequence[tuple[float | None, float | None]]) -> Spread | None:
    """Return the spread of values with their errors; None if there is no value."""
    known = [(value, error) for value, error in pairs if value is not None]
    if not known:
        return None
    return Spread(
        *median_with_error(known),
        min(value - (error or 0.0) for value, error in known),
        max(value + (error or 0.0) for value, error in known),
        len(known),
        len(pairs),
    )


def rank_measure(rows: Iterable[Row]) -> str:
    """Return the first of `RANKS` that some row has."""
    rows = list(rows)
    return next((m for m in RANKS if any(row[m] is not None for row in rows)), RANKS[-1])


def by_layer(rows: Iterable[Row], most: int = 24) -> Grid:
    """Arrange rows by layer and role; neighbouring layers share a line if there are many.

    Parameters
    ----------
    rows
        Analysed rows; those without a layer are left out.
    most
        Largest number of lines.
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
    """Return a rank as a fraction of the full rank, which compares matrices of all sizes."""
    rank: float = row[measure]
    return rank / full_rank(row)


def whole_of(rows: Iterable[Row]) -> str:
    """Return the name of the rank that :func:`fraction` divides by."""
    rows = list(rows)
    of_products = {row.get("product_rank") is not None for row in rows}
    return rank_of_product(rows) if of_products == {True} else "the full rank"


def extremes(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Return at most three rows of lowest and of highest rank, as a fraction of full rank."""
    rows = list(rows)
    measure = rank_measure(rows)
    known = sorted(
        (row for row in rows if row[measure] is not None), key=lambda row: fraction(row, measure)
    )
    count = min(3, len(known) // 2)
    return known[:count], known[len(known) - count :][::-1]


def largest_logits(rows: Iterable[Row]) -> list[Row]:
    """Return at most three rows with the largest bounds on attention logits."""
    known = [row for row in rows if row.get("logit_bound_any_positions") is not None]
    return sorted(known, key=lambda row: -row["logit_bound_any_positions"])[:3]


def least_certain(rows: Iterable[Row], measures: Sequence[str]) -> tuple[Row, str] | None:
    """Return the row and measure with the largest relative error; None if all are exact."""
    worst: tuple[float, Row, str] | None = None
    for row in rows:
        for measure in measures:
            value, error = row[measure], row[f"{measure}_error"]
            if value and error:
                relative = error / abs(value)
                if worst is None or relative > worst[0]:
                    worst = relative, row, measure
    return None if worst is None else worst[1:]


def part_of(table: Table) -> list[str]:
    """Say which part of a scan or a comparison a table is; nothing for a whole table."""
    shard = table.shard
    if shard is None:
        return []
    return [f"part {shard}, with {len(shard.positions):,} of {shard.total:,} rows"]


def without_spectrum(rows: Iterable[Row]) -> Counter[str]:
    """Count by kind the tensors that cannot have a spectrum, whether they were read or not."""
    return Counter(
        row["kind"]
        for row in rows
        if row["status"] in ("not analysed", "entrywise") and row["kind"] != "unreadable"
    )
