# SPDX-License-Identifier: BSD-3-Clause
"""Cost model of a search for the largest singular values, which picks block and method.

Costs are seconds of one thread on the processor that the constants were measured on (EPYC, Zen 4).
Only their ratios matter. The constants of a CUDA device follow from data sheets of an H100 and are
not measured. There the processor diagonalises projections. The model assumes that it diagonalises
Gram matrices too, since cuSOLVER may not be installed. Neither the number of threads nor a clock
enters, so neither changes a bit of a result. `benchmarks/suites/test_bench_costs.py` compares the
choices on the processor with the measured optimum.

:mod:`sigmascope._execution.rates` estimates times with the same model. It measures how many times
as fast this machine is, part by part. These measurements never enter a choice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sigmascope._host.native import _core

from .passes import TILES

_BLOCKS = (4, 8, 16, 32, 64, 128)

_STEP_RATE = {
    "mixed": ((8, 16, 32, 64), (120e9, 152e9, 185e9, 195e9)),
    "float32": ((8, 16, 32, 64), (75e9, 88e9, 98e9, 103e9)),
    "float64": ((4, 8, 16, 32, 64), (75e9, 60e9, 60e9, 50e9, 50e9)),
    # The rates of float32, since that processor has no tiles.
    "split": ((8, 16, 32, 64), (75e9, 88e9, 98e9, 103e9)),
}
"""Flops per second of A^T (A X), by the columns of X, whose rows fill at least 32 bytes."""

_CACHE, _MEMORY_RATE = 16e6, 15e9
"""Largest float64 matrix, in bytes, that stays in the cache; bytes per second of larger ones."""

_TILE = 16
"""Columns of X that fill a tile; fewer columns take as long. Float64 does without tiles."""

_BASIS_RATE, _HALF_FULL = 60e9, 0.5
"""Flops per second of orthogonalisation in float32: 2 n D w flops over n (D + w) numbers. And the
share of this rate that four columns of float64 reach, which fill half of a vector of 64 bytes."""

_NARROW = 8
"""Most columns of a block for which a check needs only a few rows of the eigenvectors."""

_NARROW_EIGEN, _WIDE_EIGEN, _SMALL_QUADRATIC = 7e-11, 1e-10, 250
"""Seconds per D^2 (D + 250) to check a D x D projection. The first is for such narrow blocks, by
rotations and QL; the second for wider ones, by reflections, divide and conquer, and few vectors."""

GRAM_RATE = 50e9

_VALUES_EIGEN, _VECTORS_EIGEN, _GRAM_QUADRATIC, _GRAM_VECTOR = 2e-11, 3.4e-11, 1000, 1.5e-7
"""Seconds per n^2 (n + 1000) of every eigenvalue, without and with all eigenvectors; and seconds
per n of each leading vector, if there are few. Measured from order 64 to 2048."""

SPECTRUM = {"top": 1e-3, "density": 25e-3}
"""Seconds, by effort, that a spectrum of some values takes in addition to its search: for
quadratures, and for their measures for each probe. A spectrum of every value has more measures, but
no such cost."""

_FILE_RATE = 1.5e9
"""Bytes per second of a file that is read again at each pass."""

_TESTS = 10
"""Random columns with which a randomized approximation is measured: `randomized_svd.hpp`."""

_STEP_OVERHEAD = 8e-6

_SEARCH_OVERHEAD, _GRAM_OVERHEAD = 0.05e-3, 0.05e-3
"""Additional seconds of a search and of a Gram matrix, which decide between the two for small
matrices. Measured from order 8 to 512."""

_FULL_SVD, _FULL_QUADRATIC = 2.5e-10, 150
"""Seconds per n^2 (n + 150) of a dense SVD of order n with all vectors. Measured to order 600."""

_CUDA_READS = 4 / 2e12
"""Seconds per entry of a step that reads bfloat16 numbers twice."""

_CUDA_RATE = {"mixed": 300e12, "split": 150e12, "float32": 30e12, "float64": 20e12}
"""Flops per second of A^T (A X), of blocks of any width."""

_CUDA_BASIS_RATE = 10e12
_CUDA_GRAM_RATE = 10e12
_CUDA_STEP_OVERHEAD = 100e-6
"""Seconds of a step's launches and waits."""

