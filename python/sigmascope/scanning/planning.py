# SPDX-License-Identifier: BSD-3-Clause
"""What a scan will do, how much memory and about how long it takes, and what it will refuse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from sigmascope import rates
from sigmascope.adapters import Scannable, as_scannable
from sigmascope.errors import MemoryLimitError
from sigmascope.low_rank import LowRank
from sigmascope.matrices import Matrix
from sigmascope.memory import OVERHEAD
from sigmascope.plan import Run
from sigmascope.rates import Rates
from sigmascope.requested import PARTS, PERMUTATIONS, SIDE
from sigmascope.routes import Route, route, run_for
from sigmascope.text import path_text
from sigmascope.threads import amount

from .items import Item, Patterns, as_list, listed
from .plans import ScanPlan, TensorPlan
from .side_by_side import Shares
from .tasks import TENSOR_ERRORS, Options, reason_of


def plan_scan(
    checkpoint: Scannable | str | os.PathLike[str],
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    accuracy: str = "reference",
    measures: str | Sequence[str] | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
) -> ScanPlan:
    """Say what :func:`scan` of the same arguments will do, from the headers alone.

    Parameters
    ----------
    checkpoint, effort, k, tol, accuracy, measures, seed, num_threads, memory_limit
        As for :func:`scan`.
    include, exclude
        As for :func:`scan`.

    Returns
    -------
    ScanPlan
        Effort, passes, memory and time of every matrix; what is refused has the reason that its row
        would have.

    Raises
    ------
    CheckpointError, ValueError
        As for :func:`scan`.

    Notes
    -----
    What fits and how it is read is decided by the code that a scan runs; times come from a model
    and a third of a second of measurement, for which 16 MiB of the largest file are read. Of the
    tensors nothing is read but scales of quantised ones.
    """
    options = Options.of(effort, k, tol, accuracy, seed, num_threads, memory_limit, measures)
    opened = as_scannable(checkpoint)
    items = list(listed(opened, as_list(include), as_list(exclude)))
    matrices = [item for item in items if item.matrix]
    shares = Shares.of(opened, matrices, options)
    largest = max(opened.files, key=_size, default=None)
    measured = rates.measure(shares.each.num_threads, largest)
    unreadable = {
        item.name: item.reason or ""
        for item in items
        if item.record["status"] == "unreadable" and item.status == "not analysed"
    }
    return ScanPlan(
        checkpoint=path_text(opened.path),
        options=options.recorded() | {"include": as_list(include), "exclude": as_list(exclude)},
        tensors=tuple(
            _planned(opened, item, shares.options_of(item.name), measured) for item in matrices
        ),
        unreadable=unreadable,
        workers=shares.workers,
        alone=shares.alone,
        rates=measured,
        notes=opened.notes,
    )


def _size(path: os.PathLike[str]) -> int:
    with suppress(OSError):
        return os.stat(path).st_size
    return 0


def _planned(checkpoint: Scannable, item: Item, options: Options, measured: Rates) -> TensorPlan:
    """Plan one matrix; what is wrong with it becomes the reason why it is refused."""
    unknown = _unknown(item, options)
    try:
        a = checkpoint[item.name]
        if isinstance(a, LowRank):
            return _of_product(a, unknown, options, measured)
        run = run_for(
            a,
            options.effort,
            num_threads=options.num_threads,
            memory_limit=options.memory_limit,
        )
        chosen = route(
            a,
            options.effort,
            options.k,
            options.tol,
            options.accuracy,
            run,
            options.measures,
        )
    except TENSOR_ERRORS as error:
        return replace(unknown, refused=reason_of(error))
    search = chosen.search
    known = replace(
        unknown,
        rows=a.shape[0],
        columns=a.shape[1],
        nbytes=a.nbytes,
        effort=chosen.effort,
        block=search.block if search else 0,
        basis_columns=search.columns if search else 0,
        precision=search.precision if search else "float64",
        passes=chosen.passes,
    )
    try:
        run = chosen.within(a, run)
    except MemoryLimitError as error:
        return replace(known, refused=str(error), peak_bytes=run.least(a, chosen.need))
    held = run.load_bytes + run.copy_bytes
    needed = chosen.need(run.reading(a, held=run.load_bytes > 0)).beside(held)
    part = min(chosen.spare(a, run), a.nbytes)
    read = (a.nbytes - part) * _reads(a, chosen, run) + part
    return replace(
        known,
        held=run.load_bytes > 0,
        read_bytes=read,
        peak_bytes=needed.peak + part,
        seconds=_seconds(a, chosen, run, read, measured),
    )


def _of_product(a: LowRank, unknown: TensorPlan, options: Options, measured: Rates) -> TensorPlan:
    """Plan the change that an adapter makes, which is done exactly whatever the effort."""
    needed = a.working_bytes + OVERHEAD
    known = replace(
        unknown,
        rows=a.shape[0],
        columns=a.shape[1],
        nbytes=a.nbytes,
        effort="exact",
        precision="float64",
        held=True,
        passes=1,
        read_bytes=a.nbytes,
        peak_bytes=needed,
    )
    if a.working_bytes > options.memory_limit:
        refused = f"a product of rank {a.rank} needs {amount(a.working_bytes)}"
        return replace(known, refused=refused)
    flops = 8 * sum(a.shape) * a.rank**2 + 20 * a.rank**3
    return replace(known, seconds=flops * measured.threads / measured.speed("float64"))


def _unknown(item: Item, options: Options) -> TensorPlan:
    """What the record of a tensor alone tells."""
    record = item.record
    shape = record["shape"]
    return TensorPlan(
        name=item.name,
        tensor=record["name"],
        role=record["role"],
        tower=record["tower"],
        rows=shape[0] if len(shape) == 2 else 0,
        columns=shape[1] if len(shape) == 2 else 0,
        dtype=record["dtype"],
        nbytes=item.stored_bytes,
        asked=options.effort,
        effort=options.effort,
        block=0,
        basis_columns=0,
        precision="",
        held=False,
        passes=0,
        read_bytes=0,
        peak_bytes=0,
        seconds=0.0,
    )


def _reads(a: Matrix, chosen: Route, run: Run) -> int:
    """How often the stored bytes are read from disk."""
    if run.load_bytes or not run.stored_bytes:
        return 1
    if run.copied:  # the steps read the copy, made in one more
        return chosen.passes - max(chosen.steps - 1, 0)
    return chosen.passes + (chosen.steps if run.reading(a).wide else 0)  # each reads rows twice


def _seconds(a: Matrix, chosen: Route, run: Run, read: int, measured: Rates) -> float:
    """Estimate the time of one matrix: what is read again is read while it is computed."""
    search = chosen.search
    computing = (2 if search else 3) * measured.elements_seconds(a.nbytes)
    if search is None:
        computing += measured.values_seconds(a.shape, fast=chosen.accuracy == "fast")
    else:
        computing += measured.krylov_seconds(
            a.shape,
            search.k,
            search.block,
            search.tol,
            search.precision,
            density=search.density,
        )
    if chosen.permutes:
        computing *= 1 + PERMUTATIONS
    if "alpha_farms" in chosen.measures:
        side = min(*a.shape, SIDE)
        computing += PARTS * measured.values_seconds((side, side), fast=False)
    reading = read / measured.file if measured.file and not a.in_memory else 0.0
    return computing + reading if run.load_bytes else max(computing, reading)
