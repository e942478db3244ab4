# SPDX-License-Identifier: BSD-3-Clause
"""Matrices with a special structure, and matrices that medians leave out, each with the reason.

A zero matrix, for example, has no effective rank, so the median of its role is over fewer matrices
than the role has. Rows are plain records here, of scans or of comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sigmascope._words.rows import RowView, largest_first
from sigmascope._words.text import with_shape

_OF_EDGE = ("mp_", "effective_rank_above_edge")
"""Beginnings of the names of measures that need a bulk of noise."""

_NO_EDGE = ("no noise edge", "rounding alone")
"""Words of a note that say why there is no such bulk."""

NAMED = 3
"""Largest number of names in one line; the rest is counted."""


def special(row: RowView) -> str | None:
    """Describe the special structure of a row's matrix or matrices; None if there is not one."""
    if row.get("structure"):
        return str(row["structure"])
    before, after = row.get("before_structure"), row.get("after_structure")
    if before == after:
        return None if before is None else f"{before}, before and after"
    sides = (("before", before), ("after", after))
    return "; ".join(f"{side}: {words}" for side, words in sides if words)


def specials(rows: Iterable[RowView]) -> list[tuple[str, str]]:
    """List (name, structure) of all special matrices, zero ones first, then by size."""
    matrices = [(row, words) for row in largest_first(rows) if (words := special(row))]
    matrices.sort(key=lambda item: _order(item[1]))
    return [(row["name"], with_shape(row, words)) for row, words in matrices]


def _order(structure: str) -> int:
    kinds = ("all zero", "constant", r"rank 1\b", "rank")
    return next((i for i, kind in enumerate(kinds) if re.search(kind, structure)), len(kinds))


@dataclass(frozen=True, slots=True)
class Omission:
    """Measures whose median leaves out some matrices.

    Attributes
    ----------
    measures
        Columns in which the same matrices have no number.
    count, total
        Number of matrices with these measures, and number of all.
    names
        Names of the matrices without them, each with the reason.
    """

    measures: tuple[str, ...]
    count: int
    total: int
    names: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        first = ", ".join(f"{name} ({why})" for name, why in self.names[:NAMED])
        more = len(self.names) - NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        return f"median over {self.count:,} of {self.total:,}; omitted: {first}{rest}"


def omissions(rows: Sequence[RowView], measures: Iterable[str]) -> list[Omission]:
    """List the measures that only some of the rows have, grouped by the rows that lack them."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for measure in measures:
        lacking = tuple(i for i, row in enumerate(rows) if row.get(measure) is None)
        if 0 < len(lacking) < len(rows):
            groups.setdefault(lacking, []).append(measure)
    return [
        Omission(
            tuple(names),
            len(rows) - len(lacking),
            len(rows),
            tuple((rows[i]["name"], _why(rows[i], rows, names[0])) for i in lacking),
        )
        for lacking, names in groups.items()
    ]


def _why(row: RowView, rows: Sequence[RowView], measure: str) -> str:
    """Return the reason why a row lacks a measure that others have."""
    having = {other.get("effort") for other in rows if other.get(measure) is not None}
    effort = row.get("effort")
    absent = "undefined" if effort in having else f"not at effort {effort}"
    return special(row) or _without_edge(row, measure) or absent


def _without_edge(row: RowView, measure: str) -> str:
    """Return the reason from a row's notes why it lacks a measure of the noise edge."""
    group = "" if measure.startswith(_OF_EDGE) else measure.partition("_")[0]
    if not measure.removeprefix(f"{group}_").startswith(_OF_EDGE):
        return ""
    for note in (row.get("notes") or "").split("; "):
        about = note.partition(": ")[0].split(", ")
        for why in _NO_EDGE:
            if why in note and (not group or group in about):
                return why
    return ""
