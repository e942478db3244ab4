# SPDX-License-Identifier: BSD-3-Clause
"""The verdict of a comparison: the number of tensors that changed, are equal, or were not compared.

A verdict makes a claim only for the tensors that were compared, and counts the others by reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sigmascope._words.rows import RowView

from .text import counted

Outcome = Literal[
    "changed", "within rounding", "identical", "not adapted", "shared", "part", "not compared"
]

COMPARED = ("analysed", "entrywise")
"""Statuses of rows whose numbers were compared."""

NOT_ADAPTED = "not adapted"
"""Reason in the row of a weight that an adapter does not change."""

ALONE_INTEGERS = "without a partner (integers)"
"""Reason in a verdict: integers of 2 bytes and more, or booleans, in only one checkpoint.

Such buffers count positions or mask them; converters leave them out. Integers of one byte may be
the codes of weights.
"""

_CODES = ("I8", "U8", "I4", "U4")

_UNSEEN = {
    "failed": "failed",
    "excluded": "excluded",
    "unreadable": "cannot be read",
    "other": "not a tensor",
    "whole": "saved whole",
    "unpaired": "without a partner",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tensors of a comparison, by name.

    Every tensor is in exactly one of the first seven groups.

    Attributes
    ----------
    changed
        Tensors whose change exceeds the rounding of their formats, in norm or in a single entry;
        tensors whose rounding is not known; and quantised tensors with directions that are hurt.
    within_rounding
        Tensors that differ, but not by more than the rounding of their formats.
    identical
        Tensors that are the same, entry by entry, including empty ones.
    not_adapted
        Weights that an adapter does not change.
    shared
        Second names of tensors that are compared under their first name.
    parts
        Scales and other parts of quantised weights of one side, which are decoded with the weights.
    not_compared
        All other tensors by reason: "failed", "excluded", "cannot be read", "not a tensor", "saved
        whole", "without a partner", or the kind of tensor, like "scale".
    in_part
        Tensors of the first three groups with a resized vocabulary: only their common rows were
        compared.
    to_come
        Number of rows that an interrupted comparison lacks.
    matrices
        Tensors that were compared and have spectra.
    quantised
        Number of tensors that are quantised in one of the two checkpoints.
    """

    changed: tuple[str, ...]
    within_rounding: tuple[str, ...]
    identical: tuple[str, ...]
    not_adapted: tuple[str, ...]
    shared: tuple[str, ...]
    parts: tuple[str, ...]
    not_compared: Mapping[str, tuple[str, ...]]
    in_part: tuple[str, ...]
    to_come: int
    matrices: frozenset[str]
    quantised: int = 0

    @property
    def compared(self) -> int:
        """Number of tensors that were compared."""
        return len(self.changed) + len(self.within_rounding) + len(self.identical)

    @property
    def complete(self) -> bool:
        """True if every tensor was compared with all its entries."""
        return not self.not_compared and not self.in_part and not self.to_come

    def __str__(self) -> str:
        return " ".join([self._of_compared(), *self._of_others()])

    def _of_compared(self) -> str:
        changed, rounded, same = map(len, (self.changed, self.within_rounding, self.identical))
        if not self.compared:
            return "Nothing was compared."
        what = counted(self.compared, "tensor")
        rest = f" {same:,} {'is' if same == 1 else 'are'} identical in every entry."
        if changed:
            text = f"{changed:,} of {what} changed{self._split()}."
            text += f" {rounded:,} changed by no more than rounding." if rounded else ""
            return text + rest * bool(same)
        if rounded and self.quantised:
            text = f"No tensor of {self.compared:,} changed by more than rounding to its format"
            return f"{text}; {self.quantised:,} are quantised." + rest * bool(same)
        if rounded:
            who = "between the two" if self.complete else "in what was compared"
            text = f"No tensor of {self.compared:,} changed by more than rounding:"
            return f"{text} there is no clear difference {who}." + rest * bool(same)
        return f"Identical in every entry: {what}."

    def _split(self) -> str:
        """Write how many of the changed tensors are matrices, if others were compared, too."""
        matrices, of = len(self.matrices), len(self.matrices.intersection(self.changed))
        others = self.compared - matrices
        if not matrices or not others:
            return ""
        all_matrices = counted(matrices, "matrix", "matrices")
        return f" ({of:,} of {all_matrices}, {len(self.changed) - of:,} of {others:,} others)"

    def _of_others(self) -> Iterator[str]:
        if self.not_adapted:
            yield (f"Not in the adapter, so unchanged: {counted(len(self.not_adapted), 'tensor')}.")
        if self.parts:
            scales = counted(len(self.parts), "scale or other part", "scales and other parts")
            yield f"Decoded with their weights: {scales}."
        if self.not_compared:
            total = sum(map(len, self.not_compared.values()))
            tensors = f"{counted(total, 'tensor')} that {'was' if total == 1 else 'were'}"
            parts = ", ".join(f"{len(names):,} {why}" for why, names in self.not_compared.items())
            yield f"Nothing is known about {tensors} not compared: {parts}."
        if self.in_part:
            yield f"Of different sizes, compared only on their common rows: {len(self.in_part):,}."
        if self.to_come:
            yield f"Not finished: {counted(self.to_come, 'row')} missing."


