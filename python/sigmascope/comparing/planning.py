# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a comparison: memory, time and refusals, from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sigmascope._execution import rates
from sigmascope._running.selection import as_list
from sigmascope._tables.outputs import PathLike, Paths, check_outputs, resumed, settings_of
from sigmascope.adapters.scannable import largest_file

from .beginning import ComparisonRequest
from .members import Pair
from .pair_estimates import PairEstimate
from .plans import ComparisonPlan
from .result import Comparison
from .tasks import Link, MatrixPairs


def plan_comparison(
    request: ComparisonRequest,
    out: Paths,
    resume: PathLike | None,
    workers: int | None,
    *,
    keep_memory: bool,
) -> ComparisonPlan:
    """Plan a comparison; `workers` is None for one without executor.

    The code that a comparison runs decides here, too, what fits into memory and how it is read.
    Times are those of four spectra, of W, W', dW and dW without its part along W, of the passes
    over both matrices, and of angles. Two matrices that are equal take less, which headers do not
    tell. Times come from the model and the measurement of a scan's plan, and from comparisons that
    were timed; on a CUDA device they are 0. No file is made or changed.
    """
    header, rows = check_outputs(out, resume, Comparison.schema)
    request = request.resuming(settings_of(header), keep_memory=keep_memory)
    both, pairs, options = request.both, request.pairs, request.options
    table = request.empty_table()
    if header is not None and resume is not None:
        table = resumed(Path(resume), header, rows, table)
    builder = request.builder(table, lambda _: {})  # a plan reads no entries of tensors
    planned = [pairs[index] for index in builder.matrices]
    matrices = MatrixPairs(*both, map(Link.of, planned))
    each = options if workers is None else options.per_worker(workers)
    measured = rates.measure(PairEstimate.threads(each), largest_file(*both))
    estimates = [PairEstimate.of(matrices, pair, each, measured) for pair in planned]
    patterns = {"include": as_list(request.include), "exclude": as_list(request.exclude)}
    return ComparisonPlan(
        before=table.before,
        after=table.after,
        options=options.planned() | patterns,
        tensors=tuple(estimate.plan for estimate in estimates),
        unreadable=_unreadable(pairs),
        workers=workers or 1,
        alone=frozenset(),
        rates=measured,
        notes=table.notes,
        kept=sum(pair.matrix for pair in pairs) - len(planned),
        shard=request.part,
        processes=workers is not None,
        next_bytes=_next_bytes(estimates) if workers is None else 0,
    )


def _unreadable(pairs: Sequence[Pair]) -> dict[str, str]:
    return {
        pair.name: pair.reason or ""
        for pair in pairs
        if pair.status == "not analysed" and pair.row()["kind"] == "unreadable"
    }


def _next_bytes(estimates: Sequence[PairEstimate]) -> int:
    """Return by how much a pair and the next one, which is read meanwhile, exceed one pair.

    Any two pairs that leave room for one another may meet.
    """
    memory = {estimate.memory for estimate in estimates if estimate.memory is not None}
    most = max((one.peak_bytes for one in memory), default=0)
    together = [
        one.peak_bytes + other.matrix_bytes + other.vector_bytes
        for one in memory
        for other in memory
        if one.leaves_room(other) and other.leaves_room(one)
    ]
    several = len([estimate for estimate in estimates if estimate.memory is not None]) > 1
    return max(max(together, default=0) - most, 0) if several else 0
