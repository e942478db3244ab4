# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan, made from headers only: effort, memory, time and refusals."""

from __future__ import annotations

from sigmascope._execution import rates
from sigmascope._tables.outputs import PathLike, Paths
from sigmascope.adapters.scannable import largest_file

from .concurrency import ConcurrencyPlan
from .plans import ScanPlan
from .run import ScanRun
from .tensor_estimates import estimated


def plan_scan(run: ScanRun, out: Paths, resume: PathLike | None, workers: int | None) -> ScanPlan:
    """Plan a scan; `workers` is None for a scan without an executor.

    The plan runs the scan's own code to decide what fits into memory and how it is read. Times come
    from a model and from a measurement of a third of a second, which reads 16 MiB of the largest
    file, even on another machine. Otherwise the plan reads only the scales of quantised tensors.
    The speed of a CUDA device is not measured: its times are 0. The plan does not write files.
    """
    run, builder = run.prepare_plan(out, resume)
    checkpoint, items, options = run.checkpoint, run.items, run.options
    matrices = [item for item in items if item.matrix]
    if workers is None:
        shares = ConcurrencyPlan.of(checkpoint, matrices, options)
    else:
        shares = ConcurrencyPlan(workers, options.per_worker(workers), options)
    measured = rates.measure(shares.each.num_threads, largest_file(checkpoint))
    planned = [items[index] for index in builder.matrices]
    return ScanPlan(
        checkpoint=builder.table.checkpoint,
        options=options.planned() | run.patterns,
        tensors=tuple(
            estimated(checkpoint, item, shares.options_of(item.name), measured) for item in planned
        ),
        unreadable=run.unreadable(),
        workers=shares.workers,
        alone=shares.alone,
        rates=measured,
        notes=checkpoint.notes,
        kept=len(matrices) - len(planned),
        shard=run.part,
        processes=workers is not None,
    )
