# SPDX-License-Identifier: BSD-3-Clause
"""What to do with how much memory: the options that every call shares, and the choice of method."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import DeviceError, MemoryLimitError
from .matrices import Matrix
from .threads import resolve_memory, resolve_threads

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
    panel_rows : int
        From `panel_rows`; rows decoded at a time, 0: chosen for the cache. No result depends on it.
    precision : str
        "float32" or "float64".
    progress : callable or None
        From `progress`; called with the stored bytes used so far, about 20 times a second.
    """

    threads: int
    memory: int
    load_bytes: int
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
    ) -> Run:
        """Resolve the options of one call on `a`; ValueError or DeviceError if they are off."""
        if device != "cpu":
            raise DeviceError(f"device {device!r} is not available; this build computes on 'cpu'")
        if 0 in a.shape:
            raise ValueError(f"a matrix of shape {a.shape} has no singular values")
        if precision not in (None, "float32", "float64"):
            raise ValueError(f"precision is 'float32' or 'float64', not {precision!r}")
        if panel_rows is not None and panel_rows < 1:
            raise ValueError(f"panel_rows must be at least 1, not {panel_rows}")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is a function of the bytes used, or None, not {progress!r}")
        memory = resolve_memory(memory_limit)
        return cls(
            threads=resolve_threads(num_threads),
            memory=memory,
            load_bytes=a.nbytes if not a.in_memory and a.nbytes <= memory // 2 else 0,
            panel_rows=panel_rows or 0,
            precision=precision or a.precision,
            progress=progress,
        )

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


def expected_columns(k: int, block: int, tol: float) -> float:
    """Basis columns that slowly decaying spectra take, +- 15 %: a fit over trained weights."""
    if tol >= 1e-2:
        return 2.9 * k + 4.2 * block
    return 3.3 * k + 5.5 * block if tol >= 1e-3 else 4.0 * k + 8.0 * block


def gram_bytes(n: int, *, vectors: bool) -> int:
    """Memory of the Gram route for the smaller side n: the matrix, LAPACK's copies, panels."""
    return int(n * n * 8 * (3.2 if vectors else 1.0)) + (512 if vectors else 1400) * n * 8


def prefers_gram(n: int, k: int, block: int, tol: float, memory: int) -> bool:
    """Whether the whole Gram matrix costs less than a Krylov basis, and fits."""
    cheaper = 3 * (expected_columns(k, block, tol) + block) > n
    return cheaper and gram_bytes(n, vectors=True) <= memory


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
    width = np.dtype(run.precision).itemsize
    result = run.load_bytes + 2 * (m + n) * k * width
    least = min(3 * k + 2 * block, n) + 2 * block
    needed = result + n * width * least + max(32 * least**2 - _SMALL_BYTES, 0)
    require_memory(run, needed, f"a basis for the {k} largest singular values of order {n}")
    rest = run.memory - result
    linear = rest / (n * width)
    root = np.sqrt((n * width) ** 2 + 128 * (rest + _SMALL_BYTES))
    cap = int(linear if 32 * linear**2 <= _SMALL_BYTES else (root - n * width) / 64) - 2 * block
    return 0 if cap >= n else cap
