# SPDX-License-Identifier: BSD-3-Clause
"""An adapter against its base: every weight W, its change, and W + change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.views import Cut
from sigmascope.low_rank import LowRank
from sigmascope.matrices import Matrix
from sigmascope.sources import hstack, vstack

from .adapter import Adapter


@dataclass(frozen=True, slots=True)
class Change:
    """One matrix of the base, and what the adapter adds to it.

    Attributes
    ----------
    name : str
        Of the matrix in the base; "…[q]" or "…[head 0]" if the base was opened so.
    change : str
        The name in the adapter.
    how : str
        What paired them: "name" or "role".
    before : Matrix
        W.
    delta : LowRank
        What is added, of W's shape.
    """

    name: str
    change: str
    how: str
    before: Matrix
    delta: LowRank

    def after(self, *, memory_limit: int | str | None = None) -> Matrix:
        """Return W + change, lazily: W stays where it is, the change is formed in memory.

        The m x n elements of the change are float32 (float64 if its factors are), and each is added
        while a panel of W is decoded.

        Raises
        ------
        MemoryLimitError
            The change does not fit.
        """
        return self.before + self.delta.matrix(memory_limit=memory_limit)


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """What of an adapter belongs to what of its base; iterating makes the matrices one by one.

    Attributes
    ----------
    base, adapter : Checkpoint, Adapter
    pairs : tuple of (name in the base, name in the adapter, "name" or "role")
    unpaired : mapping of str to str
        The changes without a weight in the base, or of another shape, or that are no product (DoRA,
        weights saved whole), each with the reason.
    """

    base: Checkpoint
    adapter: Adapter
    pairs: tuple[tuple[str, str, str], ...]
    unpaired: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Change]:
        for name, change, how in self.pairs:
            yield Change(name, change, how, self.base[name], self._delta(name, change))

    def __repr__(self) -> str:
        return f"<Changes: {len(self)} of {self.base!r} by {self.adapter!r}>"

    def _delta(self, name: str, change: str) -> LowRank:
        delta, view = self.adapter[change], self.base.view_of(name)
        if delta.shape != view.whole:
            delta = delta.T  # the base keeps its weights turned
        return delta if view.cut is None else _taken(delta, view.cut)


def _taken(delta: LowRank, cut: Cut) -> LowRank:
    if cut.axis == 0:
        return LowRank(vstack([delta.B[slice(*run)] for run in cut.runs]), delta.A, delta.scale)
    return LowRank(delta.B, hstack([delta.A[:, slice(*run)] for run in cut.runs]), delta.scale)


def changes(base: Checkpoint, adapter: Adapter) -> Changes:
    """Find the weight of the base that each change of an adapter is of.

    By its name; else by its role, if that is known and stands once in the base (the base may have
    been saved under other prefixes). Nothing is guessed: what is left is in `unpaired`. A base that
    was opened with its fused weights split, or by heads, gives a change for every part.

    Parameters
    ----------
    base : Checkpoint
    adapter : Adapter
    """
    records = {record["name"]: record for record in base.info()}
    by_role: dict[object, list[str]] = {}
    for name in records:
        if base.roles[name].role != "other":
            by_role.setdefault(base.roles[name], []).append(name)
    pairs: list[tuple[str, str, str]] = []
    unpaired = {r["name"]: r["reason"] or "" for r in adapter.info() if not r["matrices"]}
    for change in adapter:
        tensor, how = adapter.weight_of(change), "name"
        if tensor not in records:
            found = by_role.get(adapter.roles[change], [])
            if len(found) != 1:
                unpaired[change] = f"{base.path} has no {tensor}, nor one weight of its role"
                continue
            tensor, how = found[0], "role"
        record = records[tensor]
        if record["status"] not in ("matrix", "kernel"):
            unpaired[change] = f"{tensor}: {record['reason'] or record['view']}"
            continue
        whole, shape = base.view_of(record["matrices"][0]).whole, adapter.record_of(change)["shape"]
        if shape not in (whole, whole[::-1]):
            unpaired[change] = f"{tensor} is {list(whole)}, the change {list(shape)}"
            continue
        pairs += [(name, change, how) for name in record["matrices"]]
    return Changes(base, adapter, tuple(pairs), unpaired)
