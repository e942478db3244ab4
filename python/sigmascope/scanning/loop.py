# SPDX-License-Identifier: BSD-3-Clause
"""The function scan: a row for every tensor, with its spectrum or the reason why it has none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal, Unpack, overload

from sigmascope._host.keywords import public
from sigmascope._host.resources import Resources
from sigmascope._running.executors import concurrent_tasks
from sigmascope._running.progress import Progress
from sigmascope._running.run_options import RunKeywords
from sigmascope._running.selection import Patterns
from sigmascope._running.tasks import Options, check_files
from sigmascope._running.vectors import vectors_folder
from sigmascope._tables.outputs import PathLike, Paths
from sigmascope.adapters.scannable import Scannable, as_scannable
from sigmascope.checkpoint.tensors import Tensors

from .keywords import ScanOptionsWithMeasures
from .planning import plan_scan
from .plans import ScanPlan
from .result import Scan
from .run import ScanRun


@overload
def scan(
    checkpoint: Scannable | Tensors | str | os.PathLike[str],
    *,
    plan: Literal[False] = False,
    **options: Unpack[ScanOptionsWithMeasures],
) -> Scan: ...


@overload
def scan(
    checkpoint: Scannable | Tensors | str | os.PathLike[str],
    *,
    plan: Literal[True],
    **options: Unpack[ScanOptionsWithMeasures],
) -> ScanPlan: ...


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
    resources: Resources | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    plan: bool = False,
) -> Scan | ScanPlan:
    """Compute the spectrum of every matrix of a checkpoint; list every other tensor.

    Examples
    --------
    >>> table = scan("model/", resume="model.jsonl")                    # doctest: +SKIP
    >>> table.to_pandas().groupby("role").effective_rank.median()       # doctest: +SKIP

    Parameters
    ----------
    checkpoint : Checkpoint, path, URL, mapping of names to arrays, or module of torch
        As for :func:`open_checkpoint`. The tensors of a state dict or a module are read in place,
        so they must not change during the scan.
    effort, k, tol, accuracy, measures, seed
        For each matrix, as for :func:`spectrum`. For untrusted files pass ``seed=None``: one random
        seed is drawn for all matrices. A resumed scan takes the seed of its journal instead.
    device : str
        As for :func:`spectrum`, or "cuda:all" for all CUDA devices of this machine, of one kind.
    num_threads, memory_limit, resources
        As for :func:`spectrum`, for all matrices that are analysed at once.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        Shell patterns for the names of tensors, or of slices ("experts[3]"), to analyse and to
        leave out. `*` also matches dots. So does "…", with which tables shorten names.
    vectors : path, optional
        Folder for the singular vectors of the k largest values, one file per matrix.
    out : path or sequence of paths, optional
        Files to write or replace. A `.jsonl` file grows row by row. A `.csv`, `.parquet` (extra
        `table`) or `.html` file (a page to read) is written at the end, also after Ctrl-C.
    resume : path, optional
        A `.jsonl` to continue, or to create. Its rows are kept, except those that may succeed now.
    shard : (int, int), optional
        ``(i, n)``, i from 0: make only the rows of the i-th of n parts, which :func:`merge` joins.
    executor : concurrent.futures.Executor, optional
        Executor that analyses matrices in files: a ProcessPoolExecutor (start method "spawn"), a
        Dask client's ``get_executor()``, or an MPIPoolExecutor.
    workers : int, optional
        Number of tasks that `executor` runs at once; each gets an equal part of num_threads and
        memory_limit. Default: the number of cores of this machine.
    progress : callable, optional
        Function that is called with a :class:`ScanEvent`; an exception in it ends the scan.
    plan : bool
        If True, return the plan of the same scan, made from headers only. Nothing is computed or
        written, and `workers` may be given without an executor.

    Returns
    -------
    Scan
        One row per tensor in file order, one per slice of a stack; see
        :mod:`sigmascope.scanning.rows`. An error in one tensor (NaN or infinity, an unreadable
        file, a memory limit that is too small) becomes the reason in its row, with status "failed".
        Tensors without a spectrum are read entry by entry, and have status "entrywise".
    ScanPlan
        With `plan`: effort, passes, memory and time of every matrix whose row is not in the journal
        to resume. If a matrix will be refused, the plan has the reason that its row would have.

    Raises
    ------
    CheckpointError, DeviceError
        If the checkpoint cannot be opened, or the device is not available.
    ValueError
        If an option is out of range, a pattern matches nothing, or `out` has an unknown suffix.
        Also if `resume` is the journal of another checkpoint, or of options or a machine that make
        other numbers; the message lists the differences.
    OSError, ImportError
        If `out` cannot be written, or Parquet needs pyarrow; before any matrix is analysed.
    OutputError, ScanInterrupted
        If an output fails later; on Ctrl-C, after the outputs are saved. The attribute `scan` of
        both has the rows made so far.

    See Also
    --------
    compare : Two checkpoints, and what changed between them.
    merge : The parts of a scan that was run on several machines.

    Notes
    -----
    Each matrix takes the passes and the memory of :func:`spectrum`. If some rows or columns have
    bitwise equal norms, one more pass counts their copies. Numbers do not depend on threads,
    executor, shards or resuming. docs/scanning.md says how matrices share a machine.
    """
    shared = RunKeywords(
        seed=seed, num_threads=num_threads, memory_limit=memory_limit, device=device
    )
    options = Options.of(effort, k, tol, accuracy, measures, **shared)
    options = replace(options, vectors=vectors_folder(vectors, make=not plan))
    workers = concurrent_tasks(executor, workers, plan=plan)
    opened = as_scannable(checkpoint, reading)
    check_files(executor, opened)
    run = ScanRun.of(opened, options, include, exclude, shard, keep_memory=memory_limit is not None)
    if plan:
        return plan_scan(run, out, resume, workers)
    return run.fill(out, resume, executor, workers, progress)
