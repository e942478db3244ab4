# SPDX-License-Identifier: BSD-3-Clause
"""The function plan_compare: memory, time and refusals of a comparison, from headers alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sigmascope._display.text import path_text
from sigmascope._execution import arguments, rates
from sigmascope._host.keywords import public
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.tasks import Options
from sigmascope._tables.outputs import PathLike, Paths, check_outputs, resumed, settings_of
from sigmascope._tables.provenance import identities
from sigmascope.adapters.scannable import as_scannable, largest_file
from sigmascope.analysis.requested import REQUESTED, check_measures

from .beginning import PairBuilder, Source, empty_table, listed_part
from .members import Pair
from .pair_estimates import PairEstimate
from .plans import ComparisonPlan
from .result import Comparison
from .tasks import Link, MatrixPairs
from .updates import ON_REQUEST


@public
def plan_compare(
    before: Source,
    after: Source,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    accuracy: str = "reference",
    measures: str | Sequence[str] | None = None,
    seed: int | None = 0,
    device: str = "cpu",
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    vectors: PathLike | None = None,
    out: Paths = None,
    resume: PathLike | None = None,
    shard: tuple[int, int] | None = None,
    workers: int | None = None,
) -> ComparisonPlan:
    """Plan the comparison that :func:`compare` makes of the same arguments, from headers alone.

    Parameters
    ----------
    before, after, effort, k, tol, accuracy, measures, seed, device, num_threads, memory_limit
        As for :func:`compare`.
    include, exclude
        As for :func:`compare`.
    vectors, out, resume
        As for :func:`compare`; they are checked, and no file is made or changed. Pairs whose rows
        the comparison would take from the journal are not planned.
    shard
        As for :func:`compare`; the plan is for that part.
    workers
        Number of workers of the comparison's executor, as for :func:`compare`; None for a
        comparison without executor.

    Returns
    -------
    ComparisonPlan
        Effort, passes, memory and time of every pair. A pair that will be refused has the reason
        that its row would have.

    Raises
    ------
    CheckpointError, DeviceError, ValueError, ImportError, OSError
        As for :func:`compare`.

    See Also
    --------
    compare : The comparison that is planned.
    plan_scan : The same for one checkpoint.

    Notes
    -----
    The code that a comparison runs decides here, too, what fits into memory and how it is read.
    Times are those of four spectra, of W, W', dW and dW without its part along W, of the passes
    over both matrices, and of angles. Two matrices that are equal take less, which headers do not
    tell. Times come from the model and the measurement of :func:`plan_scan`, and from comparisons
    that were timed; on a CUDA device they are 0.

    Examples
    --------
    >>> import sigmascope as ss
    >>> plan = ss.plan_compare("base/", "tuned/", memory_limit="4GiB")      # doctest: +SKIP
    >>> plan.seconds, plan.peak_bytes                                       # doctest: +SKIP
    """
    limits = num_threads, memory_limit
    options = Options.of(effort, k, tol, accuracy, seed, *limits, device=device)
    requested = check_measures(measures, (*REQUESTED, *ON_REQUEST))
    folder = None if vectors is None else os.path.abspath(vectors)
    options = replace(options, measures=requested, vectors=folder)
    if workers is not None:
        arguments.check_positive(workers=workers)
    both = as_scannable(before), as_scannable(after)
    pairs, part = listed_part(both, include, exclude, shard)
    header, rows = check_outputs(out, resume, Comparison.schema)
    options = options.resuming(settings_of(header), keep_memory=memory_limit is not None)
    files = identities(both[0]), identities(both[1])
    table = empty_table(both, files, options, include, exclude, pairs, part)
    if header is not None and resume is not None:
        table = resumed(Path(resume), header, rows, table)
    builder = PairBuilder(table, pairs, f"{table.before} with {table.after}", lambda _: {})
    planned = [pairs[index] for index in builder.matrices]
    matrices = MatrixPairs(*both, map(Link.of, planned))
    each = options if workers is None else options.per_worker(workers)
    measured = rates.measure(PairEstimate.threads(each), largest_file(*both))
    estimates = [PairEstimate.of(matrices, pair, each, measured) for pair in planned]
    return ComparisonPlan(
        before=path_text(str(both[0].path)),
        after=path_text(str(both[1].path)),
        options=options.planned() | {"include": as_list(include), "exclude": as_list(exclude)},
        tensors=tuple(estimate.plan for estimate in estimates),
        unreadable=_unreadable(pairs),
        workers=workers or 1,
        alone=frozenset(),
        rates=measured,
        notes=table.notes,
        kept=sum(pair.matrix for pair in pairs) - len(planned),
        shard=part,
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
