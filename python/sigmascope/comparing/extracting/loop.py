# SPDX-License-Identifier: BSD-3-Clause
"""The function extract: the change between two checkpoints as a LoRA adapter."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from sigmascope._execution import arguments
from sigmascope._host.keywords import public
from sigmascope._host.resources import Resources
from sigmascope._running.executors import concurrent_tasks
from sigmascope._running.progress import Progress
from sigmascope._running.run_options import resolve_run
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.tasks import check_files
from sigmascope._tables.outputs import PathLike
from sigmascope._tables.provenance import identities
from sigmascope._words.text import path_text
from sigmascope.adapters.folders import is_adapter
from sigmascope.adapters.targets import check_dtype
from sigmascope.adapters.writing import AdapterFolder
from sigmascope.analysis.approximation.criteria import Criterion
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.checkpoint.remote.paths import Location
from sigmascope.checkpoint.tensors import Tensors

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
        Folder of the adapter; created if it does not exist. Its journal `extraction.jsonl` has a
        row for every tensor. If a run ends early, the same call continues it.
    rank, energy, error
        As for :func:`low_rank`, for the change of each matrix. A rank above min(m, n) is reduced.
    dtype : {"float32", "float16", "bfloat16"}
        Format of the stored factors. `remaining` is measured after this rounding.
    fan_in_fan_out : bool, optional
        Whether the weights are stored with inputs as rows, like those of GPT-2. Default: True if
        the configuration names GPT-2.
    whole : bool
        Whether the adapter also stores changed norms and biases in full (`modules_to_save` and
        `bias` of PEFT). Not every program that runs adapters accepts these.
    overwrite : bool
        Whether to replace an adapter in `out` once the new one is complete. Until then, the new one
        is written in a folder beside it, whose name ends with ".new".
    tol, max_passes, precision, seed, num_threads
        As for :func:`low_rank`.
    memory_limit : int or str, optional
        Bytes for the computations of one matrix; with `executor`, of all matrices that are computed
        at once. Both matrices stay in memory if they take at most a third of their share; otherwise
        every pass reads them.
    device : str
        As for :func:`scan`. A CUDA device computes the parts that it computes for :func:`low_rank`.
    reading, include, exclude, resources, executor, workers, progress
        As for :func:`compare`. The workers of an executor return factors; this process writes them.

    Returns
    -------
    Extraction
        A row for every tensor (:mod:`sigmascope.comparing.extracting.result`), with the part of its
        change that the adapter lacks. The adapter holds the changes of linear layers, embeddings,
        kernels of convolutions, stacked experts and routers. The row of any other tensor states its
        change, and the reason why the adapter does not hold it. If a tensor failed,
        `Extraction.written` is False, and there is no adapter.

    Raises
    ------
    CheckpointError
        A file is invalid.
    DeviceError
        The device is not available.
    TypeError
        Not exactly one of `rank`, `energy` and `error` is given.
    ValueError
        An argument is out of range, a source is an adapter, the folder holds an adapter and
        `overwrite` is False, or its journal belongs to another extraction; the message lists the
        differences.
    OSError
        Factors cannot be written, for example on a full disk. Rows and factors so far are saved.
    OutputError, ScanInterrupted
        As for :func:`compare`: rows and factors so far are saved.

    See Also
    --------
    low_rank : The approximation of one matrix.
    compare : All measures of the change.
    resize : An adapter of a smaller rank.

    Notes
    -----
    One matrix is extracted at a time, or one on each device or worker. It takes a pass over both
    matrices for the norm of the change, the passes of :func:`low_rank`, and one or two for the
    stored factors. The change is summed entry by entry while it is decoded. No bit depends on
    workers, threads or an interruption. The product B A is the change itself: its scale alpha / r
    is 1. The factors of each matrix stay in a file in `out/parts` until all are there. Then they
    are joined, one stack in memory at a time, and adapter_config.json is written last.

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
        **resolve_run(seed=seed, num_threads=num_threads, memory_limit=memory_limit, device=device),
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
    """Open a checkpoint without splitting fused weights."""
    if isinstance(source, Checkpoint):
        if source.origin.circuits:
            raise ValueError(f"{source.path} was opened with circuits: extract reads its weights")
        return source
    if is_adapter(source):
        raise ValueError(f"{source} is already an adapter; resize changes its rank")
    return open_checkpoint(source, split_fused=False, reading=reading or "buffered")


def _is_transposed(base: Checkpoint) -> bool:
    """Return whether a model stores weights with inputs as rows, from its configuration."""
    return (base.architecture or "").lower().startswith(("gpt2", "openaigpt"))
