# SPDX-License-Identifier: BSD-3-Clause
"""The function extract: the change between two checkpoints as a LoRA adapter."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from sigmascope._execution import arguments
from sigmascope._execution.several_devices import devices_of
from sigmascope._host.keywords import public
from sigmascope._host.memory import resolve_memory
from sigmascope._host.resources import Resources
from sigmascope._host.threads import resolve_threads
from sigmascope._running.executors import concurrent_tasks
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.tasks import check_files
from sigmascope._tables.outputs import PathLike
from sigmascope._tables.provenance import identities
from sigmascope._words.text import path_text
from sigmascope.adapters.folders import is_adapter
from sigmascope.adapters.targets import check_dtype
from sigmascope.adapters.writing import AdapterFolder
from sigmascope.analysis.approximation.criteria import Criterion
from sigmascope.checkpoint import Checkpoint, Tensors, open_checkpoint
from sigmascope.checkpoint.remote.paths import Location

from .items import list_items
from .layers import Request
from .representable import Layouts
from .result import Extraction
from .run import ExtractionRun

JOURNAL = "extraction.jsonl"

Source = Checkpoint | Tensors | Location


@public
def extract(
    base: Source,
    tuned: Source,
    out: PathLike,
    *,
    rank: int | str | None = None,
    energy: float | None = None,
    error: float | None = None,
    dtype: str = "float32",
    fan_in_fan_out: bool | None = None,
    whole: bool = False,
    overwrite: bool = False,
    tol: float = 1e-4,
    max_passes: int = 300,
    precision: str | None = None,
    seed: int | None = 0,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    reading: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    device: str = "cpu",
    resources: Resources | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Write the change between two checkpoints as a LoRA adapter in PEFT's layout.

    Exactly one of `rank`, `energy` and `error` decides the rank of each matrix.

    Parameters
    ----------
    base, tuned : Checkpoint, path, mapping of names to arrays, or module of torch
        As for :func:`compare`; fused weights are not split. An open checkpoint has its own options.
    out : path
        Folder of the adapter, which is made if it is not there. The journal `extraction.jsonl` in
        it has a row for every tensor. If a run ends early, the same call continues it.
    rank, energy, error
        As for :func:`low_rank`, of the change of each matrix; a rank above min(m, n) is cut down.
    dtype : {"float32", "float16", "bfloat16"}
        Format of the stored factors. What remains is measured of the factors after this rounding.
    fan_in_fan_out : bool, optional
        True if the weights are stored with inputs as rows, as GPT-2 stores them; by default True if
        the configuration names GPT-2.
    whole : bool
        If True, the adapter also has changed norms and biases, in full: `modules_to_save` and
        `bias` of PEFT, which not every program takes that runs adapters.
    overwrite : bool
        Whether an adapter in `out` is replaced, once the new one is complete. Until then that is
        written in a folder beside it, whose name ends with ".new".
    tol, max_passes, precision, seed, num_threads
        As for :func:`low_rank`.
    memory_limit : int or str, optional
        Bytes for all that is computed of one matrix, or with `executor` of all that are computed at
        once; both matrices are kept where they take no more than a third of their share, else they
        are read at every pass.
    device : str
        As for :func:`scan`; what :func:`low_rank` computes on a CUDA device is computed there.
    reading, include, exclude, resources, executor, workers, progress
        As for :func:`compare`. The workers of an executor return factors; this process writes them.

    Returns
    -------
    Extraction
        A row for every tensor (:mod:`sigmascope.comparing.extracting.result`), with what remains of
        its change. The adapter has the changes of linear layers, embeddings, kernels of
        convolutions, stacked experts and routers. Others are listed with their change and the
        reason why the adapter has it not. If a tensor failed, `Extraction.written` is False, and
        there is no adapter.

    Raises
    ------
    CheckpointError
        A file is not what it claims to be.
    DeviceError
        The device is not available.
    TypeError
        None or more than one of `rank`, `energy` and `error` is given.
    ValueError
        An argument is out of range, a source is an adapter, the folder holds an adapter and
        `overwrite` is False, or its journal is that of another extraction; the message lists the
        differences.
    OSError
        Factors cannot be written, as on a full disk. Rows and factors so far are saved.
    OutputError, ScanInterrupted
        As for :func:`compare`: rows and factors so far are saved.

    See Also
    --------
    low_rank : The approximation of one matrix.
    compare : All measures of the change.
    resize : An adapter of a smaller rank.

    Notes
    -----
    One matrix at a time, or one on each device or worker: a pass over both for the norm of the
    change, those of :func:`low_rank`, and one or two for the stored factors. The change is summed
    entry by entry while it is decoded. No bit depends on workers, threads or an interruption.
    The product B A is the change itself: its scale alpha / r is 1. The factors of each matrix are a
    file in `out/parts` until the last is there; then they are joined, those of one stack in memory
    at a time, and adapter_config.json is written last.

    Examples
    --------
    >>> table = ss.extract("base/", "tuned/", "adapter/", rank="edge")         # doctest: +SKIP
    >>> [(row["name"], row["rank"], row["relative_error"]) for row in table]   # doctest: +SKIP
    """
    criterion = Criterion.of(rank, energy, error)
    arguments.check_positive(tol=tol, max_passes=max_passes)
    if isinstance(rank, int):
        arguments.check_positive(rank=rank)
    check_dtype(dtype)
    workers = concurrent_tasks(executor, workers)
    both = _opened(base, reading), _opened(tuned, reading)
    check_files(executor, *both)
    request = Request(
        criterion=criterion,
        dtype=dtype,
        transposed=_is_transposed(both[0]) if fan_in_fan_out is None else fan_in_fan_out,
        search={"tol": tol, "max_passes": max_passes, "precision": precision},
        seed=arguments.resolve_seed(seed),
        seed_drawn=seed is None,
        num_threads=resolve_threads(num_threads),
        memory_limit=resolve_memory(memory_limit),
        devices=devices_of(device),
    )
    patterns = {"include": as_list(include), "exclude": as_list(exclude)}
    layouts = Layouts.of(both[0], request.transposed)
    items = list_items(both, layouts, **patterns, whole=whole)
    stated = {
        "base_model_name_or_path": path_text(str(both[0].path)),
        "fan_in_fan_out": request.transposed,
    }
    folder = AdapterFolder(Path(out), stated).start(overwrite)
    run = ExtractionRun(
        options=request,
        keep_memory=memory_limit is not None,
        patterns=patterns,
        choices={"whole": whole},
        items=items,
        both=both,
        files=(identities(both[0]), identities(both[1])),
        folder=folder,
    )
    table = run.fill(None, folder.path / JOURNAL, executor, workers, progress)
    if table.written:
        seeds = (row["seed"] for row in table.analysed if row["seed"] is not None)
        carried = [(target, row["rank"]) for row, target in run.targets(table)]
        folder.finish(carried, run.saved(table, layouts), seeds)
        folder.move()
    return table


def _opened(source: Source, reading: str | None) -> Checkpoint:
    """Open a checkpoint with its fused weights whole."""
    if isinstance(source, Checkpoint):
        return source
    if is_adapter(source):
        raise ValueError(f"{source} is an adapter already; resize changes its rank")
    return open_checkpoint(source, split_fused=False, reading=reading or "buffered")


def _is_transposed(base: Checkpoint) -> bool:
    """Tell whether a model stores weights with inputs as rows, by its configuration."""
    return (base.architecture or "").lower().startswith(("gpt2", "openaigpt"))