WORTH_SAVING = _core.SMALL_ORDER
"""Order from which a search gives way to a decomposition early."""


class Search(NamedTuple):
    """A search for the k largest triplets of a matrix, as far as its cost depends on it.

    Attributes
    ----------
    shape, k, tol, precision, block
        As for :func:`sigmascope.svds`; a block of 0 is not chosen yet.
    file_bytes
        Bytes of files that each pass reads.
    on_cuda
        Whether a CUDA device runs the search.
    """

    shape: tuple[int, int]
    k: int
    tol: float
    precision: str
    block: int = 0
    file_bytes: int = 0
    on_cuda: bool = False


class Parts(NamedTuple):
    """Seconds of a Krylov search, part by part."""

    products: float
    final: float
    basis: float
    checks: float
    steps: float


@lru_cache(1024)
def basis_columns(k: int, block: int, tol: float) -> float:
    """Return how many columns a search multiplies, +- 20 %, if the spectrum decays slowly.

    It is a fit over the spectra of `bench`. A spectrum that decays fast takes half as many.
    """
    digits = -np.log10(np.clip(tol, 1e-6, 1e-2))
    per_value = np.interp(digits, (2, 3, 6), (2.9, 3.3, 4.0))
    per_block = np.interp(digits, (2, 3, 6), (4.5, 7.5, 15.0))
    return float(per_value * k + per_block * block * (0.5 + min(k, 64) / 128))


def krylov_parts(search: Search) -> Parts:
    """Return the cost of the k largest triplets by block Krylov."""
    shape, k, tol, precision, block, file_bytes, on_cuda = search
    n, m = sorted(shape)
    steps_in = "float32" if precision == "mixed" and _begins_full(n, tol) else precision
    columns = min(basis_columns(k, block, tol), n)
    held = min(columns, max(3 * k + 2 * block, 128))  # restarted, see krylov._restart_columns
    final = "float64" if precision == "float64" else "float32"
    slow = 2 if precision == "float64" else 1
    steps = columns / block
    if on_cuda:
        return Parts(
            products=steps * _cuda_step_seconds(m * n, block, precision),
            final=_cuda_step_seconds(m * n, k, final),
            basis=slow * 8 * n * columns * held / _CUDA_BASIS_RATE,
            checks=columns / max(block, held / 2) * _check_seconds(held, block),
            steps=steps * (_CUDA_STEP_OVERHEAD + file_bytes / _FILE_RATE),
        )
    half_full = precision == "float64" and block < 8
    basis_rate = _BASIS_RATE * (_HALF_FULL if half_full else 1)
    return Parts(
        products=4 * m * n * columns / step_rate(steps_in, block)
        + steps * _rereading(m * n, final),
        final=4 * m * n * k / step_rate(final, k),
        basis=slow * 8 * n * columns * held * 0.7 / basis_rate,
        checks=columns / max(block, held / 2) * _check_seconds(held, block),
        steps=steps * (_STEP_OVERHEAD + file_bytes / _FILE_RATE),
    )


def _check_seconds(columns: float, block: int) -> float:
    seconds = _NARROW_EIGEN if block <= _NARROW else _WIDE_EIGEN
    return seconds * columns**2 * (columns + _SMALL_QUADRATIC)


def _rereading(entries: int, precision: str) -> float:
    """Return the seconds for which narrow blocks of float64 wait for a read from memory."""
    far = precision == "float64" and 8 * entries > _CACHE
    return 8 * entries / _MEMORY_RATE if far else 0.0


def _cuda_step_seconds(entries: int, columns: int, precision: str) -> float:
    return max(entries * _CUDA_READS, 4 * entries * columns / _CUDA_RATE[precision])


@lru_cache(4096)
def krylov_seconds(search: Search) -> float:
    """Return the total cost of the k largest triplets by block Krylov."""
    return sum(krylov_parts(search))


