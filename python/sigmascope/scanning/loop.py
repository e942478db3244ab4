# SPDX-License-Identifier: BSD-3-Clause
"""Every tensor of a checkpoint, its spectrum or the reason why there is none, row by row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from sigmascope._display.text import path_text
from sigmascope._running.ahead import Threads
from sigmascope._running.executors import Borrowed, at_once
from sigmascope._running.prefetch import Prefetch
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns
from sigmascope._running.tasks import Options, Read
from sigmascope._tables.outputs import Outputs, PathLike, Paths
from sigmascope._tables.schema import Row
from sigmascope.adapters import Scannable, as_scannable
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix

from .beginning import ScanRows, empty_table, listed_part
from .entrywise import entrywise
from .items import Item
from .result import Scan
from .side_by_side import Shares, Turns
from .tasks import Task, analysed, run


def scan(
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
    reading: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
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
    checkpoint : Checkpoint or path
        As for :func:`open_checkpoint`.
    effort, k, tol, accuracy, measures, seed
        For each matrix, as for :func:`spectrum`.
    num_threads, memory_limit
        Of all matrices that are analysed at once, as for :func:`spectrum`. Without a limit, a scan
        that is resumed keeps the one it began with, if this machine has as much.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        Shell patterns of tensor names (or of slices, "experts[3]"): what to analyse, and what of
        that to leave out. `*` also matches dots.
    out : path or sequence of paths, optional
        Where to save: `.jsonl` is written row by row and always holds what has been done; `.csv`,
        `.parquet` (extra `table`) and `.html`, a page to read, are written at the end, also after
        Ctrl-C. Existing files are replaced.
    resume : path, optional
        A `.jsonl` to go on with, or to begin if it is not there: rows that it holds are kept, those
        to come are appended. Rows that failed for want of memory, or because a file could not be
        read or had changed, are tried again; those that failed for what is in the matrix are not.
    shard : (int, int), optional
        ``(i, n)``, i from 0: only the rows of the i-th of n parts, which hold about as many stored
        bytes each; tensors without a spectrum are in the first. :func:`merge` puts them together.
    executor : concurrent.futures.Executor, optional
        Where matrices are analysed: a ProcessPoolExecutor (of the start method "spawn"), what
        ``get_executor()`` of a Dask client gives, an MPIPoolExecutor. Its workers must find the
        checkpoint under the same absolute path. A task whose worker dies is sent again, or done in
        this process in the end, with a RuntimeWarning. Progress goes row by row.
    workers : int, optional
        How many tasks `executor` does at once, all machines together: each gets that part of
        num_threads and memory_limit. Default: as many as this machine has cores.
    progress : callable, optional
        Called with a :class:`ScanEvent`; what it raises ends the scan.

    Returns
    -------
    Scan
        One row per tensor in file order, one per slice of a stack; see
        :mod:`sigmascope.scanning.rows`. An error in one tensor (NaN or infinity, a file that cannot
        be read, a memory limit that is too small) is the reason in its row, with status "failed".
        Tensors without a spectrum are read number by number, by this process, status "entrywise":
        NaN in one is such an error.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be opened.
    ValueError
        If an option is out of range, `reading` is not that of the open checkpoint, a pattern
        selects nothing, `out` has an unknown suffix, or `resume` is the journal of another
        checkpoint, or was made with other options that change numbers, or by another version,
        instruction set or BLAS: the differences are listed.
    ImportError
        If `out` asks for Parquet and pyarrow is missing.
    OSError
        If a path in `out` cannot be written, or another scan is writing it, before any work is
        done.
    OutputError
        If an output fails later; it carries the scan so far as its attribute `scan`.
    ScanInterrupted
        On Ctrl-C, when the outputs are saved; a KeyboardInterrupt that carries the scan so far.

    Notes
    -----
    Passes over each matrix and memory as for :func:`spectrum`; one more where norms of rows or
    columns agree to the bit, to count copies of them (:mod:`sigmascope.scanning.structure`). As
    many matrices as there are threads are analysed at once, or half as many and so on, where the
    memory holds that many; those that need more of it have all to themselves. The next is read
    meanwhile, into what they leave. No number depends on that, nor on `executor`, `shard` or
    `resume`: all columns but those of `rows.TIMING` are the same bits, as long as the memory limit
    of a matrix allows the same method.

    Examples
    --------
    >>> found = scan("model/", resume="model.jsonl")                    # doctest: +SKIP
    >>> found.to_pandas().groupby("role").effective_rank.median()       # doctest: +SKIP
    """
    options = Options.of(effort, k, tol, accuracy, seed, num_threads, memory_limit, measures)
    workers = at_once(executor, workers)
    opened = as_scannable(checkpoint, reading)
    items, part = listed_part(opened, include, exclude, shard)
    with Outputs(out, resume, Scan) as outputs:
        if memory_limit is None and outputs.memory_limit is not None:
            options = replace(options, memory_limit=outputs.memory_limit)
        begun = empty_table(opened, options, include, exclude, len(items), part)

        def look(item: Item) -> Row:
            return entrywise(opened, item.name, item.record["status"])

        rows = ScanRows(outputs.begin(begun), items, path_text(opened.path), look)
        if executor is None:
            _here(opened, options, rows, outputs, progress)
        else:
            _elsewhere(opened, options, rows, outputs, progress, executor, workers)
    return rows.table


def _here(
    checkpoint: Scannable,
    options: Options,
    rows: ScanRows,
    outputs: Outputs[Scan],
    progress: Progress | None,
) -> None:
    """Analyse what is left in this process."""
    shares = Shares.of(checkpoint, [item for item in rows.items if item.matrix], options)
    names = [rows.items[index].name for index in rows.matrices]
    ahead: Prefetch[Matrix | LowRank] = Prefetch(checkpoint, names)
    turns = Turns()
    with ahead as matrices:

        def analyse(index: int, read: Read) -> Row:
            name = rows.items[index].name
            alone = name in shares.alone
            with turns.turn(alone=alone):
                row = analysed(matrices, name, shares.options_of(name), read)
            if shares.workers > 1 and not alone and row.get("failure") == "environment":
                with turns.turn(alone=True):  # its share of the memory may have been too little
                    row = analysed(matrices, name, options, read)
            return row

        rows.fill(Threads(analyse, shares.workers), outputs, progress)


def _elsewhere(
    checkpoint: Scannable,
    options: Options,
    rows: ScanRows,
    outputs: Outputs[Scan],
    progress: Progress | None,
    executor: Executor,
    workers: int,
) -> None:
    """Let an executor analyse what is left."""
    each = options.shared(workers)

    def task(index: int) -> Task:
        return Task.of(checkpoint, rows.table.files, rows.items[index].name, each)

    rows.fill(Borrowed(executor, task, workers, run), outputs, progress)
