# SPDX-License-Identifier: BSD-3-Clause
"""What to do with how much memory: the options that every call shares, and the choice of method."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core, costs
from .errors import DeviceError, MemoryLimitError
from .matrices import Matrix
from .threads import resolve_memory, resolve_threads

SEARCHES = ("mixed", "float32", "float64")
"""What `precision` may be where Krylov steps only choose directions."""

_WORKING_BYTES = 48 * 2**20
"""Decoded panels, read-ahead and small dense work of one call; measured below this."""

_SMALL_BYTES = 16 * 2**20
"""The part of it that small dense work may take."""


@dataclass(frozen=True, slots=True)
class Run:
    """The options that every algorithm shares, resolved.

    Attributes
    ----------
    threads : int
        From `num_threads`; no result depends on it.
    memory : int
        Bytes, from `memory_limit` ("2GiB", 500_000_000; None: half of what is free): for the
        stored bytes held, the basis and the results. About 48 MiB of working space come on top.
    load_bytes : int
        A matrix in files that fits into half the memory is read into it once: its stored bytes.
        0: it is in memory already, or is read again at each pass.
    copy_bytes : int
        In mixed precision, a copy of the matrix in bfloat16 is held if it fits as well: its bytes.
    stored_bytes : int
        Of the matrix in files; 0 if it is in memory.
    panel_rows : int
        From `panel_rows`; rows decoded at a time, 0: chosen for the cache. No result depends on it.
    precision : str
        "float32" or "float64", of the blocks; "mixed": float32 blocks, and the search for them
        steered by products rounded to bfloat16.
    progress : callable or None
        From `progress`; called with the stored bytes used so far, about 20 times a second.
    """

    threads: int
    memory: int
    load_bytes: int
    copy_bytes: int
    stored_bytes: int
    panel_rows: int
    precision: str
    progress: Callable[[int], object] | None

    @classmethod
    def of(
        cls,
        a: Matrix,
        *,
        precision: str | None = None,
        device: str = "cpu",
        num_threads: int | None = None,
        memory_limit: int | str | None = None,
        panel_rows: int | None = None,
        progress: Callable[[int], object] | None = None,
        precisions: tuple[str, ...] = ("float32", "float64"),
    ) -> Run:
        """Resolve the options of one call on `a`; ValueError or DeviceError if they are off."""
        if device != "cpu":
            raise DeviceError(f"device {device!r} is not available; this build computes on 'cpu'")
        if 0 in a.shape:
            raise ValueError(f"a matrix of shape {a.shape} has no singular values")
        if precision not in (None, *precisions):
            raise ValueError(f"precision is one of {', '.join(precisions)}, not {precision!r}")
        if panel_rows is not None and panel_rows < 1:
            raise ValueError(f"panel_rows must be at least 1, not {panel_rows}")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is a function of the bytes used, or None, not {progress!r}")
        memory = resolve_memory(memory_limit)
        if precision is None:
            precision = a.precision
            if "mixed" in precisions and precision == "float32" and prefers_steering(a.shape):
                precision = "mixed"
        load_bytes = a.nbytes if not a.in_memory and a.nbytes <= memory // 2 else 0
        copy_bytes = 2 * a.shape[0] * (a.shape[1] + 64)
        copied = precision == "mixed" and a.dtype != "bf16"
        return cls(
            threads=resolve_threads(num_threads),
            memory=memory,
            load_bytes=load_bytes,
            copy_bytes=copy_bytes if copied and load_bytes + copy_bytes <= memory // 2 else 0,
            stored_bytes=0 if a.in_memory else a.nbytes,
            panel_rows=panel_rows or 0,
            precision=precision,
            progress=progress,
        )

    @property
    def file_bytes(self) -> int:
        """Stored bytes that every pass reads again from files."""
        return self.stored_bytes if self.load_bytes == 0 and self.copy_bytes == 0 else 0

    @property
    def itemsize(self) -> int:
        """Bytes of a number of a block."""
        return 8 if self.precision == "float64" else 4

    def search(self) -> dict[str, Any]:
        """The keyword arguments of the native algorithms that search by Krylov steps."""
        return {
            "steer": self.precision == "mixed",
            "rounded_copy": self.copy_bytes > 0,
            "f64": self.precision == "float64",
        }

    def native(self) -> dict[str, Any]:
        """The keyword arguments of every native algorithm."""
        return {
            "threads": self.threads,
            "panel_rows": self.panel_rows,
            "load_bytes": self.load_bytes,
            "progress": self.progress,
        }


def available_devices() -> list[str]:
    """Devices that this build can compute on."""
    return ["cpu"]


def engine() -> dict[str, str]:
    """What decides the last bits of a result besides its options: version, kernels, BLAS."""
    config = _core.config()
    return {name: config[name] for name in ("version", "isa", "blas_core")}


def check_rank(k: int, shape: tuple[int, int]) -> None:
    """ValueError unless 1 <= k <= min(shape)."""
    if not 1 <= operator.index(k) <= min(shape):
        raise ValueError(f"k = {k} must be between 1 and min(m, n) = {min(shape)} of shape {shape}")


def check_positive(**values: float) -> None:
    """ValueError unless every value is positive and finite."""
    for name, value in values.items():
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"{name} must be positive, not {value}")


def check_seed(seed: int) -> int:
    """ValueError unless seed fits 64 bits."""
    if not 0 <= operator.index(seed) < 2**64:
        raise ValueError(f"seed must be between 0 and 2**64 - 1, not {seed}")
    return int(seed)


def check_accuracy(accuracy: str) -> None:
    """ValueError unless it is a mode of svdvals."""
    if accuracy not in ("reference", "fast"):
        raise ValueError(f"accuracy is 'reference' or 'fast', not {accuracy!r}")


def gram_bytes(n: int, *, vectors: bool) -> int:
    """Memory of the Gram route for the smaller side n: the matrix, LAPACK's copies, panels."""
    return int(n * n * 8 * (3.2 if vectors else 1.0)) + (512 if vectors else 1400) * n * 8


