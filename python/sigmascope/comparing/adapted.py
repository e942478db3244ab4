# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint against an adapter of it: a row for every change, and for all that is not changed.

Changes are paired with weights as :func:`sigmascope.adapters.changes` does. Where several adapters
change one weight there is a row for each, called as the weight with the adapter in brackets.
"""

from __future__ import annotations

from collections.abc import Iterator

from sigmascope._display.verdicts import NOT_ADAPTED
from sigmascope.adapters import Adapter, Changes, changes
from sigmascope.checkpoint import Checkpoint

from .pairing import ENTRYWISE, Member, Pair, members


def adapted_pairs(base: Checkpoint, adapter: Adapter) -> Iterator[Pair]:
    """List the pairs in the order of the base, then the changes of what it does not have."""
    found = changes(base, adapter)
    paired: dict[str, list[str]] = {}
    for name, change, _ in found.pairs:
        paired.setdefault(name, []).append(change)
    misfits: dict[str | None, list[str]] = {}
    for change in found.unpaired:
        misfits.setdefault(found.tensors.get(change), []).append(change)
    for member in members(base):
        claims = paired.get(member.name, []) + misfits.get(member.record["name"], [])
        yield from (_pair(found, member, change) for change in claims)
        if not claims:
            yield Pair(member, None, "not analysed", NOT_ADAPTED)
    yield from (_pair(found, None, change) for change in misfits.get(None, []))


def _pair(found: Changes, member: Member | None, change: str) -> Pair:
    record, label = found.adapter.record_of(change), found.adapter.label_of(change)
    reason = found.unpaired.get(change)
    if member is not None and reason is None:
        return Pair(member, Member(change, record, member.shape), label=label)
    after = Member(change, record, record["shape"])
    if member is not None and not after.matrix:
        status = ENTRYWISE if _readable(found, member, after) else "not analysed"
        return Pair(member, after, status, reason, label=label)
    return Pair(member, after, "unpaired", reason, label=label if member else "")


def _readable(found: Changes, member: Member, after: Member) -> bool:
    """Whether a tensor can be compared with what an adapter has saved in its place, by numbers."""
    stored = member.name == member.record["name"] and found.base.elements(member.name) is not None
    saved = found.adapter.elements(after.name) is not None
    return stored and saved and member.shape == after.shape
