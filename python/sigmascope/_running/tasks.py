# SPDX-License-Identifier: BSD-3-Clause
"""Options, opened checkpoints and failures that the tasks of a long run share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self, Unpack

from sigmascope._execution import arguments
from sigmascope._tables.options import must_match
from sigmascope._tables.provenance import identities
from sigmascope._tables.scan_options import SCAN
from sigmascope._tables.schema import Row
from sigmascope.adapters.adapter import Adapter, AdapterOrigin
from sigmascope.adapters.scannable import Scannable, reopened
from sigmascope.analysis.requested import check_measures
from sigmascope.analysis.spectrum import EFFORTS
from sigmascope.checkpoint.assembly import Origin
from sigmascope.checkpoint.formats.identity import FileIdentity
from sigmascope.checkpoint.remote.urls import is_url
from sigmascope.errors import CheckpointError, DeviceError, SigmascopeError

from .run_options import RunKeywords, RunOptions, resolve_run

ByteListener = Callable[[int], None]
"""A function that is called with the stored bytes that one native call has used so far."""

# Errors of one tensor that do not end the scan of the others.
TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)

# TENSOR_ERRORS that may not occur on another machine or with another memory limit.
_ENVIRONMENT = (CheckpointError, OSError, MemoryError, DeviceError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(RunOptions):
    """Options of the analysis of each matrix, resolved once for all rows.

    Attributes
    ----------
    effort, k, tol, accuracy, measures
        As for :func:`sigmascope.spectrum`.
    vectors
        Folder in which the singular vectors of every matrix are saved, or None.
    seed, seed_drawn, num_threads, memory_limit, devices
        As for :class:`RunOptions`.
    """

    effort: str
    k: int
    tol: float
    accuracy: str
    measures: tuple[str, ...] = ()
    vectors: str | None = None

    @classmethod
    def of(
        cls,
        effort: str,
        k: int,
        tol: float,
        accuracy: str,
        measures: str | Sequence[str] | None = (),
        **run: Unpack[RunKeywords],
    ) -> Options:
        """Check every option and resolve the defaults; ValueError names the first invalid one.

        DeviceError if there is no such device.
        """
        if effort not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, not {effort!r}")
        arguments.check_positive(k=k, tol=tol)
        arguments.check_accuracy(accuracy)
        return cls(
            effort=str(effort),  # an enumeration becomes its value
            k=int(k),
            tol=float(tol),
            accuracy=str(accuracy),
            measures=check_measures(measures),
            **resolve_run(**run),
        )

    def recorded(self) -> dict[str, Any]:
        """Return the options as plain JSON, as the header of a saved scan holds them."""
        own = {name: getattr(self, name) for name in must_match(SCAN) if hasattr(self, name)}
        return own | {"measures": list(self.measures)} | RunOptions.recorded(self)

    def planned(self) -> dict[str, Any]:
        """Return the record of a plan, without a drawn seed: the run will draw another."""
        return self.recorded() | ({"seed": None} if self.seed_drawn else {})

    def of_spectrum(self) -> dict[str, Any]:
        """Return the arguments by which :func:`sigmascope.spectrum` chooses a method and memory."""
        return {
            "effort": self.effort,
            "k": self.k,
            "tol": self.tol,
            "accuracy": self.accuracy,
            "measures": self.measures,
            "vectors": self.vectors is not None,
            "num_threads": self.num_threads,
            "memory_limit": self.memory_limit,
            "device": self.device,
        }


def check_files(executor: Executor | None, *checkpoints: Scannable) -> None:
    """Raise ValueError if an executor has to analyse tensors that are not in files."""
    for checkpoint in checkpoints:
        if executor is not None and not isinstance(checkpoint, Adapter) and checkpoint.in_memory:
            raise ValueError(
                f"the workers of an executor can only open files, but {checkpoint.path} is not a "
                "file: omit the executor (num_threads= uses the cores of this machine), or save "
                "the tensors as safetensors"
            )


KnownFiles = tuple[tuple[str, str], ...]
"""Absolute paths of files, or their addresses, and their digests."""


class SourceFiles(NamedTuple):
    """A checkpoint in files, for a process that can open the same files.

    Attributes
    ----------
    origin
        Absolute paths and options with which the checkpoint was opened.
    files
        Its files.
    """

    origin: Origin | AdapterOrigin
    files: KnownFiles

    @classmethod
    def of(cls, checkpoint: Scannable, files: Sequence[FileIdentity]) -> Self:
        """Describe a checkpoint, whose files have the digests that `files` gives."""
        paths = (
            os.path.abspath(path) if isinstance(path, Path) else str(path)
            for path in checkpoint.files
        )
        digests = (file["digest"] for file in files)
        return cls(checkpoint.origin, tuple(zip(paths, digests, strict=True)))

    def opened(self) -> Scannable:
        """Open a checkpoint, once per process; CheckpointError if its files have changed."""
        return _opened(*self, tuple(_stamp(path) for path, _ in self.files))


def _stamp(path: str) -> tuple[int, int, int]:
    if is_url(path):  # each read finds out whether the file has changed
        return 0, 0, 0
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
    """Return the message of an error in one line, with its type unless it is of this package."""
    text = " ".join(str(error).split()) or "no message"
    own = isinstance(error, (SigmascopeError, OSError))
    return text if own else f"{type(error).__name__}: {text}"
