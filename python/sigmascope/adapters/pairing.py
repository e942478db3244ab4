# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of an adapter and its base: every weight W, its change, and W + change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.naming.roles import Role
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.checkpoint.views import Cut
from sigmascope.matrices.joins import hstack, vstack
from sigmascope.matrices.matrix import Matrix

from .adapter import Adapter
from .module import Module
from .orientation import is_transposed, unknown_orientation


@dataclass(frozen=True, slots=True)
class Change:
    """One matrix of the base, and its change by an adapter.

    Attributes
    ----------
    name : str
        Name of the matrix in the base; "…[q]" or "…[head 0]" if the base is split into parts or
        heads.
    change : str
        Name of the change in the adapter.
    how : str
        The criterion that paired them: "name" or "role".
    before : Matrix
        W.
    delta : LowRank
        The change, with the shape of W.
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
    """Pairs of a base's matrices and an adapter's changes.

    Iterating makes the pairs one by one.

    Attributes
    ----------
    base, adapter : Checkpoint, Adapter
    pairs : tuple of (name in the base, name in the adapter, "name" or "role")
    unpaired : mapping of str to str
        The changes without a weight in the base, with another shape, or without factors
        (weights saved in full), each with the reason.
    tensors : mapping of str to str
        The tensor of the base for every change that has one, also for unpaired changes.
    scaled : tuple
        Pairs as in `pairs` for changes by DoRA, which have no `delta` of low rank.
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
    if delta.shape != view.full_shape or _is_transposed(base, name, adapter.module_of(change)):
        delta = delta.T  # the base stores its weights transposed
    return delta if view.cut is None else taken(delta, view.cut)


def taken(delta: LowRank, cut: Cut) -> LowRank:
    """Return the rows or columns of a cut."""
    if cut.axis == 0:
        return LowRank(vstack([delta.B[slice(*run)] for run in cut.runs]), delta.A, delta.scale)
    return LowRank(delta.B, hstack([delta.A[:, slice(*run)] for run in cut.runs]), delta.scale)


def changes(base: Checkpoint, adapter: Adapter) -> Changes:
    """Find the weight of the base for each change of an adapter.

    A change is paired with the weight of its name. If there is no such weight, it is paired by
    role, if the role is known and occurs once in the base and once in the adapter (the base may
    have been saved with other prefixes). All other changes are in `unpaired`. If the base was
    opened with fused weights split, or by heads, there is a change for every part.

    Parameters
    ----------
    base : Checkpoint
    adapter : Adapter
    """

    def place(change: TensorRecord) -> tuple[Role, str]:
        return adapter.place_of(change["name"])

    records = {record["name"]: record for record in base.info()}
    parts = _Parts(base, records)
    by_role: dict[Role, list[str]] = {}
    for name in records:
        role = base.roles[name]
        if role.role != "other":
            role = replace(role, role=role.role.removesuffix(".blocks"))  # of MXFP4
            by_role.setdefault(role, []).append(name)
    claims = Counter(
        where for where, _ in {(place(x), adapter.weight_of(x["name"])) for x in adapter.info()}
    )
    pairs: list[tuple[str, str, str]] = []
    scaled: list[tuple[str, str, str]] = []
    unpaired: dict[str, str] = {}
    tensors: dict[str, str] = {}
    for change in adapter.info():
        name, tensor, how = change["name"], adapter.weight_of(change["name"]), "name"
        candidates = by_role.get(place(change)[0], [])
        if tensor not in records and len(candidates) == claims[place(change)] == 1:
            tensor, how = candidates[0], "role"
        if tensor in records:
            tensors[name] = tensor
        if not change["matrices"] and not adapter.needs_base(name):
            unpaired[name] = change["reason"] or ""
        elif tensor not in records:
            unpaired[name] = f"{base.path} has neither {tensor} nor exactly one weight of its role"
        elif reason := (
            _misfit(base, records[tensor], parts.of(tensor), adapter.module_of(name))
            or _cut_within_outputs(base, records[tensor], adapter, name)
        ):
            unpaired[name] = reason
        else:
            into = scaled if adapter.needs_base(name) else pairs
            number = adapter.module_of(name).index or 0
            into += [(matrix, name, how) for matrix in parts.of(tensor)[number]]
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


class _Parts:
    """The matrices of tensors: those of each weight in a stack, or of a single weight."""

    def __init__(self, base: Checkpoint, records: Mapping[str, TensorRecord]) -> None:
        self._base, self._records = base, records
        self._known: dict[str, list[list[str]]] = {}

    def of(self, tensor: str) -> list[list[str]]:
        """List the weights of a tensor, each as the names of the matrices that it is split into."""
        if tensor not in self._known:
            weights: dict[tuple[int | None, int | None], list[str]] = {}
            for name in self._records[tensor]["matrices"]:
                view = self._base.view_of(name)
                weights.setdefault((view.layer, view.index), []).append(name)
            self._known[tensor] = list(weights.values())
        return self._known[tensor]


def _misfit(
    base: Checkpoint, weight: TensorRecord, parts: Sequence[Sequence[str]], change: Module
) -> str | None:
    """Return the reason why a change cannot be added to a weight, or None."""
    if not parts:
        return f"{weight['name']}: {weight['reason'] or weight['view']}"
    if len(parts) != change.count:
        return (
            f"{weight['name']} of {weight['file']} has {_matrices(len(parts))}, "
            f"the change in {change.file} {_matrices(change.count)}"
        )
    full, shape = base.view_of(weight["matrices"][0]).full_shape, change.shape
    if shape not in (full, full[::-1]):
        return (
            f"{weight['name']} of {weight['file']} is {list(full)}, "
            f"the change in {change.file} {list(shape)}"
        )
    if change.index is not None and full[0] == full[1]:
        return unknown_orientation(base, change.version)
    return None


def _is_transposed(base: Checkpoint, name: str, change: Module) -> bool:
    """Return whether the product of a square stacked matrix is the transpose of its change."""
    view = base.view_of(name)
    if change.index is None or view.full_shape[0] != view.full_shape[1]:
        return False
    assert change.version is not None
    codes = base.record_of(name)["dtype"] == "U8"
    return is_transposed(base, change.version, stored_as_codes=codes)


def _matrices(count: int) -> str:
    return "1 matrix" if count == 1 else f"{count} matrices"
