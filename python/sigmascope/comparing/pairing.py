# SPDX-License-Identifier: BSD-3-Clause
"""Which tensors of two checkpoints belong together, and why the others do not.

Two tensors are a pair if they have the same name, or else if each is the only one of its checkpoint
in its place: tower, layer, role, expert, and the label of what is cut out of it. Prefixes, dtypes
and shards do not matter to that. Nothing is guessed: a tensor of unknown role has its name alone,
and where several could be meant, they are listed as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sigmascope._display.text import times
from sigmascope._running.selection import Selection
from sigmascope._tables.schema import Row
from sigmascope.adapters import Scannable
from sigmascope.checkpoint import Checkpoint, TensorRecord
from sigmascope.checkpoint.quantised.layouts import TIED

from .rows import COLUMNS

ENTRYWISE = "entrywise"
"""The status of a pair without a spectrum, whose numbers are compared one by one."""

Place = tuple[str, int | None, str, int | None, tuple[str, ...]]

VOCABULARY = ("embed", "unembed")
"""Roles of matrices with a row for each word: when words are added, the common rows compare."""


@dataclass(frozen=True, slots=True)
class Member:
    """One matrix of a checkpoint, or a tensor of it that is none; `shape` is that of the matrix.

    `elements`: whether its numbers can be read one by one. `source` is the tensor that it is a
    second name of, if it is one; where its numbers are then looked up, `looked_up`.
    """

    name: str
    record: TensorRecord
    shape: tuple[int, ...]
    elements: bool = False
    source: str | None = None
    looked_up: bool = False

    @property
    def matrix(self) -> bool:
        """Whether it has a spectrum."""
        return bool(self.record["matrices"])

    @property
    def key(self) -> str:
        """What it is looked up by in its checkpoint."""
        return self.source if self.looked_up and self.source is not None else self.name

    @property
    def place(self) -> Place | None:
        """Where it stands in the model; None if that is not known."""
        role = self.record["role"]
        if role == "other" or role.startswith("other."):
            return None
        expert = self.record["expert"]
        cut = self.name[len(self.record["name"]) :] if self.matrix else ""
        told = {str(expert), role}  # what the role itself says of the cut
        labels = tuple(
            label
            for label in re.findall(r"\[([^\]]*)\]", cut)
            if label not in told and not role.endswith(label)
        )
        return self.record["tower"], self.record["layer"], role, expert, labels


@dataclass(frozen=True, slots=True)
class Pair:
    """A row to come: two tensors that belong together, or one without a partner.

    `status` and `reason` are those of a row that has no spectra; `rows` is how many rows compare,
    where that is not all of them; `label` follows the name in that of the row, where one tensor has
    several.
    """

    before: Member | None
    after: Member | None
    status: str = "analysed"
    reason: str | None = None
    rows: int | None = None
    note: str | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """Of the row."""
        return self._first.name + self.label

    @property
    def names(self) -> set[str]:
        """By which patterns know it."""
        members = [member for member in (self.before, self.after) if member]
        return {name for member in members for name in (member.name, member.record["name"])}

    @property
    def matrix(self) -> bool:
        """Whether it is to be analysed."""
        return self.status == "analysed"

    @property
    def entrywise(self) -> bool:
        """Whether its numbers are to be compared one by one."""
        return self.status == ENTRYWISE

    @property
    def stored_bytes(self) -> int:
        """Of both, if they are to be analysed."""
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
        """Begin its row, with what the headers tell."""
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


def selected(
    pairs: Iterable[Pair], include: list[str], exclude: list[str], where: str
) -> list[Pair]:
    """List the rows of a comparison; every pattern of `include` must select something."""
    wanted = Selection(include, exclude)
    found = []
    for pair in pairs:
        reason = wanted.reason(pair.names)
        found.append(pair if reason is None else replace(pair, status="excluded", reason=reason))
    wanted.check(where)
    return found


def members(checkpoint: Scannable) -> Iterator[Member]:
    """List the matrices of a checkpoint, and its tensors that are none, in file order."""
    for tensor in checkpoint.info():
        for name in tensor["matrices"]:
            yield Member(name, checkpoint.record_of(name), checkpoint.shape_of(name))
        if not tensor["matrices"]:
            name = tensor["name"]
            readable = checkpoint.elements(name) is not None
            source = checkpoint.original_of(name) if isinstance(checkpoint, Checkpoint) else None
            yield Member(name, tensor, tensor["shape"], readable, source)


def linked(before: list[Member], after: list[Member]) -> Iterator[Pair]:
    """Pair by name, then by place; what is left in each is without a partner."""
    named = {member.name: member for member in after}
    partners = {member.name: named[member.name] for member in before if member.name in named}
    free = [member for member in after if member.name not in partners]
    taken = set(partners)
    places, offers = _by_place(before), _by_place(after)
    for place, ours in places.items():
        theirs = offers.get(place, [])
        if (
            len(ours) == len(theirs) == 1
            and ours[0].name not in partners
            and theirs[0].name not in taken
        ):
            partners[ours[0].name] = theirs[0]
    taken = {member.name for member in partners.values()}
    originals = {member.name: member for member in before}, {m.name: m for m in after}
    for member in before:
        partner = partners.get(member.name)
        if partner is not None:
            yield _judged(*_untied(member, partner, partners, originals))
        else:
            yield Pair(member, None, "unpaired", _alone(member, places, offers, "after"))
    for member in free:
        if member.name not in taken:
            yield Pair(None, member, "unpaired", _alone(member, offers, places, "before"))


def _by_place(members: list[Member]) -> dict[Place, list[Member]]:
    found: dict[Place, list[Member]] = {}
    for member in members:
        if (place := member.place) is not None:
            found.setdefault(place, []).append(member)
    return found


def _alone(
    member: Member,
    own: dict[Place, list[Member]],
    others: dict[Place, list[Member]],
    where: str,
) -> str:
    """Say why a tensor has no partner."""
    place = member.place
    if place is None:
        return f"{where} has no tensor of this name, and its role is not known"
    several, offers = own[place], others.get(place, [])
    if not offers:
        return f"{where} has no tensor of this name, and none that is {_words(place)}"
    names = ", ".join(other.name for other in offers)
    if len(several) > 1:
        return f"ambiguous: {len(several)} tensors are {_words(place)}, {where} has {names}"
    return f"ambiguous: {where} has {len(offers)} tensors that are {_words(place)}: {names}"


def _words(place: Place) -> str:
    tower, layer, role, expert, labels = place
    text = f"{tower} {role}"
    text += "".join(f"[{label}]" for label in labels)
    text += f" of layer {layer}" if layer is not None else ""
    return text + (f", expert {expert}" if expert is not None else "")


def _untied(
    before: Member,
    after: Member,
    partners: dict[str, Member],
    originals: tuple[dict[str, Member], dict[str, Member]],
) -> tuple[Member, Member]:
    """Put the tensors that two are second names of in their places, unless these are a pair too."""
    known = partners.get(before.source or "")
    if known is not None and after.source == known.name:
        return before, after
    return _original(before, originals[0]), _original(after, originals[1])


def _original(member: Member, members: dict[str, Member]) -> Member:
    """Return what is looked up for a second name, under that name."""
    original = members.get(member.source or "")
    if original is None:
        return member
    record = member.record.copy()
    record["matrices"] = original.record["matrices"]
    return replace(member, record=record, elements=original.elements, looked_up=True)


def _judged(before: Member, after: Member) -> Pair:
    """Say whether two that belong together can be compared, and how much of them."""
    members = (("before", before), ("after", after))
    notes = [f"{side}: {TIED}{one.source}" for side, one in members if one.looked_up]
    note = "; ".join(notes) or None
    if before.matrix and after.matrix:
        return _matrices(before, after, note)
    lost = [f"{side}: {one.record['reason']}" for side, one in members if not one.matrix]
    if len(lost) == 1:
        return Pair(before, after, "not analysed", lost[0], note=note)
    known = all(one.elements or one.record["status"] == "empty" for _, one in members)
    if known and before.shape != after.shape:
        return Pair(before, after, "unpaired", _shapes_differ(before, after))
    status = ENTRYWISE if before.elements and after.elements else "not analysed"
    return Pair(before, after, status, before.record["reason"], note=note)


def _matrices(before: Member, after: Member, note: str | None) -> Pair:
    """Say how much of two matrices can be compared."""
    if before.shape == after.shape:
        return Pair(before, after, note=note)
    role = before.record["role"]
    if role in VOCABULARY and role == after.record["role"] and before.shape[1] == after.shape[1]:
        m, n = (times(member.shape) for member in (before, after))
        rows = min(before.shape[0], after.shape[0])
        cut = f"{m} before, {n} after: the first {rows} rows are compared"
        return Pair(before, after, rows=rows, note="; ".join(filter(None, (cut, note))))
    return Pair(before, after, "unpaired", _shapes_differ(before, after))


def _shapes_differ(before: Member, after: Member) -> str:
    m, n = (times(member.shape) or "a scalar" for member in (before, after))
    return f"shapes differ: {m} before, {n} after"
