# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan: effort, memory, time and refusals, from headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sigmascope._execution import rates
from sigmascope._running.selection import as_list
from sigmascope._tables.outputs import PathLike, Paths, check_outputs, resumed, settings_of
from sigmascope.adapters.scannable import largest_file

from .beginning import ScanRequest
from .concurrency import ConcurrencyPlan
from .items import Item
from .plans import ScanPlan
from .result import Scan
from .tensor_estimates import estimated


def plan_scan(
    request: ScanRequest,
    out: Paths,
    resume: PathLike | None,
    workers: int | None,
    *,
    keep_memory: bool,
) -> ScanPlan:
    """Plan a scan; `workers` is None for one without executor.

    The code that a scan runs decides here, too, what fits into memory and how it is read. Times
    come from a model and from a measurement of a third of a second, for which 16 MiB of the largest
    file are read, wherever it is. Of the tensors, only the scales of quantised ones are read. The
    speed of a CUDA device is not measured: times are 0 then. No file is made or changed.
    """
    header, rows = check_outputs(out, resume, Scan.schema)
    request = request.resuming(settings_of(header), keep_memory=keep_memory)
    checkpoint, items, options = request.checkpoint, request.items, request.options
    table = request.empty_table()
    if header is not None and resume is not None:
        table = resumed(Path(resume), header, rows, table)
    builder = request.builder(table, lambda _: {})  # a plan reads no entries of tensors
    matrices = [item for item in items if item.matrix]
    if workers is None:
        shares = ConcurrencyPlan.of(checkpoint, matrices, options)
    else:
        shares = ConcurrencyPlan(workers, options.per_worker(workers), options)
    measured = rates.measure(shares.each.num_threads, largest_file(checkpoint))
    planned = [items[index] for index in builder.matrices]
    patterns = {"include": as_list(request.include), "exclude": as_list(request.exclude)}
    return ScanPlan(
        checkpoint=table.checkpoint,
        options=options.planned() | patterns,
        tensors=tuple(
            estimated(checkpoint, item, shares.options_of(item.name), measured) for item in planned
        ),
        unreadable=_unreadable(items),
        workers=shares.workers,
        alone=shares.alone,
        rates=measured,
        notes=checkpoint.notes,
        kept=len(matrices) - len(planned),
        shard=request.part,
        processes=workers is not None,
    )


def _unreadable(items: Sequence[Item]) -> dict[str, str]:
    return {
        item.name: item.reason or ""
        for item in items
        if item.record["status"] == "unreadable" and item.status == "not analysed"
    }
