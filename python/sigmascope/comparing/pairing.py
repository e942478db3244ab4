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

from sigmascope.adapters import Scannable
from sigmascope.checkpoint import TensorRecord
from sigmascope.scanning.items import Selection
from sigmascope.scanning.rows import Row

from .rows import COLUMNS

Place = tuple[str, int | None, str, int | None, tuple[str, ...]]

VOCABULARY = ("embed", "unembed")
"""Roles of matrices with a row for each word: when words are added, the common rows compare."""


@dataclass(frozen=True, slots=True)
class Member:
    """One matrix of a checkpoint, or a tensor of it that is none; `shape` is that of the matrix."""

    name: str
    record: TensorRecord
    shape: tuple[int, ...]

    @property
    def matrix(self) -> bool:
        """Whether it has a spectrum."""
        return bool(self.record["matrices"])

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

    `status` and `reason` are those of a row that is not analysed; `rows` is how many rows compare,
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
        row["status"] = "not analysed" if self.matrix else self.status
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
            yield Member(tensor["name"], tensor, tensor["shape"])


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
    for member in before:
        partner = partners.get(member.name)
        if partner is not None:
            yield _judged(member, partner)
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


def _judged(before: Member, after: Member) -> Pair:
    """Say whether two that belong together can be compared, and how much of them."""
    for side, member in (("before", before), ("after", after)):
        if not member.matrix:
            both = not (before.matrix or after.matrix)
            reason = member.record["reason"]
            return Pair(before, after, "not analysed", reason if both else f"{side}: {reason}")
    if before.shape == after.shape:
        return Pair(before, after)
    m, n = (" x ".join(map(str, member.shape)) for member in (before, after))
    role = before.record["role"]
    if role in VOCABULARY and role == after.record["role"] and before.shape[1] == after.shape[1]:
        rows = min(before.shape[0], after.shape[0])
        note = f"{m} before, {n} after: the first {rows} rows are compared"
        return Pair(before, after, rows=rows, note=note)
    return Pair(before, after, "unpaired", f"shapes differ: {m} before, {n} after")
