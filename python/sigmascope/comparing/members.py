# SPDX-License-Identifier: BSD-3-Clause
"""Members of pairs (the tensors of a checkpoint), and pairs as rows before the analysis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sigmascope._running.selection import Selection
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.record import TensorRecord

from .rows import COLUMNS

ENTRYWISE = "entrywise"
"""Status of a pair without a spectrum, which is compared entry by entry."""

Place = tuple[str | None, int | None, str, int | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Member:
    """One matrix of a checkpoint, or one of its tensors that is not a matrix.

    Attributes
    ----------
    name, record, shape
        Name, record and shape of the matrix or tensor.
    elements
        True if it can be read entry by entry.
    source
        For a second name, the name of the original tensor; otherwise None.
    looked_up
        True if the numbers come from `source`.
    """

    name: str
    record: TensorRecord
    shape: tuple[int, ...]
    elements: bool = False
    source: str | None = None
    looked_up: bool = False

    @property
    def matrix(self) -> bool:
        """True if it has a spectrum."""
        return bool(self.record["matrices"])

    @property
    def key(self) -> str:
        """Name that looks up its numbers in the checkpoint."""
        return self.source if self.looked_up and self.source is not None else self.name

    @property
    def place(self) -> Place | None:
        """Place in the model; None if that is not known."""
        role = self.record["role"]
        if role == "other" or role.startswith("other."):
            return None
        expert, layer = self.record["expert"], self.record["layer"]
        cut = self.name[len(self.record["name"]) :] if self.matrix else ""
        in_role = {str(expert), f"layer {layer}", role}  # labels that only repeat the place
        labels = tuple(
            label
            for label in re.findall(r"\[([^\]]*)\]", cut)
            if label not in in_role and not role.endswith(label)
        )
        return self.record["tower"], layer, role, expert, labels


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the comparison to make: two tensors, or one without a partner.

    Attributes
    ----------
    before, after
        The tensors; None if there is no partner.
    status, reason
        Status of the row, and reason for it if the row has no spectra.
    rows
        Number of rows that are compared, if not all.
    note
        Remark for the column `notes`.
    label
        Suffix of the row's name, if one tensor has several rows.
    prefixes
        The prefixes before the names of both, if the names agree only without them.
    """

    before: Member | None
    after: Member | None
    status: str = "analysed"
    reason: str | None = None
    rows: int | None = None
    note: str | None = None
    label: str = ""
    prefixes: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """Name of the row."""
        return self._first.name + self.label

    @property
    def names(self) -> set[str]:
        """Names that patterns can match."""
        members = [member for member in (self.before, self.after) if member]
        return {name for member in members for name in (member.name, member.record["name"])}

    @property
    def matrix(self) -> bool:
        """True if spectra are to be computed."""
        return self.status == "analysed"

    @property
    def entrywise(self) -> bool:
        """True if the tensors are to be compared entry by entry."""
        return self.status == ENTRYWISE

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of both matrices, or 0 if no spectra are to be computed."""
        return self._nbytes if self.matrix else 0

    @property
    def _nbytes(self) -> int:
        members = (self.before, self.after)
        return sum(member.record["nbytes"] for member in members if member)

    @property
    def _first(self) -> Member:
        first = self.before or self.after
        assert first is not None
        return first

    def row(self) -> Row:
        """Return the row with the columns that the headers give."""
        row: Row = dict.fromkeys(COLUMNS)
        record = self._first.record
        row |= {column: record[column] for column in ("layer", "role", "tower", "expert")}
        row |= {"name": self.name, "nbytes": self._nbytes, "kind": record["status"]}
        for side, member in (("before", self.before), ("after", self.after)):
            if member is not None:
                row[side] = member.name
                row[f"{side}_file"] = member.record["file"]
                row[f"{side}_dtype"] = member.record["dtype"]
                row[f"{side}_shape"] = list(member.shape)
                if member.record["status"] == "unreadable":
                    row["kind"] = "unreadable"
        row["status"] = "not analysed" if self.matrix or self.entrywise else self.status
        row["reason"], row["notes"] = self.reason, self.note
        return row

    def without_prefixes(self, prefixes: tuple[str, str]) -> Pair:
        """Return the pair with a note that its names match only without these prefixes."""
        paired = f"paired by name without {prefixes_text(prefixes)}"
        note = "; ".join(filter(None, (paired, self.note)))
        return replace(self, prefixes=prefixes, note=note)


def prefixes_text(prefixes: tuple[str, str]) -> str:
    """Describe the removed prefixes: "the prefix 'module.' of after"."""
    sides = zip(prefixes, ("before", "after"), strict=True)
    return " and ".join(f"the prefix {prefix!r} of {side}" for prefix, side in sides if prefix)


def selected(
    pairs: Iterable[Pair], include: list[str], exclude: list[str], where: str
) -> list[Pair]:
    """List the rows of a comparison; every pattern of `include` must match something."""
    selection = Selection(include, exclude)
    rows = []
    for pair in pairs:
        reason = selection.reason(pair.names)
        rows.append(pair if reason is None else replace(pair, status="excluded", reason=reason))
    selection.check(where)
    return rows


def members(checkpoint: Scannable) -> Iterator[Member]:
    """List the matrices of a checkpoint, and its other tensors, in file order."""
    for tensor in checkpoint.info():
        for name in tensor["matrices"]:
            yield Member(name, checkpoint.record_of(name), checkpoint.shape_of(name))
        if not tensor["matrices"]:
            name = tensor["name"]
            readable = checkpoint.elements(name) is not None
            source = checkpoint.original_of(name) if isinstance(checkpoint, Checkpoint) else None
            yield Member(name, tensor, tensor["shape"], readable, source)
