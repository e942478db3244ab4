# SPDX-License-Identifier: BSD-3-Clause
"""Options, opened checkpoints and failures that the tasks of a long run share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from sigmascope._execution import arguments
from sigmascope._execution.devices import CPU, Device
from sigmascope._execution.several_devices import devices_of, with_memory
from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope._tables.outputs import Limits
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope.adapters import AdapterOrigin, Scannable, reopened
from sigmascope.analysis.requested import check_measures
from sigmascope.analysis.spectrum import EFFORTS
from sigmascope.checkpoint import Checkpoint, FileIdentity, Origin
from sigmascope.checkpoint.remote.urls import is_url
from sigmascope.errors import CheckpointError, DeviceError, SigmascopeError

ByteListener = Callable[[int], None]
"""A function that is called with the stored bytes that one native call has used so far."""

# Errors of one tensor that do not end the scan of the others.
TENSOR_ERRORS = (SigmascopeError, OSError, MemoryError, ValueError, ArithmeticError, RuntimeError)

# Those of TENSOR_ERRORS that may not occur on another machine or with another memory limit.
_ENVIRONMENT = (CheckpointError, OSError, MemoryError, DeviceError)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the analysis of each matrix, resolved once for all rows.

    Attributes
    ----------
    effort, k, tol, accuracy, seed, num_threads, memory_limit, measures
        As for :func:`sigmascope.spectrum`.
    vectors
        Folder in which the singular vectors of every matrix are saved, or None.
    devices
        The devices among which matrices are distributed; each may take the same number of bytes,
        which is decided once, so that no row depends on what is free on a device meanwhile.
    """

    effort: str
    k: int
    tol: float
    accuracy: str
    seed: int
    num_threads: int
    memory_limit: int
    measures: tuple[str, ...] = ()
    vectors: str | None = None
    devices: tuple[Device, ...] = (CPU,)

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
        *,
        device: str = "cpu",
    ) -> Options:
        """Check every option and resolve the defaults; ValueError names the first invalid one.

        DeviceError if there is no such device.
        """
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
            devices=devices_of(device),
        )

    def recorded(self) -> dict[str, Any]:
        """Return the options as plain JSON, as the header of a saved scan holds them."""
        record = {name: value for name, value in asdict(self).items() if name != "devices"}
        record |= {"measures": list(self.measures)}
        if self.device.index is None:
            return record
        names = ", ".join(device.name for device in self.devices)
        return record | {"device": names, "device_memory": self.device.nbytes}

    @property
    def device(self) -> Device:
        """The first device, or the only one."""
        return self.devices[0]

    def on(self, name: str) -> Options:
        """Return the options of a matrix that is analysed on one of the devices."""
        return replace(self, devices=tuple(each for each in self.devices if each.name == name))

    def resuming(self, limits: Limits, *, keep_memory: bool) -> Options:
        """Return the options with the memory of a journal that is resumed.

        With `keep_memory` the memory limit of the host stays. A limit of the journal that is beyond
        what there is now does not count.
        """
        host, device = limits
        options = self
        if host is not None and not keep_memory:
            options = replace(options, memory_limit=host)
        if device is not None and device <= self.device.nbytes:
            options = replace(options, devices=with_memory(self.devices, device))
        return options

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

    def threads_of(self, fraction: float) -> int:
        """Return a fraction of the threads, rounded down, but at least one."""
        return max(int(fraction * self.num_threads), 1)

    def per_worker(self, workers: int, on_device: int | None = None) -> Options:
        """Return the options with the threads and the memory of one of `workers` equal workers.

        `on_device` is the largest number of workers that use one device at the same time; by
        default all of them may.
        """
        return replace(
            self,
            num_threads=max(self.num_threads // workers, 1),
            memory_limit=max(self.memory_limit // workers, 1),
            devices=with_memory(self.devices, self.device.nbytes // (on_device or workers)),
        )

    def of_row(self, index: int) -> Options:
        """Return the options of a row, whose device follows from its place in the table."""
        return self.on(self.devices[index % len(self.devices)].name)


def check_files(executor: Executor | None, *checkpoints: Scannable) -> None:
    """Raise ValueError if an executor is to analyse tensors that are in no file."""
    for checkpoint in checkpoints:
        if executor is not None and isinstance(checkpoint, Checkpoint) and checkpoint.in_memory:
            raise ValueError(
                f"the workers of an executor open files, and {checkpoint.path} is in none: leave "
                "the executor out, num_threads= uses the cores of this machine, or save the "
                "tensors as safetensors"
            )


KnownFiles = tuple[tuple[str, str], ...]
"""Absolute paths of files, or their addresses, and their digests."""


def known_files(checkpoint: Scannable, files: Sequence[FileIdentity]) -> KnownFiles:
    """Return the files of a checkpoint with the digests that `files` gives."""
    paths = (
        os.path.abspath(path) if isinstance(path, Path) else str(path) for path in checkpoint.files
    )
    return tuple(zip(paths, (file["digest"] for file in files), strict=True))


@overload
def opened(origin: Origin, files: KnownFiles) -> Checkpoint: ...


@overload
def opened(origin: Origin | AdapterOrigin, files: KnownFiles) -> Scannable: ...


def opened(origin: Origin | AdapterOrigin, files: KnownFiles) -> Scannable:
    """Open a checkpoint, once per process; CheckpointError if its files have changed."""
    return _opened(origin, files, tuple(_stamp(path) for path, _ in files))


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
    """Return the message of an error in one line, with its type unless the package made it."""
    text = " ".join(str(error).split()) or "no message"
    own = isinstance(error, (SigmascopeError, OSError))
    return text if own else f"{type(error).__name__}: {text}"
