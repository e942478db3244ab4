# SPDX-License-Identifier: BSD-3-Clause
"""Places of tensors in a model, in words: "q_proj and v_proj of layers 0 to 31"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from sigmascope.extension import counted

from .tensors import Row
from .wording import list_words

GROUPS = 3
"""Groups of tensors that are listed; more are counted."""


def role_of(row: Row) -> str:
    """Return the last part of a tensor's name: "q_proj"; the whole name outside of layers."""
    name = str(row["name"] or row["merged"])
    if row["layer"] is None:
        return name
    match = re.search(r"([^.]+?)(?:\.(?:weight|bias))?(\[[^\]]*\])?$", name)
    own = f"{match[1]}{match[2] or ''}" if match else name
    return own if row["expert"] is None else f"experts.{row['expert']}.{own}"


def list_layers(layers: Collection[int]) -> str:
    """Return layers in words: "layer 3", "layers 0 to 7 and 12"."""
    runs: list[list[int]] = []
    for layer in sorted(set(layers)):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    words = []
    for first, last in runs:
        short = last - first < 2
        words += [str(i) for i in range(first, last + 1)] if short else [f"{first} to {last}"]
    return f"layer {words[0]}" if len(set(layers)) == 1 else f"layers {list_words(words)}"


def describe(rows: Sequence[Row], among: Sequence[Row]) -> str:
    """Return which of all tensors `among` some are, by layers and roles."""
    layers_of: dict[str, set[int]] = {}
    for row in rows:
        layers_of.setdefault(role_of(row), set()).update(
            [] if row["layer"] is None else [row["layer"]]
        )
    chosen = {layer for layers in layers_of.values() for layer in layers}
    others = [row for row in among if not any(row is each for each in rows)]
    if chosen and not any(row["layer"] in chosen for row in others):
        layers_of = {role: set() for role, layers in layers_of.items() if not layers}
        groups = [list_layers(chosen)]
    else:
        groups = []
    roles_by_layers: dict[frozenset[int], list[str]] = {}
    for role, layers in layers_of.items():
        roles_by_layers.setdefault(frozenset(layers), []).append(role)
    every = {row["layer"] for row in among if row["layer"] is not None}
    for own, roles in roles_by_layers.items():
        where = ""
        if own:
            where = " of all layers" if own == every and len(own) > 1 else f" of {list_layers(own)}"
        groups.append(f"{list_words(roles)}{where}")
    return list_words(groups) if len(groups) <= GROUPS else counted(len(rows), "tensor")
