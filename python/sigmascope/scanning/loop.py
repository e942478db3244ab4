# SPDX-License-Identifier: BSD-3-Clause
"""The function scan: a row for every tensor, with its spectrum or the reason why it has none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from sigmascope._display.text import path_text
from sigmascope._host.keywords import public
from sigmascope._running.device_slots import DeviceSlots
from sigmascope._running.executors import ExecutorTasks, concurrent_tasks
from sigmascope._running.ordered import ThreadTasks
from sigmascope._running.prefetch import Prefetch
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns
from sigmascope._running.tasks import ByteListener, Options, check_files
from sigmascope._running.vectors import vectors_folder
from sigmascope._tables.outputs import Outputs, PathLike, Paths
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable, as_scannable
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Tensors
from sigmascope.matrices.matrix import Matrix

from .beginning import ScanBuilder, empty_table, listed_part
from .concurrency import ConcurrencyPlan, ExclusiveQueue
from .entrywise import entrywise
from .items import Item
from .result import Scan
from .tasks import MatrixTask, analyse, run


@public
def scan(
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
    reading: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    vectors: PathLike | None = None,
    out: Paths = None,
    resume: PathLike | None = None,
    shard: tuple[int, int] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Compute the spectrum of every matrix of a checkpoint, and account for every other tensor.

    Parameters
    ----------
    checkpoint : Checkpoint, path, URL, mapping of names to arrays, or module of torch
        As for :func:`open_checkpoint`. Of a state dict, or a module, every tensor is used where it
        is in memory; it must not change meanwhile.
    effort, k, tol, accuracy, measures, seed
        For each matrix, as for :func:`spectrum`. For files from strangers pass ``seed=None``: one
        seed is drawn for all matrices, that of the journal where the scan resumes one. Rows and
        `options` have it. Shards that draw seeds can be merged; to have the bits of a scan without
        shards, they need one seed.
    device : str
        "cpu"; "cuda", the first CUDA device, or "cuda:1" for another; or "cuda:all", all CUDA
        devices of this machine, which must be of one kind: each matrix is analysed on one of them.
        What is computed there, and what on the CPU: see :func:`spectrum`. An executor's workers
        take the devices in turn.
    num_threads, memory_limit
        Threads and memory of all matrices that are analysed at once, as for :func:`spectrum`. If no
        limit is given, a resumed scan uses the limit of its journal, if this machine has as much.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        Shell patterns of the names of tensors, or of slices ("experts[3]"), to analyse and to leave
        out. `*` also matches dots, and so does "…", with which tables shorten names.
    vectors : path, optional
        A folder, which is made if it does not exist, for the singular vectors of the k largest
        values: a safetensors file for each matrix (:mod:`sigmascope._running.vectors`).
    out : path or sequence of paths, optional
        Files to write. A `.jsonl` is written row by row and always holds the rows made so far;
        `.csv`, `.parquet` (extra `table`) and `.html`, a page to read, are written at the end, also
        after Ctrl-C. Existing files are replaced.
    resume : path, optional
        A `.jsonl` to continue, or to create if it does not exist. The rows that it has are kept,
        and new rows are appended. Rows that failed for lack of memory, or because a file could not
        be read or had changed, are computed again; rows that failed because of the numbers in the
        matrix are not.
    shard : (int, int), optional
        ``(i, n)``, i from 0: make only the rows of the i-th of n parts. The parts have about the
        same number of stored bytes, and the first has all rows without a spectrum. :func:`merge`
        joins the parts.
    executor : concurrent.futures.Executor, optional
        The executor that analyses matrices in files: a ProcessPoolExecutor (of the start method
        "spawn"), the result of a Dask client's ``get_executor()``, an MPIPoolExecutor. Its workers
        must find the checkpoint under the same absolute path, or at the same URL. A task whose
        worker dies is sent again, and is run in this process in the end, with a RuntimeWarning.
        Processes of this machine report progress as threads do; other executors once per row.
    workers : int, optional
        Number of tasks that `executor` runs at once, on all its machines; each gets an equal part
        of num_threads and memory_limit. Default: the number of cores of this machine.
    progress : callable, optional
        Function that is called with a :class:`ScanEvent`; an exception in it ends the scan.

    Returns
    -------
    Scan
        One row per tensor in file order, one per slice of a stack; see
        :mod:`sigmascope.scanning.rows`. An error in one tensor (NaN or infinity, a file that cannot
        be read, a memory limit that is too small) is the reason in its row, with status "failed".
        Tensors without a spectrum are read number by number, by this process, and have status
        "entrywise"; NaN in one is an error, too.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be opened.
    DeviceError
        If the device is not available; the message says what there is.
    ValueError
        If an option is out of range, `reading` is not that of the open checkpoint, a pattern
        matches nothing, or `out` has an unknown suffix. Also if `resume` is the journal of another
        checkpoint, or was made with other options that change numbers, or by another version,
        instruction set, BLAS or kind of device; the message lists the differences.
    ImportError
        If `out` asks for Parquet and pyarrow is missing.
    OSError
        If a path in `out` cannot be written, or another scan is writing it. Raised before any
        matrix is analysed.
    OutputError
        If an output fails later; its attribute `scan` has the rows made so far.
    ScanInterrupted
        On Ctrl-C, after the outputs are saved; a KeyboardInterrupt whose attribute `scan` has the
        rows made so far.

    See Also
    --------
    plan_scan : What a scan will take.
    compare : Two checkpoints, and what changed between them.
    merge : The parts of a scan that was run on several machines.

    Notes
    -----
    Passes over each matrix, and memory, are those of :func:`spectrum`. One more pass counts copies
    of rows or columns where some of their norms are the same bits
    (:mod:`sigmascope.scanning.structure`).

    As many matrices are analysed at once as there are threads, or half, a quarter and so on, if the
    memory limit allows it. A matrix that needs all the memory is analysed alone. The next matrix is
    read meanwhile, into the memory that is left. A matrix on another machine that fits into memory
    is read once; of one that does not, panels are read at each pass. Nothing is stored on disk.

    On a CUDA device each of these matrices has streams and a share of the device's memory of its
    own. What the device has free is asked for once, at the start; 90 % of it are divided, and a
    matrix that does not fit into a share with its stored bytes is analysed alone. The process of a
    worker takes some memory of a device for itself, so that threads use a device better than
    processes do.

    No number depends on this, nor on `executor`, `shard` or `resume`: all columns except those of
    `rows.TIMING` are the same bits, as long as the memory of a matrix allows the same method.

    Examples
    --------
    >>> table = scan("model/", resume="model.jsonl")                    # doctest: +SKIP
    >>> table.to_pandas().groupby("role").effective_rank.median()       # doctest: +SKIP
    """
    limits = num_threads, memory_limit
    options = Options.of(effort, k, tol, accuracy, seed, *limits, measures, device=device)
    options = replace(options, vectors=vectors_folder(vectors))
    workers = concurrent_tasks(executor, workers)
    opened = as_scannable(checkpoint, reading)
    check_files(executor, opened)
    items, part = listed_part(opened, include, exclude, shard)
    with Outputs(out, resume, Scan) as outputs:
        options = options.resuming(outputs.resumed_settings, keep_memory=memory_limit is not None)
        start = empty_table(opened, options, include, exclude, len(items), part)

        def read_entries(item: Item) -> Row:
            return entrywise(opened, item.name, item.record["status"])

        builder = ScanBuilder(
            outputs.begin(start), items, path_text(str(opened.path)), read_entries
        )
        if executor is None:
            _on_threads(opened, options, builder, outputs, progress)
        else:
            _on_executor(opened, options, builder, outputs, progress, executor, workers)
    return builder.table


