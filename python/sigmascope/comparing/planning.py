# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a comparison, made from headers only: memory, time and refusals."""

from __future__ import annotations

from collections.abc import Sequence

from sigmascope._execution import rates
from sigmascope._tables.outputs import PathLike, Paths
from sigmascope.adapters.scannable import largest_file

from .pair_estimates import PairEstimate
from .plans import ComparisonPlan
from .run import ComparisonRun
from .tasks import Link, MatrixPairs


def plan_comparison(
    run: ComparisonRun, out: Paths, resume: PathLike | None, workers: int | None
) -> ComparisonPlan:
    """Plan a comparison; `workers` is None for a comparison without an executor.

    The plan runs the comparison's own code to decide what fits into memory and how it is read.
    Times cover four spectra (of W, W', dW and dW without its part along W), the passes over both
    matrices, and angles. Equal matrices take less, but headers do not show that they are equal.
    Times come from the model and the measurement of a scan's plan, and from timed comparisons; on a
    CUDA device they are 0. The plan does not write files.
    """
    run, builder = run.prepare_plan(out, resume)
    both, pairs, options, table = run.both, run.items, run.options, builder.table
    planned = [pairs[index] for index in builder.matrices]
    matrices = MatrixPairs(*both, map(Link.of, planned))
    each = options if workers is None else options.per_worker(workers)
    measured = rates.measure(PairEstimate.threads(each), largest_file(*both))
    estimates = [PairEstimate.of(matrices, pair, each, measured) for pair in planned]
    return ComparisonPlan(
        before=table.before,
        after=table.after,
        options=options.planned() | run.patterns,
        tensors=tuple(estimate.plan for estimate in estimates),
        unreadable=run.unreadable(),
        workers=workers or 1,
        alone=frozenset(),
        rates=measured,
        notes=table.notes,
        kept=sum(pair.matrix for pair in pairs) - len(planned),
        shard=run.part,
        processes=workers is not None,
        next_bytes=_next_bytes(estimates) if workers is None else 0,
    )


def _next_bytes(estimates: Sequence[PairEstimate]) -> int:
    """Return how much more memory a pair and the next one take than one pair.

    The next pair is read meanwhile. Any two pairs that leave room for each other may coincide.
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
