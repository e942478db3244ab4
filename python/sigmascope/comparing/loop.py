# SPDX-License-Identifier: BSD-3-Clause
"""The function compare: two checkpoints, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Literal, Unpack, overload

from sigmascope._host.keywords import public
from sigmascope._host.resources import Resources
from sigmascope._running.executors import concurrent_tasks
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns
from sigmascope._running.tasks import Options, check_files
from sigmascope._running.vectors import vectors_folder
from sigmascope._tables.outputs import PathLike, Paths
from sigmascope.adapters.scannable import as_scannable
from sigmascope.analysis.requested import REQUESTED, check_measures
from sigmascope.scanning.keywords import ScanOptionsWithMeasures

from .planning import plan_comparison
from .plans import ComparisonPlan
from .result import Comparison
from .run import ComparisonRun, Source
from .updates import ON_REQUEST


@overload
def compare(
    before: Source,
    after: Source,
    *,
    plan: Literal[False] = False,
    **options: Unpack[ScanOptionsWithMeasures],
) -> Comparison: ...


@overload
def compare(
    before: Source,
    after: Source,
    *,
    plan: Literal[True],
    **options: Unpack[ScanOptionsWithMeasures],
) -> ComparisonPlan: ...


@public
def compare(
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
) -> Comparison | ComparisonPlan:
    """Compare every tensor of two checkpoints: matrices by their spectra, others entry by entry.

    Parameters
    ----------
    before, after : Checkpoint, Adapter, path, mapping of names to arrays, or module of torch
        As for :func:`open_checkpoint`; `after` may be a LoRA adapter of `before`, or both adapters.
    effort, k, tol, accuracy, measures, seed
        Options of each of the four spectra of a pair, as for :func:`spectrum`. All four start from
        the same random block. Measures on request are those of a spectrum, "update_shares" and
        "update_masks" (:mod:`sigmascope.comparing.rows`).
    device : str
        As for :func:`scan`: the four spectra of a pair are computed on one device.
    num_threads, memory_limit
        Threads and memory of all spectra that are computed at once. If no limit is given, a resumed
        comparison uses the limit of its journal, if this machine has as much.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        As for :func:`scan`; a pattern matches a pair if it matches the name of either tensor.
    vectors
        As for :func:`scan`: those of W, W' and dW.
    out, resume, shard, resources, executor, workers, progress, plan
        As for :func:`scan`.

    Returns
    -------
    Comparison
        One row per pair in the order of `before`, then the tensors that only `after` has; see
        :mod:`sigmascope.comparing.rows`. Tensors are paired by name, or by their place in the model
        (:mod:`sigmascope.comparing.pairing`). A tensor without a partner has status "unpaired" and
        a reason, as do two tensors of different shapes. Embeddings of vocabularies of two sizes are
        an exception: their common rows are compared. Tensors without a spectrum are compared number
        by number, with status "entrywise". :attr:`Comparison.verdict` counts them all.
    ComparisonPlan
        With `plan`: effort, passes, memory and time of every pair whose row is not in the journal
        to resume.

    Raises
    ------
    CheckpointError, DeviceError, ValueError, ImportError, OSError, OutputError, ScanInterrupted
        As for :func:`scan`; the attribute `scan` of the last two has the Comparison so far.
        ValueError also if `before` is an adapter and `after` is not.

    See Also
    --------
    scan : The spectra of one checkpoint.
    diagnose : What a comparison tells of the data of a training run.
    trajectory : Several checkpoints of one run.

    Notes
    -----
    Both matrices W and W' of a pair are read once, if they fit into memory together with one
    spectrum. The next pair is computed at the same time, on threads that would be idle, if it fits
    as well.

    Passes: one over both matrices for their norms, the norm of dW = W' - W, <dW, W> and the
    expected rounding error (a second one over numbers of 8 bits, or with scales); one over each for
    special structure (a constant matrix, copies of rows; a second one where norms of rows agree);
    one over both for single entries, if the change is not above rounding; one over dW for its
    entries, rows and columns; two more for "update_shares", one for "update_masks"; then those of
    :func:`spectrum` for W, W', dW and dW - c W, where c = <dW, W> / <W, W>. A pair of identical
    matrices has one spectrum. dW is summed entry by entry while it is decoded.

    Memory is that of :func:`spectrum`. As many of the four spectra are computed at once as it
    allows, each on a part of the threads and of the device's memory; no number depends on that.
    On a CUDA device the passes for sums, the spectra, and products with vectors ("update_shares",
    <dW, W> of an adapter) run there. The CPU computes the change that an adapter makes, special
    structure, single entries, other measures on request, and angles.

    Examples
    --------
    >>> table = compare("base/", "tuned/", resume="pair.jsonl")                # doctest: +SKIP
    >>> table.to_pandas().groupby("role").change_effective_rank.median()       # doctest: +SKIP
    """
    limits = num_threads, memory_limit
    options = Options.of(effort, k, tol, accuracy, seed, *limits, device=device)
    requested = check_measures(measures, (*REQUESTED, *ON_REQUEST))
    folder = vectors_folder(vectors, make=not plan)
    options = replace(options, measures=requested, vectors=folder)
    workers = concurrent_tasks(executor, workers, plan=plan)
    both = as_scannable(before, reading), as_scannable(after, reading)
    check_files(executor, *both)
    run = ComparisonRun.of(
        both, options, include, exclude, shard, keep_memory=memory_limit is not None
    )
    if plan:
        return plan_comparison(run, out, resume, workers)
    return run.fill(out, resume, executor, workers, progress)
