# SPDX-License-Identifier: BSD-3-Clause
"""What a tensor does in its model, read from its name, and config.json where names do not tell.

Names differ between families, the parts do not: `model.layers.3.mlp.gate_proj.weight` and
`layers.3.feed_forward.w1.weight` are the same place. The tables in roles.toml, and a user's own
(:mod:`sigmascope.checkpoint.naming.rules`), are the whole knowledge; a name that none of them
covers keeps the role "other", and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .rules import Rules, standard_rules


@dataclass(frozen=True, slots=True)
class Role:
    """The place of a tensor in a model.

    Attributes
    ----------
    layer : int or None
        Number of its block within its tower, counted from 0.
    role : str
        "q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down", "router", "embed", "unembed"
        and so on; parts other than the weight follow after a dot ("q.bias"); "other" if unknown.
    tower : str
        "text", "vision", "audio", "projector", "encoder", "decoder", "talker" or "mtp".
    expert : int or None
        Number of its expert, or of the slice in a stacked tensor.
    head : int or None
        Number of its attention head, where a matrix is one head of q, k, v or o; of k and v, among
        the heads of keys and values.
    """

    layer: int | None
    role: str
    tower: str
    expert: int | None
    head: int | None = None


def role_of(name: str, rules: Rules | None = None) -> Role:
    """Return the role of one tensor name; "other" where the tables know no answer.

    Parameters
    ----------
    name : str
        A tensor name as stored, with any prefix of the model it was saved from.
    rules : Rules, optional
        Tables with rules of the user's; those of this package alone by default.
    """
    rules = rules or standard_rules()
    layer, expert, place = rules.numbers(name)
    return Role(layer, *rules.place(place, frozenset()), expert)


def roles_of(names: Iterable[str], rules: Rules | None = None) -> dict[str, Role]:
    """Return the roles of all names of one checkpoint.

    Two tensors cannot hold one place: where the tables give several names the same role (as in
    models whose blocks are numbered in two levels), all of these become "other".
    """
    rules = rules or standard_rules()
    found = {name: rules.numbers(name) for name in names}
    places = {place for _, _, place in found.values()}
    modules = frozenset(places | {place.rpartition(".")[0] for place in places})
    roles = {
        name: Role(layer, *rules.place(place, modules), expert)
        for name, (layer, expert, place) in found.items()
    }
    counts: dict[Role, int] = {}
    for role in roles.values():
        counts[role] = counts.get(role, 0) + 1
    return {
        name: role if counts[role] == 1 else replace(role, role="other")
        for name, role in roles.items()
    }