def prefers_steering(shape: tuple[int, int]) -> bool:
    """Whether rounded products pay: the processor multiplies them twice as fast, and A is large."""
    return bool(_core.config()["dot_bf16"]) and min(shape) >= 512


def prefers_gram(
    shape: tuple[int, int], k: int, block: int, tol: float, run: Run, *, vectors: bool = True
) -> bool:
    """Whether the whole Gram matrix costs less than a Krylov search, and fits."""
    if gram_bytes(min(shape), vectors=True) > run.memory:
        return False
    search = costs.krylov_seconds(shape, k, block, tol, run.precision, run.file_bytes)
    return costs.gram_seconds(shape, vectors=vectors) < search


def require_memory(run: Run, needed: int, what: str) -> None:
    """MemoryLimitError, with both numbers, unless `needed` bytes fit."""
    if needed > run.memory:
        raise MemoryLimitError(
            f"{what} needs {needed / 2**30:.2g} GiB, the memory limit is "
            f"{run.memory / 2**30:.2g} GiB"
        )


def column_cap(n: int, m: int, k: int, block: int, run: Run) -> int:
    """Basis columns at which to restart; 0: never, since a whole basis fits.

    D columns take n D numbers, and about four D x D float64 matrices to look at them, of which the
    first 16 MiB belong to the working space.
    """
    width = run.itemsize
    result = run.load_bytes + run.copy_bytes + 2 * (m + n) * k * width
    least = min(3 * k + 2 * block, n) + 2 * block
    needed = result + n * width * least + max(32 * least**2 - _SMALL_BYTES, 0)
    require_memory(run, needed, f"a basis for the {k} largest singular values of order {n}")
    rest = run.memory - result
    linear = rest / (n * width)
    root = np.sqrt((n * width) ** 2 + 128 * (rest + _SMALL_BYTES))
    cap = int(linear if 32 * linear**2 <= _SMALL_BYTES else (root - n * width) / 64) - 2 * block
    return 0 if cap >= n else cap


def restart_columns(n: int, k: int, block: int) -> int:
    """Basis columns at which a restart costs no step; 0: never.

    A shorter basis is cheaper to keep orthogonal and to look at.
    """
    columns = max(3 * k + 2 * block, 3 * k // 2 + 5 * block, 128)
    return columns if 2 * columns < n else 0
