# SPDX-License-Identifier: BSD-3-Clause
"""Assembly of a checkpoint: the interpretation of every tensor, the matrices, and their roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sigmascope.errors import CheckpointError

from .axes_by_role import layout_type, with_outputs_first
from .configuration import Configuration
from .formats.jsontext import brief
from .fused import role_of_view, split, unsplit_notes
from .heads import by_heads, key_heads
from .naming.roles import Role, roles_of
from .naming.rules import Rules, rules_for
from .naming.table import Table
from .parameters import as_parameters, certain_names, inputs_first
from .quantised.grouped import Grouped, grouped_reading, grouped_weights
from .quantised.layouts import Part, quantised_parts, tied_parts
from .ranks import joined, width_of
from .reading import read_as
from .remote.paths import RemotePath
from .rope import unpermuted
from .views import Located, Reading, View

Parts = Mapping[str, Part]
"""Tensors that belong to other tensors, by name."""


class Origin(NamedTuple):
    """Absolute paths and options of `open_checkpoint`, which can open the checkpoint again."""

    paths: tuple[str | RemotePath, ...]
    split_fused: bool
    heads: bool
    rules: Table | None
    reading: str
    variant: str | None = None
    circuits: bool = False

    @property
    def choices(self) -> dict[str, object]:
        """Options that change the rows of a scan and are not the default, as plain JSON."""
        options: dict[str, object] = {"heads": True} if self.heads else {}
        options |= {"circuits": True} if self.circuits else {}
        options |= {} if self.split_fused else {"split_fused": False}
        options |= {} if self.variant is None else {"variant": self.variant}
        return options if self.rules is None else options | {"rules": self.rules.digest}


class Assembly(NamedTuple):
    """Interpretation of every tensor, matrices by name, roles of tensors and matrices, notes.

    `uncut` holds the reasons why fused weights are not split, or matrices not cut into heads.
    """

    readings: Mapping[str, Reading]
    views: Mapping[str, View]
    roles: dict[str, Role]
    notes: tuple[str, ...]
    uncut: dict[str, str]

    @property
    def unreadable(self) -> dict[str, str]:
        """Weights that cannot be analysed, each with the reason."""
        return {
            name: reading.reason or ""
            for name, reading in self.readings.items()
            if reading.status == "unreadable"
        }


def assembled(
    ranks: Sequence[Mapping[str, Located]], config: Configuration, origin: Origin
) -> Assembly:
    """Assemble the tensors of all ranks of a checkpoint, which usually has one rank.

    Raises
    ------
    CheckpointError
        A slice would have the name of another tensor.
    """
    grouped = [grouped_weights(rank, config) for rank in ranks]
    layout = config.model_type or layout_type(ranks[0])
    weights = grouped[0].weights
    names = {name: weights[name].name if name in weights else name for name in ranks[0]}
    certain = certain_names(names, ranks[0])
    rules = rules_for(origin.rules, layout)
    roles = _roles(names | certain, rules)
    parts = [_parts(rank, group, config) for rank, group in zip(ranks, grouped, strict=True)]
    readings = _read(ranks, grouped, parts, roles, config)
    roles |= _roles_of_parts(parts[0], roles, rules)
    if len(ranks) == 1:
        readings = with_outputs_first(readings, roles, ranks[0], layout)
        readings = as_parameters(readings, certain, ranks[0])
    lengths = {name: (*located.entry.shape, 1)[0] for name, located in ranks[0].items()}
    readings, unsplit = unpermuted(readings, roles, lengths, config)
    notes = unsplit_notes(unsplit, "rows of q and k left in the order of llama.cpp")
    uncut: dict[str, str] = {}
    if origin.split_fused and len(ranks) == 1:
        readings, uncut = split(readings, roles, config)
        notes += unsplit_notes(uncut)
    roles |= _roles_of_views(readings, roles)
    if origin.heads or origin.circuits:
        turned = dict.fromkeys(certain, False)
        readings, unsplit = by_heads(readings, roles, config, inputs_first(ranks[0]) | turned)
        notes += unsplit_notes(unsplit, "attention weights read whole")
        roles |= _roles_of_views(readings, roles)
        uncut |= unsplit
    return Assembly(readings, _by_name(readings), roles, config.notes + notes, uncut)


def _roles(names: Mapping[str, str], rules: Rules) -> dict[str, Role]:
    """Return the roles of all tensors, from the names of their weights."""
    roles = roles_of(names.values(), rules)
    return {name: roles[original] for name, original in names.items()}


def _parts(tensors: Mapping[str, Located], grouped: Grouped, config: Configuration) -> Parts:
    """Return the tensors of one rank that belong to other tensors."""
    entries = {name: located.entry for name, located in tensors.items()}
    parts = tied_parts((located.header, located.entry) for located in tensors.values())
    return {**parts, **quantised_parts(entries, config.method), **grouped.parts}


def _roles_of_parts(parts: Parts, roles: Mapping[str, Role], rules: Rules) -> dict[str, Role]:
    """Return the roles of scales and similar parts: the role of their matrix, and their content."""
    part_roles: dict[str, Role] = {}
    for name, part in parts.items():
        if part.owner is not None:
            owner = roles[part.owner]
            kind = rules.part_of(name) or part.status
            known = owner.role != "other"
            part_roles[name] = replace(owner, role=f"{owner.role}.{kind}") if known else owner
    return part_roles


def _read(
    ranks: Sequence[Mapping[str, Located]],
    grouped: Sequence[Grouped],
    parts: Sequence[Parts],
    roles: Mapping[str, Role],
    config: Configuration,
) -> dict[str, Reading]:
    """Interpret every tensor on each rank, and join the pieces of the ranks."""
    readings: list[dict[str, Reading]] = []
    for rank, group, others in zip(ranks, grouped, parts, strict=True):
        readings.append(
            {
                name: grouped_reading(group.weights[name])
                if name in group.weights
                else read_as(located, rank, others, config.block)
                for name, located in rank.items()
            }
        )
    if len(ranks) == 1:
        return readings[0]
    width, heads = width_of(ranks[0], roles), key_heads(config.model)
    return {
        name: joined([each[name] for each in readings], roles[name], width, heads)
        for name in readings[0]
    }


def _roles_of_views(readings: Mapping[str, Reading], roles: Mapping[str, Role]) -> dict[str, Role]:
    views = (view for reading in readings.values() for view in reading.views)
    return {view.name: role_of_view(roles[view.tensor], view) for view in views}


def _by_name(readings: Mapping[str, Reading]) -> dict[str, View]:
    """Collect all views; a slice must not have the name of another stored tensor."""
    views: dict[str, View] = {}
    for reading in readings.values():
        for view in reading.views:
            if view.name in views or (view.name != view.tensor and view.name in readings):
                raise CheckpointError(
                    f"{view.grid[0][0].header.path}: tensor {brief(view.name, 200)} has the name "
                    f"of a slice of {brief(view.tensor, 200)}"
                )
            views[view.name] = view
    return views
