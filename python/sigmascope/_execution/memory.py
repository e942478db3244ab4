# SPDX-License-Identifier: BSD-3-Clause
"""Memory of each call, in bytes: every formula that `memory_limit` is compared with.

Let M = max(m, n) and N = min(m, n) for an m x n matrix. Every function returns a :class:`Need`. Its
*arrays* live through the call. Its *working* memory is the most that one phase takes in addition.
The bytes of one pass or decomposition are counted in `cpp/`, next to its kernels. Here the phases
of a call are added up. `tests/execution/test_memory.py` compares the sums with the measured memory
of fresh interpreters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from sigmascope._host.native import _core

from .passes import MIB, PassLayout, products, rounded_products

OVERHEAD = 27 * MIB
"""Stacks of threads, buffers of LAPACK and memory that the allocator keeps, measured below this."""

MINIMUM = 64 * MIB
"""A smaller limit bounds only the arrays of a call; this bounds the whole call instead."""


@contextmanager
def keeping() -> Iterator[None]:
    """Keep memory that the engine frees, up to its peak, so that many calls can use it again.

    Arrays of NumPy do not count: this is for calls in which the engine takes nearly all memory.
    """
    kept = _core.KeepingMemory()
    try:
        yield
    finally:
        kept.end()


@dataclass(frozen=True, slots=True)
class Need:
    """Memory of a call in bytes, without the matrix as it is stored.

    `columns`: of the widest block that the matrix is multiplied by, if a device needs to know it.
    """

    arrays: int
    working: int
    columns: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the largest phase."""
        return self.arrays + self.working

    @property
    def limit(self) -> int:
        """The smallest `memory_limit` that allows the call."""
        peak = self.peak
        return self.arrays if peak <= MINIMUM else peak

    @property
    def peak(self) -> int:
        """Most resident bytes of the call, beyond the imported package."""
        return self.nbytes + OVERHEAD

    def followed_by(self, other: Need) -> Need:
        """Return the need of this call followed by another one."""
        arrays = max(self.arrays, other.arrays)
        most = max(self.nbytes, other.nbytes)
        return Need(arrays, most - arrays, max(self.columns, other.columns))

    def plus(self, held: int) -> Need:
        """Return this need with `held` more bytes of arrays."""
        return Need(self.arrays + held, self.working, self.columns) if held else self

    def plus_working(self, more: int) -> Need:
        """Return this need with `more` additional bytes in its largest phase."""
        return Need(self.arrays, self.working + more, self.columns) if more else self


NeedOf = Callable[[PassLayout], Need]
"""The need of a call, as a function of the layout in which it reads the matrix."""


def elementwise_need(layout: PassLayout) -> Need:
    """Return the need of the pass over all elements before every algorithm: norms of lines."""
    return Need(32 * sum(layout.shape), _core.element_pass_bytes(layout))


class SearchSizes(NamedTuple):
    """Numbers on which the memory of a block Krylov search depends, besides matrix and basis.

    Attributes
    ----------
    k, block
        As for :func:`sigmascope.svds`.
    width
        Bytes of a number of the basis.
    steered
        Whether some products are rounded.
    vectors, density
        Whether the search returns vectors, and the quadrature of the basis.
    """

    k: int
    block: int
    width: int
    steered: bool = False
    vectors: bool = False
    density: bool = False


