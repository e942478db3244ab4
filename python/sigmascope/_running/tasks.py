# SPDX-License-Identifier: BSD-3-Clause
"""Options, opened checkpoints and failures that the tasks of a long run share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, overload

from sigmascope._execution import arguments
from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope.adapters import AdapterOrigin, Scannable, reopened
from sigmascope.analysis.requested import check_measures
from sigmascope.analysis.spectrum import EFFORTS
from sigmascope.checkpoint import Checkpoint, FileIdentity, Origin
from sigmascope.errors import CheckpointError, SigmascopeError

ByteListener = Callable[[int], None]
"""A function that is called with the stored bytes that one native call has used so far."""

# Errors of one tensor that do not end the scan of the others.
TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)

# Those of TENSOR_ERRORS that may not occur on another machine or with another memory limit.
_ENVIRONMENT = (CheckpointError, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the analysis of each matrix, resolved once for all rows."""

    effort: str
    k: int
    tol: float
    accuracy: str
    seed: int
    num_threads: int
    memory_limit: int
    measures: tuple[str, ...] = ()
    vectors: str | None = None
    """Folder in which the singular vectors of every matrix are saved."""

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
        """Check every option and resolve the defaults; ValueError names the first invalid one."""
        if effort not in EFFORTS:
            raise ValueError(f"effort is one of {', '.join(EFFORTS)}, not {effort!r}")
        arguments.check_positive(k=k, tol=tol)
        arguments.check_accuracy(accuracy)
        return cls(
            effort=str(effort),  # an enumeration becomes its value
            k=int(k),
            tol=float(tol),
            accuracy=str(accuracy),
            seed=arguments.check_seed(seed),
            num_threads=resolve_threads(num_threads),
            memory_limit=resolve_memory(memory_limit),
            measures=check_measures(measures),
        )

    def recorded(self) -> dict[str, Any]:
        """Return the options as plain JSON, as the header of a saved scan holds them."""
        return asdict(self) | {"measures": list(self.measures)}

    def threads_of(self, fraction: float) -> int:
        """Return a fraction of the threads, rounded down, but at least one."""
        return max(int(fraction * self.num_threads), 1)

    def per_worker(self, workers: int) -> Options:
        """Return the options with the threads and the memory of one of `workers` equal workers."""
        return replace(
            self,
            num_threads=max(self.num_threads // workers, 1),
            memory_limit=max(self.memory_limit // workers, 1),
        )


KnownFiles = tuple[tuple[str, str], ...]
"""Absolute paths of files, and their digests."""


def known_files(checkpoint: Scannable, files: Sequence[FileIdentity]) -> KnownFiles:
    """Return the files of a checkpoint with the digests that `files` gives."""
    paths = (os.path.abspath(path) for path in checkpoint.files)
    return tuple(zip(paths, (file["digest"] for file in files), strict=True))


@overload
def opened(origin: Origin, files: KnownFiles) -> Checkpoint: ...


@overload
def opened(origin: Origin | AdapterOrigin, files: KnownFiles) -> Scannable: ...


def opened(origin: Origin | AdapterOrigin, files: KnownFiles) -> Scannable:
    """Open a checkpoint, once per process; CheckpointError if its files have changed."""
    return _opened(origin, files, tuple(_stamp(path) for path, _ in files))


def _stamp(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=2)
def _opened(
    origin: Origin | AdapterOrigin,
    files: KnownFiles,
    stamps: tuple[tuple[int, int, int], ...],
) -> Scannable:
    """Open a checkpoint; the cache opens it again when a size or a time of a file has changed."""
    checkpoint = reopened(origin)
    digests = [file["digest"] for file in identities(checkpoint)]
    if digests != [digest for _, digest in files]:
        raise CheckpointError(f"{checkpoint.path}: not the checkpoint that the scan began with")
    return checkpoint


def failed(error: Exception, began: float) -> Row:
    """Return the columns of a row whose analysis failed with this error."""
    return {
        "status": "failed",
        "reason": reason_of(error),
        "failure": "environment" if isinstance(error, _ENVIRONMENT) else "data",
        "seconds": time.perf_counter() - began,
        "converged": False,
    }


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line, with its type unless the package made it."""
    text = " ".join(str(error).split()) or "no message"
    own = isinstance(error, (SigmascopeError, OSError))
    return text if own else f"{type(error).__name__}: {text}"
