# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of a checkpoint and an adapter: one for every change, and for every unchanged tensor.

:func:`~sigmascope.adapters.pairing.changes` pairs changes with weights. If several adapters change
one weight, each has a row, named after the weight with the adapter in brackets.
"""

from __future__ import annotations

from collections.abc import Iterator

from sigmascope._words.verdicts import NOT_ADAPTED
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.pairing import Changes, changes
from sigmascope.checkpoint import Checkpoint

from .members import ENTRYWISE, Member, Pair, members

_Place = tuple[str | None, int | None]
"""Tensor of the base and index in the stack, for the change of one matrix of a stack."""


def adapted_pairs(base: Checkpoint, adapter: Adapter) -> Iterator[Pair]:
    """List pairs in the order of the base, then changes of tensors that the base lacks."""
    links = changes(base, adapter)
    paired: dict[str, list[str]] = {}
    listed: set[_Place] = set()
    for name, change, _ in (*links.pairs, *links.scaled):
        paired.setdefault(name, []).append(change)
    unpaired: dict[_Place, list[str]] = {}
    for change in links.unpaired:
        place = links.tensors.get(change), adapter.module_of(change).index
        unpaired.setdefault(place, []).append(change)
    for member in members(base):
        tensor, of_member = member.record["name"], paired.get(member.name, [])
        for place in {(tensor, None), (tensor, _index(base, member))}:
            of_member = of_member + unpaired.get(place, [])
            listed.add(place)
        yield from (_pair(links, member, change) for change in of_member)
        if not of_member:
            yield Pair(member, None, "not analysed", NOT_ADAPTED)
    for place, alone in unpaired.items():
        if place not in listed:
            yield from (_pair(links, None, change) for change in alone)


def _index(base: Checkpoint, member: Member) -> int | None:
    """Return the index of a matrix in its stack."""
    return base.view_of(member.name).index if member.matrix else None


def _pair(links: Changes, member: Member | None, change: str) -> Pair:
    record, label = links.adapter.record_of(change), links.adapter.label_of(change)
    reason = links.unpaired.get(change)
    if links.adapter.needs_base(change) and reason is None:
        record = record | {"status": "product", "reason": None}
    if member is not None and reason is None:
        return Pair(member, Member(change, record, member.shape), label=label)
    after = Member(change, record, record["shape"])
    if member is not None and not after.matrix:
        status = ENTRYWISE if _readable(links, member, after) else "not analysed"
        return Pair(member, after, status, reason, label=label)
    return Pair(member, after, "unpaired", reason, label=label if member else "")


def _readable(links: Changes, member: Member, after: Member) -> bool:
    """Return True if a tensor and its replacement in an adapter can be compared entry by entry."""
    stored = member.name == member.record["name"] and links.base.elements(member.name) is not None
    saved = links.adapter.elements(after.name) is not None
    return stored and saved and member.shape == after.shape
