# SPDX-License-Identifier: BSD-3-Clause
"""What two checkpoints are to each other, as the rows of a comparison tell: every tensor counts.

A verdict never says more than what was looked at: what was not is counted beside it, by the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .text import counted

Row = Mapping[str, Any]
Outcome = Literal[
    "changed", "within rounding", "identical", "not adapted", "shared", "not compared"
]

COMPARED = ("analysed", "entrywise")
"""The statuses of rows whose numbers were compared."""

NOT_ADAPTED = "not adapted"
"""The reason of a weight that an adapter leaves as it is."""

_UNSEEN = {
    "failed": "failed",
    "excluded": "excluded",
    "unreadable": "cannot be read",
    "other": "no tensor",
    "whole": "saved whole",
    "unpaired": "without a partner",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every tensor of a comparison, by its name, in exactly one of these.

    Attributes
    ----------
    changed
        Tensors that differ by more than the rounding of their formats, as a whole or in a single
        entry, or whose rounding is not known.
    within_rounding
        Tensors that differ by no more than that.
    identical
        Tensors that are the same, number for number; empty ones among them.
    not_adapted
        Weights that an adapter does not change.
    shared
        Second names of tensors that are compared under their first.
    not_compared
        All others by what kept them from it: "failed", "excluded", "cannot be read", "no tensor",
        "saved whole", "without a partner", or what they are, like "scale".
    in_part
        Those of the first three of which only the common rows were compared: resized vocabularies.
    to_come
        Rows that an interrupted comparison lacks.
    matrices
        Those that were compared, and have spectra.
    """

    changed: tuple[str, ...]
    within_rounding: tuple[str, ...]
    identical: tuple[str, ...]
    not_adapted: tuple[str, ...]
    shared: tuple[str, ...]
    not_compared: Mapping[str, tuple[str, ...]]
    in_part: tuple[str, ...]
    to_come: int
    matrices: frozenset[str]

    @property
    def compared(self) -> int:
        """How many tensors were compared."""
        return len(self.changed) + len(self.within_rounding) + len(self.identical)

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.not_compared and not self.in_part and not self.to_come

    def __str__(self) -> str:
        return " ".join([self._of_compared(), *self._of_others()])

    def _of_compared(self) -> str:
        changed, rounded, same = map(len, (self.changed, self.within_rounding, self.identical))
        if not self.compared:
            return "Nothing was compared."
        what = counted(self.compared, "tensor")
        rest = f" {same:,} {'is' if same == 1 else 'are'} the same, number for number."
        if changed:
            text = f"{changed:,} of {what} changed{self._split()}."
            text += f" {rounded:,} changed by no more than rounding." if rounded else ""
            return text + rest * bool(same)
        if rounded:
            who = "the two are" if self.complete else "what was compared is"
            text = f"No tensor of {self.compared:,} changed by more than rounding:"
            return f"{text} {who} not distinguishable." + rest * bool(same)
        return f"The same, number for number: {what}."

    def _split(self) -> str:
        """Say how many of those that changed are matrices, where there are others too."""
        matrices, of = len(self.matrices), len(self.matrices.intersection(self.changed))
        others = self.compared - matrices
        if not matrices or not others:
            return ""
        all_matrices = counted(matrices, "matrix", "matrices")
        return f" ({of:,} of {all_matrices}, {len(self.changed) - of:,} of {others:,} others)"

    def _of_others(self) -> Iterator[str]:
        if self.not_adapted:
            yield f"Not adapted, and so as they were: {counted(len(self.not_adapted), 'tensor')}."
        if self.not_compared:
            total = sum(map(len, self.not_compared.values()))
            parts = ", ".join(f"{len(names):,} {why}" for why, names in self.not_compared.items())
            yield f"Not compared, so that nothing is said of them: {total:,} ({parts})."
        if self.in_part:
            yield f"Of other sizes, and compared on their common rows alone: {len(self.in_part):,}."
        if self.to_come:
            yield f"Not finished: {counted(self.to_come, 'row')} to come."


def verdict(rows: Iterable[Row], expected: int | None = None) -> Verdict:
    """Sort the rows of a comparison.

    Parameters
    ----------
    rows
        Of a :class:`Comparison`; columns may be missing.
    expected
        How many rows there are in all, if some may be to come.
    """
    rows = list(rows)
    found: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for row in rows:
        group = outcome(row)
        into, key = (lost, _why(row)) if group == "not compared" else (found, group)
        into.setdefault(key, []).append(row["name"])
    groups = ("changed", "within rounding", "identical", "not adapted", "shared")
    changed, rounded, same, untouched, shared = (tuple(found.get(g, ())) for g in groups)
    return Verdict(
        changed=changed,
        within_rounding=rounded,
        identical=same,
        not_adapted=untouched,
        shared=shared,
        not_compared={why: tuple(names) for why, names in lost.items()},
        in_part=tuple(row["name"] for row in rows if _in_part(row)),
        to_come=max((expected or 0) - len(rows), 0),
        matrices=frozenset(row["name"] for row in rows if row["status"] == "analysed"),
    )


def outcome(row: Row) -> Outcome:
    """Say what a row of a comparison tells of its pair; see :class:`Verdict`."""
    if row["status"] in COMPARED:
        if _same(row):
            return "identical"
        single = (row.get("beyond_rounding") or 0) > 0
        return "changed" if single or row.get("above_rounding") is not False else "within rounding"
    if row["status"] != "not analysed":
        return "not compared"
    if row.get("reason") == NOT_ADAPTED:
        return "not adapted"
    both = row.get("before") is not None and row.get("after") is not None
    if both and row.get("kind") == "tied":
        return "shared"
    return "identical" if both and row.get("kind") == "empty" else "not compared"


def _same(row: Row) -> bool:
    """Whether every number of a pair is the same; the count is the surest sign of it."""
    if row.get("changed_entries") is not None:
        return bool(row["changed_entries"] == 0)
    norm = row.get("delta_fro_norm")
    return bool((row.get("relative_change") if norm is None else norm) == 0)


def _in_part(row: Row) -> bool:
    shapes = row.get("before_shape"), row.get("after_shape")
    return row["status"] in COMPARED and None not in shapes and shapes[0] != shapes[1]


def _why(row: Row) -> str:
    kind = row.get("kind") or "without a reason"
    if row["status"] == "not analysed" and kind in ("matrix", "stack", "kernel"):
        return "no matrix in the other"
    return _UNSEEN.get(row["status"]) or _UNSEEN.get(kind, kind)
