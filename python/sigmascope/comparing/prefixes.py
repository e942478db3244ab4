# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of tensors whose names differ by one prefix of the whole checkpoint.

Wrappers put a prefix before every name: "module." of DistributedDataParallel, "_orig_mod." of
torch.compile, "model." of Lightning, the name of a subgraph in ONNX. Names with a known role are
paired by their place (:mod:`sigmascope.comparing.pairing`); this module pairs the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from .members import Member

Prefixes = tuple[str, str]


def pair_by_prefixes(
    before: Sequence[Member], after: Sequence[Member]
) -> tuple[dict[str, Member], Prefixes | None]:
    """Pair tensors that have the same names after one prefix of each checkpoint is removed.

    A pair of prefixes is accepted only if it explains every name of the checkpoint with fewer
    tensors, with equal shapes, and if it is the only such pair. A single tensor is paired only if
    it is the only one of both checkpoints.

    Parameters
    ----------
    before, after
        The tensors of each checkpoint that have no partner yet.

    Returns
    -------
    partners : dict
        Tensors of `after` by the names of their partners; empty if no prefixes are accepted.
    prefixes : tuple of str, or None
        The prefixes that were removed from the names of `before` and of `after`.
    """
    if not before or not after or min(len(before), len(after)) == 1 < max(len(before), len(after)):
        return {}, None
    turned = len(before) > len(after)
    if len(before) == len(after) == 1:
        turned = len(before[0].name) > len(after[0].name)
    few, many = (after, before) if turned else (before, after)
    candidates = []
    for prefix in _prefixes(few):
        for other in _counterparts(few[0].name[len(prefix) :], many):
            partners = _match(few, many, prefix, other)
            if partners is not None:
                candidates.append((partners, prefix, other))
    if len(candidates) != 1:
        return {}, None
    [(partners, prefix, other)] = candidates
    if turned:
        ours = {member.name: member for member in after}
        return {theirs.name: ours[name] for name, theirs in partners.items()}, (other, prefix)
    return partners, (prefix, other)


def _prefixes(members: Sequence[Member]) -> list[str]:
    """Return the removable prefix: the longest common prefix that ends between two words.

    A single name has no prefix: it can only be the end of the other name.
    """
    if len(members) == 1:
        return [""]
    names = [member.name for member in members]
    ends = zip(min(names), max(names), strict=False)  # all other names agree where these two do
    common = "".join(a for a, _ in takewhile(lambda letters: letters[0] == letters[1], ends))
    return [common[: len(common) - len(re.split(r"[^0-9A-Za-z]", common)[-1])]]


def _counterparts(rest: str, members: Sequence[Member]) -> list[str]:
    """Return the prefixes, each up to the end of a word, that are followed by `rest` in a name."""
    prefixes = [m.name[: -len(rest)] for m in members if rest and m.name.endswith(rest)]
    return [prefix for prefix in prefixes if not prefix or not prefix[-1].isalnum()]


def _match(
    few: Sequence[Member], many: Sequence[Member], prefix: str, other: str
) -> dict[str, Member] | None:
    """Return the partner of every tensor of `few`; None if a partner is missing or differs."""
    named = {member.name: member for member in many}
    partners: dict[str, Member] = {}
    for member in few:
        partner = named.get(other + member.name[len(prefix) :])
        if partner is None or partner.shape != member.shape or _is_elsewhere(member, partner):
            return None
        partners[member.name] = partner
    return partners


def _is_elsewhere(member: Member, partner: Member) -> bool:
    """Return True if the roles of both tensors are known and give them different places."""
    ours, theirs = member.place, partner.place
    return ours is not None and theirs is not None and ours[1:4] != theirs[1:4]
