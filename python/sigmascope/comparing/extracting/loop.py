# SPDX-License-Identifier: BSD-3-Clause
"""The function extract: the change between two checkpoints as a LoRA adapter."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sigmascope._display.text import path_text
from sigmascope._execution import arguments
from sigmascope._execution.build import engine
from sigmascope._host.keywords import public
from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope._running.ordered import ThreadTasks
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, failed
from sigmascope._tables.outputs import Outputs, PathLike
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope.adapters import is_adapter
from sigmascope.adapters.writing import AdapterFolder, check_dtype
from sigmascope.analysis.approximation.criteria import Criterion
from sigmascope.checkpoint import Checkpoint, Tensors, open_checkpoint
from sigmascope.checkpoint.opening import Location
from sigmascope.comparing.beginning import named_files, notes_of
from sigmascope.comparing.entrywise import compared_entrywise

from .items import Item, listed
from .layers import Request, extract_matrix
from .result import EXTRACTED, NOT_CARRIED, Extraction

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
    tol: float = 1e-4,
    max_passes: int = 300,
    precision: str | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    reading: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
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
    tol, max_passes, precision, seed, num_threads
        As for :func:`low_rank`.
    memory_limit : int or str, optional
        Bytes for all that is computed of one matrix; both matrices are kept where they take no more
        than a third of it, else they are read at every pass.
    reading, include, exclude, progress
        As for :func:`compare`.

    Returns
    -------
    Extraction
        A row for every tensor (:mod:`sigmascope.comparing.extracting.result`), with what remains of
        its change. Vectors, embeddings, kernels of convolutions and tensors that are not the weight
        of a module are listed with their change and the reason why the adapter has it not. If a
        tensor failed, `Extraction.written` is False, and there is no adapter.

    Raises
    ------
    CheckpointError
        A file is not what it claims to be.
    TypeError
        None or more than one of `rank`, `energy` and `error` is given.
    ValueError
        An argument is out of range, a source is an adapter, the folder holds an adapter already, or
        its journal is that of another extraction; the message lists the differences.
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
    One matrix at a time: a pass over both for the norm of the change, those of :func:`low_rank`,
    and one or two for the stored factors. The change is summed entry by entry while it is decoded.
    The product B A is the change itself: its scale alpha / r is 1. The factors of each matrix are a
    file in `out/parts` until the last is there; then they are joined, and adapter_config.json is
    written last.

    Examples
    --------
    >>> found = ss.extract("base/", "tuned/", "adapter/", rank="edge")         # doctest: +SKIP
    >>> [(row["name"], row["rank"], row["relative_error"]) for row in found]   # doctest: +SKIP
    """
    criterion = Criterion.of(rank, energy, error)
    arguments.check_positive(tol=tol, max_passes=max_passes)
    arguments.check_seed(seed)
    if isinstance(rank, int):
        arguments.check_positive(rank=rank)
    check_dtype(dtype)
    before, after = _opened(base, reading), _opened(tuned, reading)
    transposed = _is_transposed(before) if fan_in_fan_out is None else fan_in_fan_out
    stated = {
        "base_model_name_or_path": path_text(str(before.path)),
        "fan_in_fan_out": transposed,
    }
    folder = AdapterFolder(Path(out), stated)
    items = listed(before, after, as_list(include), as_list(exclude))
    folder.check_new()
    search = {"tol": tol, "max_passes": max_passes, "precision": precision, "seed": seed}
    threads, limit = resolve_threads(num_threads), resolve_memory(memory_limit)
    request = Request(criterion, dtype, transposed, search, threads, limit)
    with Outputs(None, folder.path / JOURNAL, Extraction) as outputs:
        if memory_limit is None and outputs.limits.host is not None:
            request = replace(request, memory_limit=outputs.limits.host)
        patterns = {"include": as_list(include), "exclude": as_list(exclude)}
        start = _empty(before, after, request.recorded() | patterns, len(items))
        table = outputs.begin(start)
        _forget_lost(table, folder)
        run = _Run(before, after, items, request, folder)
        builder = TableBuilder(table, items, f"{table.before} with {table.after}", run.entrywise)
        builder.fill(ThreadTasks(run.row_of, 1, run.stop_reading), outputs, progress)
    if table.written:
        folder.finish({row["module"]: row["rank"] for row in table.analysed})
    return table


class _Run:
    """The rows of an extraction, one at a time."""

    def __init__(
        self,
        before: Checkpoint,
        after: Checkpoint,
        items: list[Item],
        request: Request,
        folder: AdapterFolder,
    ) -> None:
        self._both = before, after
        self._items, self._request, self._folder = items, request, folder
        self._unwritten: OSError | None = None

    def row_of(self, index: int, read: ByteListener) -> Row:
        """Return the columns of one matrix; an error becomes the reason in the row.

        Raises
        ------
        OSError
            Its factors, or those of a matrix before it, cannot be written.
        """
        if self._unwritten is not None:
            raise self._unwritten
        item, began = self._items[index], time.perf_counter()
        one, two = item.pair.before, item.pair.after
        assert one is not None
        assert two is not None
        try:
            before, after = self._both[0][one.key], self._both[1][two.key]
            if item.pair.rows is not None:
                before, after = before[: item.pair.rows], after[: item.pair.rows]
            row, factors = extract_matrix(before, after, self._request, item.obstacle, read)
        except TENSOR_ERRORS as error:
            return failed(error, began)
        if factors is not None:
            assert item.module is not None
            try:
                self._folder.put(item.module, factors)
            except OSError as error:
                self._unwritten = error
                raise
        return row | {"seconds": time.perf_counter() - began}

    def entrywise(self, item: Item) -> Row:
        """Return the change of a tensor that is no matrix."""
        found = compared_entrywise(self._both, item.pair)
        row: Row = {"converged": True}
        for name in ("status", "reason", "failure", "seconds", "relative_change"):
            row[name] = found.get(name)
        row["delta_fro_norm"] = found.get("delta_fro_norm")
        if found["status"] == "entrywise":
            changed = bool(found["changed_entries"])
            row["status"] = NOT_CARRIED if changed else "unchanged"
            row["reason"] = "the tensor is not a matrix" if changed else None
        return row

    def stop_reading(self) -> None:
        """End reads from other machines."""
        for each in self._both:
            each.stop_reading()


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


def _empty(
    before: Checkpoint, after: Checkpoint, options: dict[str, Any], expected: int
) -> Extraction:
    return Extraction(
        before=path_text(str(before.path)),
        after=path_text(str(after.path)),
        options=options,
        rows=[],
        expected=expected,
        notes=notes_of((before, after)),
        files=named_files(identities(before), identities(after)),
        engine=engine(),
        architecture=before.architecture,
    )


def _forget_lost(table: Extraction, folder: AdapterFolder) -> None:
    """Let rows be made again whose factors are not in the folder."""
    for row in table.rows:
        if row["status"] == EXTRACTED and folder.rank_of(row["module"]) != row["rank"]:
            row["failure"] = "environment"
