# SPDX-License-Identifier: BSD-3-Clause
"""Restore the original order of the rows of q and k in GGUF files.

In Transformers, the rotary embedding pairs component p of a head with component p + d / 2; in
llama.cpp, component 2p with 2p + 1. The converters of llama.cpp therefore permute the rows of q and
k of some architectures: row 2p + r of a head is row p + r d / 2 of the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .configuration import Configuration
from .naming.roles import Role
from .reading import MAX_SLICES
from .views import Cut, Reading

_HEADS = {"q": "num_attention_heads", "k": "num_key_value_heads"}


def unpermuted(
    readings: Mapping[str, Reading],
    roles: Mapping[str, Role],
    lengths: Mapping[str, int],
    config: Configuration,
) -> tuple[dict[str, Reading], dict[str, str]]:
    """Restore the original order of the rows of q and k, where they were permuted.

    Parameters
    ----------
    readings, roles
        Those of all tensors.
    lengths
        Number of rows of each tensor; 1 for scalars.

    Returns
    -------
    readings : dict
        All readings.
    left : dict
        Weights whose rows stay in the order of the file, each with the reason.
    """
    done, left = dict(readings), dict[str, str]()
    if config.model.get("rope_permuted") is not True:
        return done, left
    for name, reading in readings.items():
        role, part = _role(roles[name]), reading.status
        if role not in _HEADS or part not in ("matrix", "vector"):
            continue
        rows, heads = lengths[name], _heads(roles[name], config.model)
        if heads is None or heads > MAX_SLICES or rows % (2 * heads):
            left[name] = f"{heads} heads by the metadata do not fit {rows} permuted rows"
        elif part == "vector":
            done[name] = replace(reading, order=cut_of(rows, heads))
        else:
            how = "; ".join(filter(None, (reading.how, "rows in the order before llama.cpp's")))
            views = (replace(reading.views[0], cut=cut_of(rows, heads)),)
            done[name] = replace(reading, views=views, how=how)
    return done, left


def cut_of(rows: int, heads: int) -> Cut:
    """Return the original rows in order: two runs with step 2 for each head."""
    size = rows // heads
    starts = range(0, rows, size)
    return Cut(0, tuple((at + half, at + size, 2) for at in starts for half in (0, 1)))


def _heads(role: Role, settings: Mapping[str, Any]) -> int | None:
    """Return the number of heads of q or k in a layer; layers may have different numbers."""
    heads = settings.get(_HEADS[_role(role)])
    if heads is None:
        heads = settings.get(_HEADS["q"])  # as many keys as queries
    if isinstance(heads, list):
        layer = role.layer
        heads = heads[layer] if layer is not None and layer < len(heads) else None
    return heads if type(heads) is int and heads > 0 else None


def _role(role: Role) -> str:
    """Return the role of a weight or its bias, whose elements have the same order."""
    return role.role.removesuffix(".bias")
