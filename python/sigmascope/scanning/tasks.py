# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one matrix of a scan, in this process or wherever a task is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, overload

from sigmascope import arguments
from sigmascope.adapters import AdapterOrigin, Scannable, reopened
from sigmascope.admission import room_beside
from sigmascope.analysis import EFFORTS, spectrum
from sigmascope.checkpoint import Checkpoint, FileIdentity, Origin
from sigmascope.distributions import moments
from sigmascope.errors import CheckpointError, MemoryLimitError, NonFiniteError, SigmascopeError
from sigmascope.low_rank import LowRank
from sigmascope.matrices import Matrix
from sigmascope.requested import check_measures
from sigmascope.spectra import Spectrum, weightwatcher
from sigmascope.threads import resolve_memory, resolve_threads

from .prefetch import Prefetch
from .provenance import identities
from .rows import Row, moment_columns, spectrum_columns
from .structure import structure, structure_columns

Read = Callable[[int], None]
"""Takes the stored bytes that one native call has used so far."""

# What one tensor may raise without ending the scan of the others.
TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)

# Of these, what another machine, another day or another memory limit may not raise.
_ENVIRONMENT = (CheckpointError, OSError, MemoryError)


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
    measures: tuple[str, ...] = ()

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
        measures: str | Sequence[str] | None = (),
    ) -> Options:
        """Check every option; ValueError names the first that is off."""
        if effort not in EFFORTS:
            raise ValueError(f"effort is one of {', '.join(EFFORTS)}, not {effort!r}")
        arguments.check_positive(k=k, tol=tol)
        arguments.check_accuracy(accuracy)
        return cls(
            effort=str(effort),  # of an enumeration the value
            k=int(k),
            tol=float(tol),
            accuracy=str(accuracy),
            seed=arguments.check_seed(seed),
            num_threads=resolve_threads(num_threads),
            memory_limit=resolve_memory(memory_limit),
            measures=check_measures(measures),
        )

    def recorded(self) -> dict[str, Any]:
        """Return them as a header of a saved scan holds them: plain JSON."""
        return asdict(self) | {"measures": list(self.measures)}

    def threads_of(self, part: float) -> int:
        """How many threads a part of them is, at least one."""
        return max(int(part * self.num_threads), 1)

    def shared(self, workers: int) -> Options:
        """What each of so many workers gets, who work at once."""
        return replace(
            self,
            num_threads=max(self.num_threads // workers, 1),
            memory_limit=max(self.memory_limit // workers, 1),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One matrix to analyse, for whoever can open the same files: no array, a few kilobytes.

    Attributes
    ----------
    origin
        How the checkpoint was opened: absolute paths, and options.
    files
        Paths of its files, absolute, and what they are known by.
    name
        Of the matrix.
    options
        Of the analysis.
    attempt
        0, 1, ...: an executor that remembers results must not repeat a failure from memory.
    """

    origin: Origin | AdapterOrigin
    files: Known
    name: str
    options: Options
    attempt: int = 0

    @classmethod
    def of(
        cls,
        checkpoint: Scannable,
        files: tuple[FileIdentity, ...],
        name: str,
        options: Options,
    ) -> Task:
        """Describe the analysis of one matrix of a checkpoint."""
        return cls(checkpoint.origin, known_files(checkpoint, files), name, options)


def run(task: Task) -> Row:
    """Do a task: open the checkpoint, if this process does not hold it yet, and analyse.

    Returns
    -------
    dict
        The columns that :func:`analysed` gives; what is wrong with the file is one of them.
    """
    began = time.perf_counter()
    try:
        checkpoint = opened(task.origin, task.files)
    except TENSOR_ERRORS as error:
        return failed(error, began)
    alone: Prefetch[Matrix | LowRank] = Prefetch(checkpoint)
    with alone as matrices:
        return analysed(matrices, task.name, task.options)


Known = tuple[tuple[str, str], ...]
"""Paths of files, absolute, and the digests that they are known by."""


def known_files(checkpoint: Scannable, files: Sequence[FileIdentity]) -> Known:
    """Pair the files of a checkpoint with what they are known by."""
    paths = (os.path.abspath(path) for path in checkpoint.files)
    return tuple(zip(paths, (file["digest"] for file in files), strict=True))


@overload
def opened(origin: Origin, files: Known) -> Checkpoint: ...


@overload
def opened(origin: Origin | AdapterOrigin, files: Known) -> Scannable: ...


def opened(origin: Origin | AdapterOrigin, files: Known) -> Scannable:
    """Open a checkpoint, once per process; CheckpointError if its files are others by now."""
    return _opened(origin, files, tuple(_stamp(path) for path, _ in files))


def _stamp(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=2)
def _opened(
    origin: Origin | AdapterOrigin,
    files: Known,
    stamps: tuple[tuple[int, int, int], ...],
) -> Scannable:
    """Open a checkpoint, and again when a file has another stamp."""
    checkpoint = reopened(origin)
    found = [file["digest"] for file in identities(checkpoint)]
    if found != [digest for _, digest in files]:
        raise CheckpointError(f"{checkpoint.path}: not the checkpoint that the scan began with")
    return checkpoint


def analysed(
    matrices: Prefetch[Matrix | LowRank], name: str, options: Options, read: Read | None = None
) -> Row:
    """Analyse one matrix; what is wrong with it becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that reading the headers does not give.
    """
    began = time.perf_counter()
    a: Matrix | LowRank | None = None
    try:
        a = matrices.take(name)
        if isinstance(a, LowRank):
            found = a.spectrum(options.k, memory_limit=options.memory_limit)
        else:
            found = _spectrum(matrices, a, name, options, read)
        matrices.check_unchanged(name)  # while it was read, that is
        fit = weightwatcher.power_law(found.values)
        return {"status": "analysed"} | spectrum_columns(found) | fit | _structure(a, found)
    except TENSOR_ERRORS as error:
        row = failed(error, began)
        if isinstance(error, NonFiniteError) and isinstance(a, Matrix):
            with suppress(*TENSOR_ERRORS):
                row |= moment_columns(moments(a, histogram=False, num_threads=options.num_threads))
        return row


def _structure(a: Matrix | LowRank, found: Spectrum) -> Row:
    """Say what makes a matrix no ordinary one; a product of thin ones has a low rank by design."""
    if isinstance(a, Matrix) and found.moments is not None:
        return structure_columns(structure(a, found.moments), found)
    return {"structure": "all zero"} if found["fro_norm"].value == 0 else {}


def _spectrum(
    matrices: Prefetch[Matrix | LowRank], a: Matrix, name: str, options: Options, read: Read | None
) -> Spectrum:
    """Compute the spectrum, while the next matrix is read into the memory that is left."""
    how = asdict(options)
    seed = how.pop("seed")
    # Nothing at effort "exact", where computing takes far longer than reading.
    ahead = matrices.reads_ahead and options.effort != "exact"
    room = room_beside(a, **how) if ahead else 0
    held = a.nbytes if a.in_memory else 0
    with matrices.beside(name, room):
        try:
            return spectrum(a, seed=seed, progress=read, reserved=room + held, **how)
        except MemoryLimitError:
            if not (room or held):
                raise
    # Read ahead, it leaves too little for itself, or what is read beside it does: alone then.
    matrices.give_up()
    return spectrum(matrices.afresh(name), seed=seed, progress=read, **how)


def failed(error: Exception, began: float) -> Row:
    """Return the columns of a row whose analysis has failed."""
    return {
        "status": "failed",
        "reason": reason_of(error),
        "failure": "environment" if isinstance(error, _ENVIRONMENT) else "data",
        "seconds": time.perf_counter() - began,
        "converged": False,
    }


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line; with its kind where it is not one of ours."""
    text = " ".join(str(error).split()) or "no message"
    own = isinstance(error, (SigmascopeError, OSError))
    return text if own else f"{type(error).__name__}: {text}"