@lru_cache(maxsize=1024)  # small matrices come in great numbers
def krylov_need(layout: PassLayout, sizes: SearchSizes, columns: int) -> Need:
    """Return the need of a block Krylov search, whose basis has so many columns.

    Arrays: the basis, the next block, the answer. Phases: a step (its products, z orthogonalised
    against the basis), a restart (the vectors that are kept, in addition to the basis), the
    eigenproblem of the projected D x D matrix (5 such in float64, 6 for the quadrature), the
    read-out (A V and its factors).
    """
    k, block, width, steered, vectors, density = sizes
    M, N = layout.M, layout.N
    d = min(columns, N)
    one = N * _row(block, width)
    basis = -(-d // block) * one
    small = 24 * d**2
    kept = min(3 * k // 2 + 3 * block, d)
    inner = max(_core.inner_bytes(N, c, c, width) for c in (block, kept))
    step = 2 * one + inner + small + products(layout, block, width)
    if steered:
        step = max(step, 2 * one + inner + small + rounded_products(layout, block))
    restart = basis + small
    look = (48 if density else 40) * d**2
    read_out = _read_out(layout, k, width, 4, _left_blocks(k, N)) + small
    read_out += _core.inner_bytes(M, k, k, width)
    answer = (M + N) * k * width if vectors else 0
    first = elementwise_need(layout)
    working = max(first.nbytes, step, restart, look, read_out)
    working += 2 * MIB * max(layout.threads - 2, 0)  # measured: stacks and scratch beyond OVERHEAD
    return Need(basis + one + answer, working, max(block, k))


@lru_cache(maxsize=1024)
def graded_need(layout: PassLayout, sizes: SearchSizes, columns: int) -> Need:
    """Return the need of a search that reads out all columns: its values span a wide range."""
    M, N = layout.M, layout.N
    d, width = min(columns, N), sizes.width
    basis = -(-d // sizes.block) * N * _row(sizes.block, width)
    working = _read_out(layout, d, width, 2, _left_blocks(sizes.k, N))
    working += _core.inner_bytes(M, d, d, width) + 104 * d**2
    return Need(basis + (M + N) * sizes.k * width, working, d)


def grown_need(layout: PassLayout, sizes: SearchSizes, planned: int, grown: int) -> Need:
    """Return the need of a search whose basis has grown, and is read out as a whole.

    `planned`, `grown`: columns of the basis, before and after.
    """
    expected = krylov_need(layout, sizes, max(planned, grown))
    read_out = graded_need(layout, sizes, grown)
    larger = max(expected, read_out, key=lambda need: need.limit)
    return replace(larger, columns=max(expected.columns, read_out.columns))


@lru_cache(maxsize=1024)
def values_need(layout: PassLayout, *, fast: bool = False) -> Need:
    """Return the need of all singular values: a Gram matrix in float64, panels, then a band."""
    n = layout.N
    square = 8 * n**2
    products_of = _core.gram_pass_bytes(layout, fast=fast)
    reduction = _core.eigenvalue_bytes(n, layout.threads)
    first = elementwise_need(layout)
    return Need(square + 512 * n, max(first.nbytes, products_of, reduction))


@lru_cache(maxsize=1024)
def gram_need(layout: PassLayout, k: int, *, complete: bool = False) -> Need:
    """Return the need of k triplets by eigenvectors of the whole Gram matrix: three squares.

    `complete`: include a decomposition of A itself by LAPACK, for triplets that are too inaccurate.
    """
    M, n = layout.M, layout.N
    square = 8 * n**2
    products_of = _core.gram_pass_bytes(layout, fast=False)
    wanted = _row(k, 8)
    eigenvectors = 2 * square + n * (wanted + 8 * 80)
    read_out = _read_out(layout, k, 8, 4, _left_blocks(k, n)) + _core.inner_bytes(M, k, k, 8)
    if complete:  # A, what LAPACK makes of it, its vectors
        dense = _core.dense_bytes(layout) + 8 * (3 * M * n + 8 * n**2)
        read_out = max(read_out, square + dense)
    first = elementwise_need(layout)
    # the Gram matrix is freed before vectors are read out
    working = max(first.nbytes, products_of, eigenvectors, read_out - square)
    return Need(square + (M + n) * k * 8, working)


def product_need(layout: PassLayout, columns: int) -> Need:
    """Return the need of a pass of products in float64: vectors, blocks, and a copy of each."""
    return Need(24 * columns * (layout.M + layout.N), products(layout, columns, 8))


def low_rank_need(layout: PassLayout, k: int, block: int, passes: int, width: int) -> Need:
    """Return the need of a fixed number of passes: blocks on both sides.

    If the shorter side is no longer than the block, the first block spans it.
    """
    both = layout.M + layout.N
    d = min(passes * block, layout.N)
    blocks = 1 if block >= layout.N else passes
    one = both * _row(block, width)
    inner = _core.inner_bytes(layout.M, block, block, width)
    step = 3 * one + inner + products(layout, block, width)
    small = 96 * d**2
    measured = min(block + _core.TEST_COLUMNS, layout.N)
    read_out = _read_out(layout, measured, width, 5, 4)
    first = elementwise_need(layout)
    working = max(first.nbytes, step + 24 * d**2, small + read_out)
    return Need(blocks * one + both * k * width, working, measured)


def density_need(layout: PassLayout, probes: int, passes: int, width: int) -> Need:
    """Return the need of a fixed number of Krylov steps and their quadrature."""
    d = min(probes * passes, layout.N)
    one = layout.N * _row(probes, width)
    inner = _core.inner_bytes(layout.N, probes, probes, width)
    step = 2 * one + inner + 24 * d**2 + products(layout, probes, width)
    first = elementwise_need(layout)
    return Need(-(-d // probes) * one + one, max(first.nbytes, step, 48 * d**2), probes)


def _left_blocks(k: int, n: int) -> int:
    """Return how many blocks of left vectors live at once: A V, its basis and U.

    If all min(m, n) = n values are computed, some are often zero; random columns then complete U.
    """
    return 4 if 1 < k == n else 3


def _read_out(layout: PassLayout, columns: int, width: int, short: int, long: int) -> int:
    """Return the bytes of a read-out: its blocks, or the pass that computes A V if that is more.

    `short`, `long`: blocks on the shorter and the longer side. The pass computes the first long
    one, A V; the others are made from it after the pass.
    """
    row = _row(columns, width)
    vectors = (short * layout.N + long * layout.M) * row
    return max(vectors, (short * layout.N + layout.M) * row + products(layout, columns, width))


def _row(columns: int, width: int) -> int:
    """Return the bytes of a row of a block, including its padding."""
    return _core.padded_columns(columns, width) * width
