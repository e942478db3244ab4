# SPDX-License-Identifier: BSD-3-Clause
"""Every tensor of a checkpoint, its spectrum or the reason why there is none, row by row."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from sigmascope import plan
from sigmascope.analysis import EFFORTS, spectrum
from sigmascope.checkpoint import Checkpoint, TensorRecord, open_checkpoint
from sigmascope.distributions import moments
from sigmascope.errors import NonFiniteError, SigmascopeError
from sigmascope.matrices import Matrix
from sigmascope.threads import resolve_memory, resolve_threads

from .ahead import Ahead, Read
from .events import Meter, Progress
from .result import OutputError, Outputs, Scan, ScanInterrupted
from .rows import Row, moment_columns, spectrum_columns, start_row

Patterns = str | Sequence[str] | None
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None

# What one tensor may raise without ending the scan of the others.
_TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Options:
    """How each matrix is analysed, resolved once so that all rows are made alike."""

    effort: str
    k: int
    tol: float
    accuracy: str
    seed: int
    num_threads: int
    memory_limit: int

    @classmethod
    def of(
        cls,
        effort: str,
        k: int,
        tol: float,
        accuracy: str,
        seed: int,
        num_threads: int | None,
        memory_limit: int | str | None,
    ) -> Options:
        """Check every option; ValueError names the first that is off."""
        if effort not in EFFORTS:
            raise ValueError(f"effort is one of {', '.join(EFFORTS)}, not {effort!r}")
        plan.check_positive(k=k, tol=tol)
        plan.check_accuracy(accuracy)
        return cls(
            effort=str(effort),  # of an enumeration the value
            k=int(k),
            tol=float(tol),
            accuracy=str(accuracy),
            seed=plan.check_seed(seed),
            num_threads=resolve_threads(num_threads),
            memory_limit=resolve_memory(memory_limit),
        )


@dataclass(frozen=True, slots=True)
class _Item:
    """A row to come; a tensor that is to be analysed has `matrix` true, else there is a reason."""

    record: TensorRecord
    name: str
    matrix: bool
    status: str = "not analysed"
    reason: str | None = None

    @property
    def stored_bytes(self) -> int:
        return self.record["nbytes"] // len(self.record["matrices"]) if self.matrix else 0


def scan(
    checkpoint: Checkpoint | str | os.PathLike[str],
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    accuracy: str = "reference",
    seed: int = 0,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    out: Paths = None,
    progress: Progress | None = None,
) -> Scan:
    """Compute the spectrum of every matrix of a checkpoint, and account for every other tensor.

    Parameters
    ----------
    checkpoint : Checkpoint or path
        As for :func:`open_checkpoint`.
    effort, k, tol, accuracy, seed, num_threads, memory_limit
        For each matrix, as for :func:`spectrum`.
    include, exclude : str or sequence of str, optional
        Shell patterns of tensor names (or of slices, "experts[3]"): what to analyse, and what of
        that to leave out. `*` also matches dots.
    out : path or sequence of paths, optional
        Where to save: `.jsonl` is written row by row and always holds what has been done; `.csv`
        and `.parquet` (extra `table`) are written at the end, also after Ctrl-C. Existing files
        are replaced.
    progress : callable, optional
        Called with a :class:`ScanEvent`; what it raises ends the scan.

    Returns
    -------
    Scan
        One row per tensor in file order, one per slice of a stack; see :mod:`sigmascope.rows`. An
        error in one tensor (NaN or infinity, a file that cannot be read, a memory limit that is
        too small) is the reason in its row, with status "failed".

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be opened.
    ValueError
        If an option is out of range, a pattern selects nothing, or `out` has an unknown suffix.
    ImportError
        If `out` asks for Parquet and pyarrow is missing.
    OSError
        If a path in `out` cannot be written, before any work is done.
    OutputError
        If an output fails later; it carries the scan so far as its attribute `scan`.
    ScanInterrupted
        On Ctrl-C, when the outputs are saved; a KeyboardInterrupt that carries the scan so far.

    Notes
    -----
    Passes over each matrix and memory as for :func:`spectrum`. At effort "exact" as many matrices
    as there are threads are analysed at once, one thread each, if the memory allows it; else one
    at a time. No number depends on that.

    Examples
    --------
    >>> found = scan("model/", out="model.jsonl")                       # doctest: +SKIP
    >>> found.to_pandas().groupby("role").effective_rank.median()       # doctest: +SKIP
    """
    options = Options.of(effort, k, tol, accuracy, seed, num_threads, memory_limit)
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
    items = list(_items(opened, _patterns(include), _patterns(exclude)))
    result = Scan(
        checkpoint=str(opened.path),
        options=asdict(options) | {"include": _patterns(include), "exclude": _patterns(exclude)},
        rows=[],
        expected=len(items),
        notes=opened.notes,
    )
    meter = Meter(
        progress,
        count=sum(item.matrix for item in items),
        total_bytes=sum(item.stored_bytes for item in items),
    )
    matrices = [index for index, item in enumerate(items) if item.matrix]
    workers, each = _shared_out(opened, [items[index] for index in matrices], options)

    def analyse(index: int, read: Read) -> Row:
        return _analysed(opened, items[index], each, read)

    with Outputs(_paths(out), result) as outputs, Ahead(analyse, matrices, workers) as ahead:
        try:
            for index, item in enumerate(items):
                if item.matrix:
                    meter.start(item.name, item.stored_bytes)
                    row = ahead.row(index, meter.read)
                else:
                    row = _left_out(item)
                result.rows.append(row)
                outputs.append(row)
                meter.finish(row, item.stored_bytes)
        except KeyboardInterrupt as stop:
            outputs.finish()
            raise ScanInterrupted(result) from stop
        except Exception:
            with suppress(OutputError):
                outputs.finish()
            raise
        outputs.finish()
    return result


def _paths(out: Paths) -> list[Path]:
    if out is None:
        return []
    return [Path(out)] if isinstance(out, (str, os.PathLike)) else [Path(path) for path in out]


def _patterns(patterns: Patterns) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


def _items(checkpoint: Checkpoint, include: list[str], exclude: list[str]) -> Iterator[_Item]:
    """List the rows to come, in file order; every pattern of `include` must select something."""
    useless = set(include)
    for tensor in checkpoint.info():
        for name in tensor["matrices"] or (tensor["name"],):
            record = checkpoint.record_of(name) if tensor["matrices"] else tensor
            names = {name, record["name"]}
            found = [pattern for pattern in include if _matches(names, pattern)]
            useless -= set(found)
            dropped = next((pattern for pattern in exclude if _matches(names, pattern)), None)
            if include and not found:
                yield _Item(record, name, False, "excluded", "matches no pattern to include")
            elif dropped is not None:
                yield _Item(record, name, False, "excluded", f"matches {dropped!r}")
            elif record["matrices"]:
                yield _Item(record, name, True)
            else:
                yield _Item(record, name, False, "not analysed", record["reason"])
    if useless:
        raise ValueError(
            f"{checkpoint.path}: no tensor matches {', '.join(map(repr, sorted(useless)))}"
        )


def _matches(names: set[str], pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def _left_out(item: _Item) -> Row:
    return start_row(item.record, item.name, item.status, item.reason)


def _shared_out(
    checkpoint: Checkpoint, items: list[_Item], options: Options
) -> tuple[int, Options]:
    """How many matrices at once, and the options of each.

    Every singular value of two matrices takes less time on one core each than on both together:
    parts of it are serial. Only where the memory allows each what it would have had alone.
    """
    workers = options.num_threads
    memory = options.memory_limit // workers
    needed = 0
    if options.effort == "exact":
        for item in items:
            with suppress(*_TENSOR_ERRORS):  # its row will say it
                a = checkpoint[item.name]
                needed = max(needed, plan.gram_bytes(min(a.shape), vectors=False) + 2 * a.nbytes)
    if workers == 1 or options.effort != "exact" or needed > memory or len(items) < 2:
        return 1, options
    return workers, replace(options, num_threads=1, memory_limit=memory)


def _analysed(checkpoint: Checkpoint, item: _Item, options: Options, read: Read) -> Row:
    """Analyse one matrix; what is wrong with it becomes the reason in its row."""
    began = time.perf_counter()
    a: Matrix | None = None
    try:
        a = checkpoint[item.name]
        found = spectrum(a, **asdict(options), progress=read)
        return start_row(item.record, item.name, "analysed") | spectrum_columns(found)
    except _TENSOR_ERRORS as error:
        row = start_row(item.record, item.name, "failed", _reason(error))
        if isinstance(error, NonFiniteError) and a is not None:
            row |= moment_columns(moments(a, histogram=False, num_threads=options.num_threads))
        row |= {"seconds": time.perf_counter() - began, "converged": False}
        return row


def _reason(error: Exception) -> str:
    """Return the message of an error in one line; with its kind where it is not one of ours."""
    text = " ".join(str(error).split()) or "no message"
    own = isinstance(error, (SigmascopeError, OSError))
    return text if own else f"{type(error).__name__}: {text}"
