# SPDX-License-Identifier: BSD-3-Clause
"""The attention modules of a checkpoint: which matrices belong together, by their roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sigmascope.checkpoint import Checkpoint

PLACES = ("cross_", "pool_", "global_")
_STORED = ("q", "k", "v", "o", "q_a", "q_b", "kv_a", "kv_b")
_FUSED = ("qkv", "kv")
_CUT = ("q", "k", "v", "o")


class Key(NamedTuple):
    """Tower, layer, and the prefix of the roles of one attention module."""

    tower: str
    layer: int | None
    place: str


@dataclass(slots=True)
class Module:
    """The matrices of one attention module: heads by part, and whole matrices by role."""

    key: Key
    heads: dict[str, list[str]] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    tensors: list[str] = field(default_factory=list)


def group_modules(checkpoint: Checkpoint) -> tuple[list[Module], dict[str, str]]:
    """Group heads and whole matrices by attention module; list what is fused and not split."""
    modules: dict[Key, Module] = {}
    refused: dict[str, str] = {}
    for name in checkpoint:
        role, tensor = checkpoint.roles[name], checkpoint.view_of(name).tensor
        place = next((p for p in PLACES if role.role.startswith(p)), "")
        part = role.role.removeprefix(place)
        if part in _FUSED or (part in _CUT and role.head is None):
            refused[tensor] = checkpoint.uncut.get(name, "it is not cut into heads")
        elif part in _STORED:
            key = Key(role.tower, role.layer, place)
            module = modules.setdefault(key, Module(key))
            module.tensors.append(tensor)
            if role.head is not None:
                module.heads.setdefault(part, []).append(name)
            else:
                module.whole[part] = name
    for name, reason in checkpoint.unreadable.items():
        role_name = checkpoint.roles[name].role
        place = next((p for p in PLACES if role_name.startswith(p)), "")
        if role_name.removeprefix(place) in (*_STORED, *_FUSED):
            refused[name] = reason
    return list(modules.values()), refused