def verdict(rows: Iterable[RowView], expected: int | None = None) -> Verdict:
    """Sort the rows of a comparison.

    Parameters
    ----------
    rows
        Rows of a :class:`Comparison`; columns may be missing.
    expected
        Number of rows of the complete comparison, if some may be missing.
    """
    rows = list(rows)
    by_group: dict[str, list[str]] = {}
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        group = outcome(row)
        into, key = (by_reason, _why(row)) if group == "not compared" else (by_group, group)
        into.setdefault(key, []).append(row["name"])
    groups = ("changed", "within rounding", "identical", "not adapted", "shared", "part")
    changed, rounded, same, untouched, shared, parts = (tuple(by_group.get(g, ())) for g in groups)
    return Verdict(
        changed=changed,
        within_rounding=rounded,
        identical=same,
        not_adapted=untouched,
        shared=shared,
        parts=parts,
        not_compared={why: tuple(names) for why, names in by_reason.items()},
        in_part=tuple(row["name"] for row in rows if _in_part(row)),
        to_come=max((expected or 0) - len(rows), 0),
        matrices=frozenset(row["name"] for row in rows if row["status"] == "analysed"),
        quantised=sum(row.get("effective_bits") is not None for row in rows),
    )


def outcome(row: RowView) -> Outcome:
    """Return the group of a row of a comparison; see :class:`Verdict`."""
    if row["status"] in COMPARED:
        if _same(row):
            return "identical"
        single = (row.get("beyond_rounding") or 0) > 0  # entries, or directions of W
        single |= bool(row.get("hurt_directions"))
        return "changed" if single or row.get("above_rounding") is not False else "within rounding"
    if row["status"] != "not analysed":
        return "not compared"
    if row.get("reason") == NOT_ADAPTED:
        return "not adapted"
    both = row.get("before") is not None and row.get("after") is not None
    if not both and row.get("kind") in ("scale", "part"):
        return "part"
    if both and row.get("kind") == "tied":
        return "shared"
    return "identical" if both and row.get("kind") == "empty" else "not compared"


def _same(row: RowView) -> bool:
    """Return True if both tensors are equal, by the count of changed entries if there is one."""
    if row.get("changed_entries") is not None:
        return bool(row["changed_entries"] == 0)
    norm = row.get("delta_fro_norm")
    return bool((row.get("relative_change") if norm is None else norm) == 0)


def _in_part(row: RowView) -> bool:
    shapes = row.get("before_shape"), row.get("after_shape")
    return row["status"] in COMPARED and None not in shapes and shapes[0] != shapes[1]


def _why(row: RowView) -> str:
    kind = row.get("kind") or "without a reason"
    if row["status"] == "not analysed" and kind in ("matrix", "stack", "kernel"):
        return "not a matrix in the other"
    if row["status"] == "unpaired" and kind == "integer" and _dtype(row) not in _CODES:
        return ALONE_INTEGERS
    return _UNSEEN.get(row["status"]) or _UNSEEN.get(kind, kind)


def _dtype(row: RowView) -> str | None:
    return row.get("before_dtype") or row.get("after_dtype")