def _on_threads(
    checkpoint: Scannable,
    options: Options,
    builder: ScanBuilder,
    outputs: Outputs[Scan],
    progress: Progress | None,
) -> None:
    """Analyse the remaining matrices in this process."""
    plan = ConcurrencyPlan.of(checkpoint, [item for item in builder.items if item.matrix], options)
    names = [builder.items[index].name for index in builder.matrices]
    remote = bool(checkpoint.sources)
    prefetch: Prefetch[Matrix | LowRank] = Prefetch(checkpoint, names, remote=remote)
    queue, slots = ExclusiveQueue(), DeviceSlots(options.devices)
    with prefetch as matrices:

        def row_of(index: int, read: ByteListener) -> Row:
            name = builder.items[index].name
            alone = name in plan.alone
            with queue.turn(alone=alone), slots.lent() as device:
                row = analyse(matrices, name, plan.options_of(name).on(device), read)
            if plan.workers > 1 and not alone and row.get("failure") == "environment":
                # its part of the memory may have been too small
                with queue.turn(alone=True), slots.lent() as device:
                    row = analyse(matrices, name, options.on(device), read)
            return row

        tasks = ThreadTasks(row_of, plan.workers, checkpoint.stop_reading)
        builder.fill(tasks, outputs, progress)


def _on_executor(
    checkpoint: Scannable,
    options: Options,
    builder: ScanBuilder,
    outputs: Outputs[Scan],
    progress: Progress | None,
    executor: Executor,
    workers: int,
) -> None:
    """Analyse the remaining matrices on an executor."""
    each = options.per_worker(workers)

    def task(index: int) -> MatrixTask:
        name, own = builder.items[index].name, each.of_row(index)
        return MatrixTask.of(checkpoint, builder.table.files, name, own)

    builder.fill(ExecutorTasks(executor, task, workers, run, len(builder.items)), outputs, progress)
