# SPDX-License-Identifier: BSD-3-Clause
"""Speed of this machine, measured in a third of a second: for estimates, never for a choice.

Only :mod:`sigmascope._execution.costs` decides what changes bits (block, method).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sigmascope._host.files import open_regular
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads
from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource
from sigmascope.matrices.sources import matrix

from . import costs
from .passes import TILES

_ROWS, _COLUMNS, _BLOCK, _ORDER = 2048, 1024, 32, 640
_SEARCH = 1.8 if TILES else 1.0
"""Factor for a matrix beyond the caches, which takes longer than the one that is timed. Measured: 2
to 2.9, and 0.56 to 1.3 without tiles, where products wait less for memory."""

_QUADRATURE = 1.2e-9
"""Seconds per D^3 of the two eigenproblems of a quadrature, as the constants of costs.py."""

_FACTORING_RATE, _PER_NUMBER, _PER_PRODUCT = 23e9, 4e-9, 2e-3
"""The spectrum of a product B A by one thread, as the constants of costs.py: flops per second of
LAPACK's QR and SVD, seconds for each number of B and A, and seconds of each product of any size.
Measured at 0.6 to 1.4 of this, of ranks 8 to 512 and sides 384 to 11,008."""

_CHUNK, _CHUNKS = 2**20, 16


@dataclass(frozen=True, slots=True)
class Rates:
    """Measured rates of `threads` threads together.

    Attributes
    ----------
    threads : int
    float32, split, mixed, float64 : float
        Flops per second of a Krylov step on a block of 32 columns.
    elements : float
        Stored bytes per second of a pass for the statistics of every element, in float32.
    eigen : float
        Seconds per n^3 of every eigenvalue, at order 640.
    file : float or None
        Bytes per second read from a file of the checkpoint: from a cache if it is in one, or from
        another machine. None: not measured.
    """

    threads: int
    float32: float
    split: float
    mixed: float
    float64: float
    elements: float
    eigen: float
    file: float | None = None

    def speed_ratio(self, precision: str) -> float:
        """Return how many times as fast products are as in the cost model: a ratio, not a rate.

        It divides seconds of the model (:mod:`sigmascope._execution.costs`), never flops.
        """
        measured: float = getattr(self, precision)
        return measured / costs.step_rate(precision, _BLOCK)

    def values_seconds(self, shape: tuple[int, int], *, fast: bool) -> float:
        """Estimate the seconds of all singular values; "fast" as in float32, without a fallback.

        "fast" was measured with one thread at orders 512 to 4096 and with up to 65 times as many
        rows as columns. It took 0.68 to 0.79 of the time of "reference" where the factor below is
        0.75 (0.90 to 1.00 for noise of order 4096), and 1.04 to 1.43 of that time elsewhere.
        """
        n, m = sorted(shape)
        products = m * n**2 / (costs.GRAM_RATE * self.speed_ratio("float64"))
        share = 0.12 + 0.88 * _ORDER / n  # larger problems take less per n^3
        seconds = products + self.eigen * share * n**3
        if not fast:
            return seconds
        return seconds * (0.75 if n >= 4096 or m >= 15 * n else 1.2)

    def krylov_seconds(self, search: costs.Search, *, density: bool = False) -> float:
        """Estimate the seconds of a search for k values, if the spectrum decays slowly."""
        parts = costs.krylov_parts(search)
        final = "float64" if search.precision == "float64" else "float32"
        speed, plain = self.speed_ratio(search.precision), self.speed_ratio(final)
        small = plain / self.threads  # LAPACK on small matrices, by one thread
        columns = min(
            costs.basis_columns(search.k, search.block, search.tol), float(min(search.shape))
        )
        looks = parts.checks + (_QUADRATURE * columns**3 if density else 0.0)
        basis = (parts.basis + parts.final) / plain + looks / small
        return _SEARCH * (parts.products / speed + basis + parts.steps)

    def product_seconds(self, shape: tuple[int, int], rank: int) -> float:
        """Estimate the seconds of the exact spectrum of a product of rank r.

        LAPACK computes it in one thread: the QR of both factors in 2 (m + n) r^2 flops, and the
        values of an r x r matrix.
        """
        numbers = sum(shape) * rank
        flops = 2 * numbers * rank + 5 * rank**3
        seconds = flops / _FACTORING_RATE + _PER_NUMBER * numbers
        return _PER_PRODUCT + seconds * self.threads / self.speed_ratio("float64")

    def elements_seconds(self, nbytes: int) -> float:
        """Estimate the seconds of a pass over every element."""
        return nbytes / self.elements


def measure(threads: int | None = None, file: Path | ByteSource | None = None) -> Rates:
    """Time a Krylov step, a pass over every element, an eigenproblem and, if given, a file.

    Parameters
    ----------
    threads : int, optional
        The machine is timed once per process for each number of threads.
    file : Path or ByteSource, optional
        Every call reads 16 MiB of it; of a file on this machine, in pieces from all over it. The
        bytes are not used.
    """
    machine = _of_machine(resolve_threads(threads))
    if file is None:
        return machine
    rate = _file_rate(file) if isinstance(file, Path) else _source_rate(file)
    return replace(machine, file=rate)


@cache
def _of_machine(count: int) -> Rates:
    run: dict[str, Any] = {"threads": count, "panel_rows": 0, "load_bytes": 0, "progress": None}
    a = _core.gaussian(_ROWS, _COLUMNS, 0, 0, count)
    single = matrix(a.astype(np.float32)).native
    double = matrix(a).native
    x = _core.gaussian(_COLUMNS, _BLOCK, 1, 0, count)
    narrow = x.astype(np.float32)
    flops = 4.0 * _ROWS * _COLUMNS * _BLOCK
    square = a[:_ORDER].T @ a[:_ORDER]
    square = np.ascontiguousarray(square[:_ORDER, :_ORDER])
    eigen = _fastest(lambda: _core.two_stage_eigenvalues(square, False, count), 2)
    verbs = {
        "float32": lambda: _core.product_f32(single, narrow, "gram", **run),
        "split": lambda: _core.product_f32(single, narrow, "split", **run),
        "mixed": lambda: _core.product_f32(single, narrow, "steer", **run),
        "float64": lambda: _core.product_f64(double, x, "gram", **run),
    }
    speeds = {name: flops / _fastest(call, 5) for name, call in verbs.items()}
    moments = _fastest(lambda: _core.moments(single, histogram=False, **run), 3)
    return Rates(
        threads=count,
        **speeds,
        elements=4 * _ROWS * _COLUMNS / moments,
        eigen=eigen / _ORDER**3,
    )


def _fastest(call: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the fastest of some rounds, after one that warms up."""
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _source_rate(source: ByteSource) -> float | None:
    """Return the bytes per second from another machine; None if they cannot be read."""
    count = min(source.size, _CHUNKS * _CHUNK)
    began = time.perf_counter()
    try:
        got = len(source.read((source.size - count) // 2, count))
    except (OSError, CheckpointError):
        return None
    return got / max(time.perf_counter() - began, 1e-6) if got else None


def _file_rate(path: Path) -> float | None:
    """Return the bytes per second; None if the file cannot be read or is empty."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            began, got = time.perf_counter(), 0
            for piece in range(min(_CHUNKS, -(-size // _CHUNK))):
                file.seek(size // _CHUNKS * piece)
                got += len(file.read(_CHUNK))
                if time.perf_counter() - began > 0.2:
                    break
            return got / max(time.perf_counter() - began, 1e-6) if got else None
    except (OSError, CheckpointError):
        return None
