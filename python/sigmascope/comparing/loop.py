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
from sigmascope._running.run_options import RunKeywords
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
    """Compare every tensor of two checkpoints: matrices by spectra, others by entries.

    Parameters
    ----------
    before, after : Checkpoint, Adapter, path, mapping of names to arrays, or module of torch
        As for :func:`open_checkpoint`. `after` may be a LoRA adapter of `before`, or both may be
        adapters.
    effort, k, tol, accuracy, measures, seed
        Options of each of the four spectra of a pair, as for :func:`spectrum`. All four start from
        the same random block. `measures` takes what :func:`spectrum` takes, "update_shares" and
        "update_masks" (:mod:`sigmascope.comparing.rows`).
    device : str
        As for :func:`scan`. One device computes all four spectra of a pair.
    num_threads, memory_limit
        Threads and memory of all spectra that are computed at once. If no limit is given, a resumed
        comparison uses the limit of its journal, if this machine has that much memory.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        As for :func:`scan`; a pattern matches a pair if it matches the name of either tensor.
    vectors
        As for :func:`scan`: a folder for the vectors of W, W' and dW.
    out, resume, shard, resources, executor, workers, progress, plan
        As for :func:`scan`.

    Returns
    -------
    Comparison
        One row per pair in the order of `before`, then the tensors that only `after` has; see
        :mod:`sigmascope.comparing.rows`. Tensors are paired by name, or by their place in the model
        (:mod:`sigmascope.comparing.pairing`). A tensor without a partner has the status "unpaired"
        and a reason, and so do two tensors of different shapes, with one exception: embeddings of
        different vocabulary sizes are compared on their common rows. Tensors without a spectrum
        are compared entry by entry, with status "entrywise". :attr:`Comparison.verdict` counts
        all tensors.
    ComparisonPlan
        With `plan`: effort, passes, memory and time of every pair whose row is not in the journal
        to resume.

    Raises
    ------
    CheckpointError, DeviceError, ValueError, ImportError, OSError, OutputError, ScanInterrupted
        As for :func:`scan`; the attribute `scan` of the last two has the Comparison so far.
        ValueError also if `before` is an adapter and `after` is not an adapter.

    See Also
    --------
    scan : The spectra of one checkpoint.
    diagnose : What a comparison tells about the data of a training run.
    trajectory : Several checkpoints of one run.

    Notes
    -----
    Both matrices W and W' of a pair are read from their files once if they fit into memory together
    with one spectrum. If the next pair fits as well, idle threads compute it at the same time.

    Passes of a pair:

    - one over both for their norms, the norm of dW = W' - W, <dW, W> and the expected rounding
      error; a second one over numbers of 8 bits, or with scales;
    - one over each for special structure (a constant matrix, copies of rows); a second one where
      norms of rows agree;
    - one over both for single entries, if the change is not above rounding;
    - one over dW for its entries, rows and columns; two more for "update_shares", one for
      "update_masks";
    - the passes of :func:`spectrum` for W, W', dW and dW - c W, where c = <dW, W> / <W, W>. A pair
      of identical matrices has one spectrum. dW is summed entry by entry while it is decoded.

    A pair takes the memory of :func:`spectrum`. Within the memory limit, several of the four
    spectra are computed at once, each on a part of the threads and of the device's memory; no
    number depends on that. A CUDA device runs the passes for sums, the spectra, and products with
    vectors ("update_shares", <dW, W> of an adapter). The CPU computes the change that an adapter
    makes, special structure, single entries, other measures on request, and angles.

    Examples
    --------
    >>> table = compare("base/", "tuned/", resume="pair.jsonl")                # doctest: +SKIP
    >>> table.to_pandas().groupby("role").change_effective_rank.median()       # doctest: +SKIP
    """
    shared = RunKeywords(
        seed=seed, num_threads=num_threads, memory_limit=memory_limit, device=device
    )
    options = Options.of(effort, k, tol, accuracy, **shared)
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
