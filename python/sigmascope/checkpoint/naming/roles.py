# SPDX-License-Identifier: BSD-3-Clause
"""Roles of tensors in a model, from their names, and from config.json where names are ambiguous.

Names differ between families of models, but their parts do not: the gate of layer 3 is called
`model.layers.3.mlp.gate_proj.weight` or `layers.3.feed_forward.w1.weight`. Roles come only from
roles.toml and the user's tables (:mod:`sigmascope.checkpoint.naming.rules`). A name that no rule
matches has the role "other".
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
        "text", "vision", "audio", "projector", "encoder", "decoder", "talker" or "mtp". Empty for
        tensors that no rule puts into a tower, if all their roles are unknown.
    expert : int or None
        Number of its expert, or of the slice in a stacked tensor.
    head : int or None
        Number of its attention head, if a matrix is one head of q, k, v or o. For k and v, the
        heads of keys and values are counted.
    """

    layer: int | None
    role: str
    tower: str
    expert: int | None
    head: int | None = None


def role_of(name: str, rules: Rules | None = None) -> Role:
    """Return the role of one tensor name; "other" if no rule matches.

    Parameters
    ----------
    name : str
        A tensor name as stored, with any prefix of its model.
    rules : Rules, optional
        Rules, possibly with the user's. Default: the rules of this package.
    """
    rules = rules or standard_rules()
    layer, expert, place = rules.numbers(name)
    role, tower = rules.place(place, frozenset())
    return Role(layer, role, tower or _main_tower([role]), expert)


def roles_of(names: Iterable[str], rules: Rules | None = None) -> dict[str, Role]:
    """Return the roles of all names of one checkpoint.

    Two tensors cannot have the same role. If the rules give several names the same role (as in
    models whose blocks are numbered in two levels), all these roles become "other".
    """
    rules = rules or standard_rules()
    numbers = {name: rules.numbers(name) for name in names}
    places = {place for _, _, place in numbers.values()}
    modules = frozenset(places | {place.rpartition(".")[0] for place in places})
    pairs = {name: rules.place(place, modules) for name, (_, _, place) in numbers.items()}
    main = _main_tower(role for role, tower in pairs.values() if not tower)
    roles = {
        name: Role(layer, pairs[name][0], pairs[name][1] or main, expert)
        for name, (layer, expert, _) in numbers.items()
    }
    counts: dict[Role, int] = {}
    for role in roles.values():
        counts[role] = counts.get(role, 0) + 1
    return {
        name: role if counts[role] == 1 else replace(role, role="other")
        for name, role in roles.items()
    }


def _main_tower(roles: Iterable[str]) -> str:
    """Return the tower of tensors without one: "text" if a role among them is known.

    A model of sound or images has no text tower if the rules do not cover its names.
    """
    return "text" if any(role != "other" for role in roles) else ""
