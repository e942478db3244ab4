# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are no ordinary ones, and what medians leave out: named, with the reason.

A zero matrix has no effective rank, so a median over a role is one of fewer matrices than the role
has. Rows are plain records here, of scans or of comparisons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

NAMED = 3
"""Names that one line holds; the rest is counted."""


def special(row: Row) -> str | None:
    """Say what makes the matrix of a row no ordinary one, or either of a pair; None if nothing."""
    if row.get("structure"):
        return str(row["structure"])
    before, after = row.get("before_structure"), row.get("after_structure")
    if before == after:
        return None if before is None else f"{before}, before and after"
    sides = (("before", before), ("after", after))
    return "; ".join(f"{side}: {found}" for side, found in sides if found)


def specials(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """List (name, what it is) of all that are no ordinary ones, the emptiest first."""
    found = [(row["name"], said) for row in rows if (said := special(row))]
    return sorted(found, key=lambda item: _order(item[1]))


def _order(said: str) -> int:
    words = ("all zero", "constant", "rank 1", "rank")
    return next((i for i, word in enumerate(words) if word in said), len(words))


@dataclass(frozen=True, slots=True)
class Omission:
    """Measures whose median is one of fewer matrices than there are.

    Attributes
    ----------
    measures
        Columns that the same matrices have no number in.
    count, total
        How many matrices have them, and how many there are.
    names
        Those that have not, each with the reason.
    """

    measures: tuple[str, ...]
    count: int
    total: int
    names: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        first = ", ".join(f"{name} ({why})" for name, why in self.names[:NAMED])
        more = len(self.names) - NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        return f"median of {self.count:,} of {self.total:,}; left out: {first}{rest}"


def omissions(rows: Sequence[Row], measures: Iterable[str]) -> list[Omission]:
    """Say which medians over some rows leave out which of them; nothing where none has a number."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for measure in measures:
        lacking = tuple(i for i, row in enumerate(rows) if row.get(measure) is None)
        if 0 < len(lacking) < len(rows):
            groups.setdefault(lacking, []).append(measure)
    return [
        Omission(
            tuple(found),
            len(rows) - len(lacking),
            len(rows),
            tuple((rows[i]["name"], _why(rows[i], rows, found[0])) for i in lacking),
        )
        for lacking, found in groups.items()
    ]


def _why(row: Row, rows: Sequence[Row], measure: str) -> str:
    """Say why a matrix has no number where others of its rows have one."""
    having = {other.get("effort") for other in rows if other.get(measure) is not None}
    effort = row.get("effort")
    absent = "undefined" if effort in having else f"not at effort {effort}"
    return special(row) or absent
