# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of tensors of two checkpoints, and reasons for tensors without a partner.

Two tensors with the same name are a pair. The remaining tensors are paired by place: tower, layer,
role, expert, and label of the slice, if each is the only tensor of its checkpoint there. Prefixes,
dtypes and shards do not matter. The rest are pairs if all of their names agree after one prefix of
each checkpoint is removed. Nothing is guessed: if several tensors share a place, the reason lists
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sigmascope._words.rows import role_in_tower
from sigmascope._words.text import dimensions
from sigmascope.checkpoint.quantised.layouts import TIED

from .members import ENTRYWISE, Member, Pair, Place
from .prefixes import pair_by_prefixes

VOCABULARY = ("embed", "unembed")
"""Roles of matrices with a row for each token; if sizes differ, common rows are compared."""


def linked(before: list[Member], after: list[Member]) -> Iterator[Pair]:
    """Pair tensors by name, by place, then by prefixes; list the others without a partner."""
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
    renamed, prefixes = pair_by_prefixes(
        [member for member in before if member.name not in partners and _is_whole(member)],
        [member for member in after if member.name not in taken and _is_whole(member)],
    )
    partners |= renamed
    taken |= {member.name for member in renamed.values()}
    originals = {member.name: member for member in before}, {m.name: m for m in after}
    for member in before:
        partner = partners.get(member.name)
        if partner is not None:
            pair = _comparable(*_untied(member, partner, partners, originals))
            yield pair.without_prefixes(prefixes) if member.name in renamed and prefixes else pair
        else:
            status, reason = _alone(member, places, offers, "after")
            yield Pair(member, None, status, reason)
    for member in free:
        if member.name not in taken:
            status, reason = _alone(member, offers, places, "before")
            yield Pair(None, member, status, reason)


def _alone(
    member: Member,
    own: dict[Place, list[Member]],
    others: dict[Place, list[Member]],
    where: str,
) -> tuple[str, str | None]:
    """Return the status and reason of an unpaired tensor; parts of a weight need no partner."""
    if not _is_whole(member):
        return "not analysed", member.record["reason"]
    return "unpaired", _no_partner(member, own, others, where)


def _is_whole(member: Member) -> bool:
    """Return False for parts of a quantised weight, which are read with the weight."""
    return member.record["status"] not in ("scale", "part")


def _by_place(members: list[Member]) -> dict[Place, list[Member]]:
    places: dict[Place, list[Member]] = {}
    for member in members:
        if (place := member.place) is not None:
            places.setdefault(place, []).append(member)
    return places


def _no_partner(
    member: Member,
    own: dict[Place, list[Member]],
    others: dict[Place, list[Member]],
    where: str,
) -> str:
    """Return the reason why a tensor has no partner."""
    place = member.place
    if place is None:
        return f"{where} has no tensor of this name, and the role is unknown"
    several, offers = own[place], others.get(place, [])
    if not offers:
        return f"{where} has neither a tensor of this name nor one that is {_words(place)}"
    names = ", ".join(other.name for other in offers)
    if len(several) > 1:
        return f"ambiguous: {len(several)} tensors are {_words(place)}, {where} has {names}"
    return f"ambiguous: {where} has {len(offers)} tensors that are {_words(place)}: {names}"


def _words(place: Place) -> str:
    tower, layer, role, expert, labels = place
    text = role_in_tower(tower, role)
    text += "".join(f"[{label}]" for label in labels)
    text += f" of layer {layer}" if layer is not None else ""
    return text + (f", expert {expert}" if expert is not None else "")


def _untied(
    before: Member,
    after: Member,
    partners: dict[str, Member],
    originals: tuple[dict[str, Member], dict[str, Member]],
) -> tuple[Member, Member]:
    """Replace second names with their original tensors, unless those are a pair as well."""
    known = partners.get(before.source or "")
    if known is not None and after.source == known.name:
        return before, after
    return _original(before, originals[0]), _original(after, originals[1])


def _original(member: Member, members: dict[str, Member]) -> Member:
    """Return a second name with the matrices and numbers of its original tensor."""
    original = members.get(member.source or "")
    if original is None:
        return member
    record = member.record.copy()
    record["matrices"] = original.record["matrices"]
    return replace(member, record=record, elements=original.elements, looked_up=True)


def _comparable(before: Member, after: Member) -> Pair:
    """Decide whether two paired tensors are compared by spectra, by entries, or not at all."""
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
    """Decide whether all rows of two matrices, their common rows, or none are compared."""
    if before.shape == after.shape:
        return Pair(before, after, note=note)
    role = before.record["role"]
    if role in VOCABULARY and role == after.record["role"] and before.shape[1] == after.shape[1]:
        m, n = (dimensions(member.shape) for member in (before, after))
        rows = min(before.shape[0], after.shape[0])
        cut = f"{m} before, {n} after: only the first {rows} rows are compared"
        return Pair(before, after, rows=rows, note="; ".join(filter(None, (cut, note))))
    return Pair(before, after, "unpaired", _shapes_differ(before, after))


def _shapes_differ(before: Member, after: Member) -> str:
    m, n = (dimensions(member.shape) or "a scalar" for member in (before, after))
    return f"shapes differ: {m} before, {n} after"
