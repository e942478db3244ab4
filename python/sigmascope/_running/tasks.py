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

Read = Callable[[int], None]
"""Takes the stored bytes that one native call has used so far."""

# What one tensor may raise without ending the scan of the others.
TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)

# Of these, what another machine, another day or another memory limit may not raise.
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
