# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of an adapter and its base: every weight W, its change, and W + change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Checkpoint, TensorRecord
from sigmascope.checkpoint.views import Cut
from sigmascope.matrices.joins import hstack, vstack
from sigmascope.matrices.matrix import Matrix

from .adapter import Adapter


@dataclass(frozen=True, slots=True)
class Change:
    """One matrix of the base, and its change by an adapter.

    Attributes
    ----------
    name : str
        Name of the matrix in the base; "…[q]" or "…[head 0]" if the base is split into these.
    change : str
        Name of the change in the adapter.
    how : str
        Criterion by which they were paired: "name" or "role".
    before : Matrix
        W.
    delta : LowRank
        The change, of the shape of W.
    """

    name: str
    change: str
    how: str
    before: Matrix
    delta: LowRank

    def after(self) -> Matrix:
        """Return W + change, lazily: each element is summed while a panel of W is decoded."""
        return self.before + self.delta


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """Pairs of matrices of a base and changes of an adapter; iterating makes them one by one.

    Attributes
    ----------
    base, adapter : Checkpoint, Adapter
    pairs : tuple of (name in the base, name in the adapter, "name" or "role")
    unpaired : mapping of str to str
        The changes without a weight in the base, with another shape, or that are no product
        (weights saved in full), each with the reason.
    tensors : mapping of str to str
        For every change, unpaired ones included, the tensor of the base, if there is one.
    scaled : tuple
        As `pairs`, the changes by DoRA, which have no `delta` of low rank.
    """

    base: Checkpoint
    adapter: Adapter
    pairs: tuple[tuple[str, str, str], ...]
    unpaired: Mapping[str, str]
    tensors: Mapping[str, str]
    scaled: tuple[tuple[str, str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Change]:
        for name, change, how in self.pairs:
            yield Change(
                name, change, how, self.base[name], delta_of(self.base, name, self.adapter, change)
            )

    def __repr__(self) -> str:
        return f"<Changes: {len(self)} of {self.base!r} by {self.adapter!r}>"


def delta_of(base: Checkpoint, name: str, adapter: Adapter, change: str) -> LowRank:
    """Return the change of a matrix of the base, which may be a part of a weight."""
    delta, view = adapter[change], base.view_of(name)
    if delta.shape != view.full_shape:
        delta = delta.T  # the base stores its weights transposed
    return delta if view.cut is None else taken(delta, view.cut)


def taken(delta: LowRank, cut: Cut) -> LowRank:
    """Return the rows or columns of a cut."""
    if cut.axis == 0:
        return LowRank(vstack([delta.B[slice(*run)] for run in cut.runs]), delta.A, delta.scale)
    return LowRank(delta.B, hstack([delta.A[:, slice(*run)] for run in cut.runs]), delta.scale)


def changes(base: Checkpoint, adapter: Adapter) -> Changes:
    """Find the weight of the base for each change of an adapter.

    Weights are found by name; else by role, if the role is known and occurs once in the base and
    once in the adapter (the base may have been saved with other prefixes). All other changes are
    in `unpaired`. If the base was opened with fused weights split, or by heads, there is a change
    for every part.

    Parameters
    ----------
    base : Checkpoint
    adapter : Adapter
    """

    def place(change: TensorRecord) -> tuple[object, str]:
        return adapter.roles[change["name"]], adapter.label_of(change["name"])

    records = {record["name"]: record for record in base.info()}
    by_role: dict[object, list[str]] = {}
    for name in records:
        if base.roles[name].role != "other":
            by_role.setdefault(base.roles[name], []).append(name)
    claims = Counter(map(place, adapter.info()))
    pairs: list[tuple[str, str, str]] = []
    scaled: list[tuple[str, str, str]] = []
    unpaired: dict[str, str] = {}
    tensors: dict[str, str] = {}
    for change in adapter.info():
        name, tensor, how = change["name"], adapter.weight_of(change["name"]), "name"
        found = by_role.get(adapter.roles[name], [])
        if tensor not in records and len(found) == claims[place(change)] == 1:
            tensor, how = found[0], "role"
        if tensor in records:
            tensors[name] = tensor
        if not change["matrices"] and not adapter.needs_base(name):
            unpaired[name] = change["reason"] or ""
        elif tensor not in records:
            unpaired[name] = f"{base.path} has no {tensor}, nor one weight of its role"
        elif reason := (
            _misfit(base, records[tensor], change)
            or _cut_within_outputs(base, records[tensor], adapter, name)
        ):
            unpaired[name] = reason
        else:
            into = scaled if adapter.needs_base(name) else pairs
            into += [(matrix, name, how) for matrix in records[tensor]["matrices"]]
    return Changes(base, adapter, tuple(pairs), unpaired, tensors, tuple(scaled))


def _cut_within_outputs(
    base: Checkpoint, weight: TensorRecord, adapter: Adapter, change: str
) -> str | None:
    """Return the reason why DoRA cannot be computed for parts of a weight, or None.

    The norms of its outputs need all inputs.
    """
    cut = base.view_of(weight["matrices"][0]).cut
    if cut is None or not adapter.needs_base(change):
        return None
    turned = adapter.shape_of(change) != base.view_of(weight["matrices"][0]).full_shape
    outputs = adapter.output_axis(change) ^ turned
    if cut.axis == outputs:
        return None
    return f"DoRA scales whole outputs of {weight['name']}, of which each part has some inputs"


def _misfit(base: Checkpoint, weight: TensorRecord, change: TensorRecord) -> str | None:
    """Return the reason why a change cannot be added to a weight, or None."""
    if weight["status"] not in ("matrix", "kernel"):
        return f"{weight['name']}: {weight['reason'] or weight['view']}"
    full, shape = base.view_of(weight["matrices"][0]).full_shape, change["shape"]
    if shape in (full, full[::-1]):
        return None
    return (
        f"{weight['name']} of {weight['file']} is {list(full)}, "
        f"the change in {change['file']} {list(shape)}"
    )
