# SPDX-License-Identifier: BSD-3-Clause
"""The matrices of a stack that PEFT adapts as one parameter, each with its own factors.

A stack of E matrices has A (E r, inputs) and B (outputs, r E). Rows e r, ..., e r + r - 1 of A and
columns e, e + E, ... of B are the factors of matrix e.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sigmascope.checkpoint.reading import MAX_SLICES
from sigmascope.checkpoint.record import TensorRecord

from .module import Module, name_of
from .settings import Settings


def misfit(A: TensorRecord, B: TensorRecord, settings: Settings, parameter: str) -> str | None:
    """Return why two tensors are not the factors of a parameter; None if they are."""
    for record in (A, B):
        if len(record["shape"]) != 2:
            return f"{_shown(record)}: factors of {parameter} have two axes"
    (rows, _), (_, columns) = A["shape"], B["shape"]
    if rows != columns:
        return (
            f"{_shown(A)} and {_shown(B)} are not factors of {parameter}: A must have as "
            "many rows as B has columns"
        )
    rank = settings.rank_of(parameter)
    if rows % rank:
        return (
            f"{_shown(A)}: {rows} rows are not a multiple of {rank}, the rank of {parameter} by "
            f"{settings.path.name}"
        )
    if rows // rank > MAX_SLICES:
        return f"{_shown(A)}: a stack of {rows // rank} matrices of rank {rank}, above {MAX_SLICES}"
    return None


def matrices_of_stack(
    stack: Module, A: TensorRecord, B: TensorRecord, settings: Settings
) -> Iterator[Module]:
    """List the changes of the matrices of a stack; its factors must fit together."""
    rank = settings.rank_of(stack.weight)
    count = A["shape"][0] // rank
    for index in range(count):
        yield replace(
            stack,
            name=name_of(f"{stack.weight}[{index}]", stack.label),
            status="product",
            dtype=A["dtype"] if A["dtype"] == B["dtype"] else "mixed",
            shape=(B["shape"][0], A["shape"][1]),
            nbytes=(A["nbytes"] + B["nbytes"]) // count,
            file=A["file"],
            offset=A["offset"] + index * (A["nbytes"] // count),
            A=A["name"],
            B=B["name"],
            scale=settings.scale_of(stack.weight, rank),
            alpha=settings.alpha_of(stack.weight),
            rank=rank,
            index=index,
            count=count,
            version=settings.version,
        )


def _shown(record: TensorRecord) -> str:
    return f"{record['file']}: {record['name']} of shape {list(record['shape'])}"