@lru_cache(4096)
def randomized_exceeds_svd(
    shape: tuple[int, int], block: int, passes: int, precision: str, file_bytes: int, on_cuda: bool
) -> bool:
    """Return whether `passes` passes, with bases of both sides, cost more than a full SVD of A."""
    n, m = sorted(shape)
    columns, last = min(passes * block, n), min(block + _TESTS, n)
    slow = 2 if precision == "float64" else 1
    small = 2 * _svd_seconds(columns, columns) + _svd_seconds(last, last)
    small += _VECTORS_EIGEN * columns**2 * (columns + _GRAM_QUADRATIC)
    if on_cuda:
        products = sum(_cuda_step_seconds(m * n, c, precision) for c in (columns, last))
        basis = slow * 4 * (n + m) * columns**2 / _CUDA_BASIS_RATE
    else:
        products = sum(4 * m * n * c / step_rate(precision, c) for c in (columns, last))
        basis = slow * (6 * n + 4 * m) * columns**2 / _BASIS_RATE
    reread = (passes + 1) * file_bytes / _FILE_RATE
    return _svd_seconds(m, n) < small + products + basis + reread + _SEARCH_OVERHEAD


def _svd_seconds(m: int, n: int) -> float:
    n, m = sorted((m, n))
    return _FULL_SVD * n * (n + _FULL_QUADRATIC) * (m + 2 * n) / 3


def gram_seconds(shape: tuple[int, int], *, vectors: int = 0, on_cuda: bool = False) -> float:
    """Return the cost of the smaller Gram matrix, its values and `vectors` vectors, in float64."""
    n, m = sorted(shape)
    gram = m * n**2 / (_CUDA_GRAM_RATE if on_cuda else GRAM_RATE)
    square = n**2 * (n + _GRAM_QUADRATIC)
    few = _VALUES_EIGEN * square + _GRAM_VECTOR * n * vectors
    return gram + min(few, _VECTORS_EIGEN * square)


@lru_cache(4096)
def prefers_gram(search: Search) -> bool:
    """Return whether the whole Gram matrix and its vectors cost less than a Krylov search."""
    krylov = krylov_seconds(search)
    gram = gram_seconds(search.shape, vectors=search.k, on_cuda=search.on_cuda)
    if not search.on_cuda:
        krylov += _SEARCH_OVERHEAD
        gram += _GRAM_OVERHEAD
    return gram < krylov


def prefers_values(search: Search, *, effort: str, vectors: bool = False) -> bool:
    """Return whether computing every value costs less than a search for some of them.

    `effort`: "top" or "density". `vectors`: whether the leading vectors are computed, too.
    """
    leading = search.k if vectors else 0
    values = gram_seconds(search.shape, vectors=leading, on_cuda=search.on_cuda)
    return values < krylov_seconds(search) + SPECTRUM[effort]


@lru_cache(4096)
def best_block(search: Search) -> int:
    """Return the columns per Krylov step with the lowest cost.

    For a matrix of order `WORTH_SAVING` or more, eight such blocks fit into the space.
    """
    n = min(search.shape)
    steps = 1 if n < WORTH_SAVING else 8
    least = 8 if search.on_cuda else _STEP_RATE[search.precision][0][0]
    fitting = [b for b in _BLOCKS if b >= least and steps * b <= n] or [n]
    costs = [krylov_seconds(search._replace(block=b)) for b in fitting]
    return fitting[int(np.argmin(costs))]


def step_rate(precision: str, columns: int) -> float:
    """Return the flops per second of A^T (A X) by one thread."""
    widths, rates = _STEP_RATE[precision]
    if TILES and precision != "float64" and columns < _TILE:
        return step_rate(precision, _TILE) * columns / _TILE
    return float(np.interp(np.log2(columns), np.log2(widths), rates))


def _begins_full(n: int, tol: float) -> bool:
    """Return whether most products of a mixed search are in float32."""
    return not TILES and _core.is_fine(tol, n)
