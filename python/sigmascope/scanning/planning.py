# SPDX-License-Identifier: BSD-3-Clause
"""The function plan_scan: effort, memory, time and refusals of a scan, from headers alone."""

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
from sigmascope.adapters.scannable import Scannable, as_scannable, largest_file
from sigmascope.checkpoint import Tensors

from .beginning import ScanBuilder, empty_table, listed_part
from .concurrency import ConcurrencyPlan
from .items import Item
from .plans import ScanPlan
from .result import Scan
from .tensor_estimates import estimated


@public
def plan_scan(
    checkpoint: Scannable | Tensors | str | os.PathLike[str],
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
) -> ScanPlan:
    """Plan the :func:`scan` with the same arguments, from the headers alone.

    Parameters
    ----------
    checkpoint, effort, k, tol, accuracy, measures, seed, device, num_threads, memory_limit
        As for :func:`scan`.
    include, exclude
        As for :func:`scan`.
    vectors, out, resume
        As for :func:`scan`; they are checked, and no file is made or changed. Matrices whose rows
        the scan would take from the journal are not planned.
    shard
        As for :func:`scan`; the plan is for that part.
    workers
        Number of workers of the scan's executor, as for :func:`scan`; None for a scan without
        executor.

    Returns
    -------
    ScanPlan
        Effort, passes, memory and time of every matrix. A matrix that will be refused has the
        reason that its row would have.

    Raises
    ------
    CheckpointError, DeviceError, ValueError, ImportError, OSError
        As for :func:`scan`.

    See Also
    --------
    scan : The scan that is planned.

    Notes
    -----
    The code that a scan runs decides here, too, what fits into memory and how it is read. Times
    come from a model and from a measurement of a third of a second, for which 16 MiB of the largest
    file are read, wherever it is. Of the tensors, only the scales of quantised ones are read. The
    speed of a CUDA device is not measured: times are 0 then.

    Examples
    --------
    >>> import sigmascope as ss
    >>> plan = ss.plan_scan("model/", memory_limit="1GiB")      # doctest: +SKIP
    >>> plan.seconds, plan.read                                 # doctest: +SKIP
    """
    limits = num_threads, memory_limit
    options = Options.of(effort, k, tol, accuracy, seed, *limits, measures, device=device)
    options = replace(options, vectors=None if vectors is None else os.path.abspath(vectors))
    if workers is not None:
        arguments.check_positive(workers=workers)
    opened = as_scannable(checkpoint)
    items, part = listed_part(opened, include, exclude, shard)
    header, rows = check_outputs(out, resume, Scan.schema)
    options = options.resuming(settings_of(header), keep_memory=memory_limit is not None)
    table = empty_table(opened, options, include, exclude, len(items), part)
    if header is not None and resume is not None:
        table = resumed(Path(resume), header, rows, table)
    # A plan reads no entries of tensors.
    builder = ScanBuilder(table, items, path_text(str(opened.path)), lambda _: {})
    matrices = [item for item in items if item.matrix]
    if workers is None:
        shares = ConcurrencyPlan.of(opened, matrices, options)
    else:
        shares = ConcurrencyPlan(workers, options.per_worker(workers), options)
    largest = largest_file(opened)
    measured = rates.measure(shares.each.num_threads, largest)
    planned = [items[index] for index in builder.matrices]
    return ScanPlan(
        checkpoint=path_text(str(opened.path)),
        options=options.planned() | {"include": as_list(include), "exclude": as_list(exclude)},
        tensors=tuple(
            estimated(opened, item, shares.options_of(item.name), measured) for item in planned
        ),
        unreadable=_unreadable(items),
        workers=shares.workers,
        alone=shares.alone,
        rates=measured,
        notes=opened.notes,
        kept=len(matrices) - len(planned),
        shard=part,
        processes=workers is not None,
    )


def _unreadable(items: Sequence[Item]) -> dict[str, str]:
    return {
        item.name: item.reason or ""
        for item in items
        if item.record["status"] == "unreadable" and item.status == "not analysed"
    }
