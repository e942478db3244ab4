# SPDX-License-Identifier: BSD-3-Clause
"""Memory of each call, in bytes: every formula that `memory_limit` is compared with.

Of an m x n matrix let M = max(m, n) and N = min(m, n). Every function returns a :class:`Need`:
*arrays*, which live through the call, and *working*, the most that one of its phases takes beside
them. The numbers are those of the kernels in `cpp/`, named at each;
`tests/execution/test_memory.py` holds the sums against what fresh interpreters are measured to
take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sigmascope._host.native import _core

from .passes import MIB, PANELS, TILES, PassLayout, padded, products, rounded_products

OVERHEAD = 27 * MIB
"""Stacks of threads, buffers of LAPACK, what the allocator keeps: measured below this."""

MINIMUM = 64 * MIB
"""Below this a limit bounds the arrays alone: no call takes more than it and its arrays' limit."""

_MOST_LANES, _BAND, _BAND_LD, _TILE = 8, 64, 137, 192  # cpp/kernels/eigenvalues/band_reduction.hpp
_TWO_STAGE = 1024  # cpp/kernels/eigenvalues/tridiagonal.cpp
_GRAM_ROWS = 512  # cpp/kernels/gram/gram_tiles.hpp
_DENSE_ROWS = 64  # of each thread: cpp/kernels/blocks/dense.cpp
_TESTS = 10  # cpp/algorithms/randomized_svd.hpp
_STRETCH, _FOUND = 4096, 96  # cpp/kernels/simd/element_kernels.hpp, element_pass.hpp


@contextmanager
def keeping() -> Iterator[None]:
    """Keep what the engine frees meanwhile, up to the most that it held at once: for many calls.

    Arrays of NumPy's do not count: it is for calls whose engine takes nearly all.
    """
    kept = _core.KeepingMemory()
    try:
        yield
    finally:
        kept.end()


class Need(NamedTuple):
    """Bytes of a call, beside the matrix as it is stored."""

    arrays: int
    working: int

    @property
    def limit(self) -> int:
        """The least `memory_limit` that allows it."""
        peak = self.peak
        return self.arrays if peak <= MINIMUM else peak

    @property
    def peak(self) -> int:
        """Resident bytes above those of the imported package, at most."""
        return self.arrays + self.working + OVERHEAD

    def followed_by(self, other: Need) -> Need:
        """Return the need of this call and of another one that follows it."""
        arrays = max(self.arrays, other.arrays)
        return Need(arrays, max(sum(self), sum(other)) - arrays)

    def plus(self, held: int) -> Need:
        """Return this need with so many more bytes of arrays."""
        return Need(self.arrays + held, self.working)


def elementwise_need(layout: PassLayout) -> Need:
    """Return the need of one look at every element, as before every algorithm: norms of lines."""
    m, n = layout.shape
    across = -(-n // _STRETCH)
    most = (8 if layout.files else 32) * MIB
    rows = layout.panel_rows or int(most // (n * layout.stored + across * _FOUND))
    if not layout.panel_rows and rows >= 128:
        rows = rows // 128 * 128
    rows = min(max(rows, 1), m)
    chains = (rows // 128 + 3) * n * 8
    codes = 2**19 * (layout.threads + 1) if layout.stored <= 2 else 0
    buffers = 3 * MIB // 2 * layout.threads
    panels = int(PANELS * rows * n * layout.stored) if layout.files else 0
    return Need(32 * (m + n), panels + rows * across * _FOUND + chains + codes + buffers)


def krylov_need(
    layout: PassLayout,
    k: int,
    block: int,
    columns: int,
    width: int,
    *,
    steered: bool = False,
    vectors: bool = False,
    density: bool = False,
) -> Need:
    """Return the need of a block Krylov search whose basis has `columns` of `width`-byte numbers.

    Arrays: the basis, the next block, the answer. Phases: a step (its products, z turned against
    the basis), a restart (the vectors that are kept, beside the basis), a look at the projected
    D x D matrix (5 of them in float64, 6 for the quadrature), the read-out (A V and its factors).
    """
    M, N = layout.M, layout.N
    d = min(columns, N)
    one, wanted = N * padded(block, width) * width, padded(k, width) * width
    basis = -(-d // block) * one
    small = 24 * d**2
    kept = min(3 * k // 2 + 3 * block, d)
    inner = -(-N // 1024) * max(block * padded(block, width), kept * padded(kept, width)) * 8
    step = 2 * one + inner + small + products(layout, block, width)
    if steered:
        step = max(step, 2 * one + inner + small + rounded_products(layout, block))
    restart = basis + small
    look = (48 if density else 40) * d**2
    read_out = (4 * N + 3 * M) * wanted + -(-M // 1024) * k * padded(k, width) * 8 + small
    read_out += products(layout, k, width, both=True)
    answer = (M + N) * k * width if vectors else 0
    first = elementwise_need(layout)
    working = max(sum(first), step, restart, look, read_out)
    working += 2 * MIB * max(layout.threads - 2, 0)  # stacks and scratch beyond OVERHEAD: measured
    return Need(basis + one + answer, working)


def graded_need(layout: PassLayout, k: int, block: int, columns: int, width: int) -> Need:
    """Return the need of a search whose k values span so much that all its columns are read out."""
    M, N = layout.M, layout.N
    d = min(columns, N)
    wide = padded(d, width)
    basis = -(-d // block) * N * padded(block, width) * width
    working = (3 * M + 2 * N) * wide * width + -(-M // 1024) * d * wide * 8 + 104 * d**2
    working += products(layout, d, width)
    return Need(basis + (M + N) * k * width, working)


def grown_need(
    layout: PassLayout, k: int, block: int, planned: int, grown: int, width: int, **how: bool
) -> Need:
    """Return the need of a search whose basis has grown, and is read out as a whole.

    `planned`, `grown`: columns of the basis. `how`: as for :func:`krylov_need`.
    """
    expected = krylov_need(layout, k, block, max(planned, grown), width, **how)
    return max(expected, graded_need(layout, k, block, grown, width), key=lambda need: need.limit)


def values_need(layout: PassLayout, *, fast: bool = False) -> Need:
    """Return the need of every singular value: a Gram matrix in float64, panels, then a band."""
    n = layout.N
    square = 8 * n**2
    panel = 8 * _GRAM_ROWS * n + layout.raw(_GRAM_ROWS, n, layout.M) + 2 * MIB * layout.threads
    if fast:
        panel += (12 if TILES else 4) * _GRAM_ROWS * (n + 32) + 24 * layout.M
    lanes = min(max(-(-n // _TILE) // 2, 1), _MOST_LANES)
    band = 8 * n * (_BAND_LD + (9 + lanes) * _BAND) + 16 * _TILE**2 * (layout.threads + 4)
    reduction = band if n >= _TWO_STAGE else 512 * n
    first = elementwise_need(layout)
    return Need(square + 512 * n, max(sum(first), panel, reduction))


def gram_need(layout: PassLayout, k: int, *, complete: bool = False) -> Need:
    """Return the need of k triplets by eigenvectors of the whole Gram matrix: three squares.

    `complete`: also of a decomposition of A itself by LAPACK, if they are not good enough.
    """
    M, n = layout.M, layout.N
    square = 8 * n**2
    panel = 8 * _GRAM_ROWS * n + layout.raw(_GRAM_ROWS, n, M) + 2 * MIB * layout.threads
    eigenvectors = 2 * square + 8 * n * (padded(k, 8) + 80)
    wanted = padded(k, 8) * 8
    read_out = (4 * n + 3 * M) * wanted + -(-M // 1024) * k * wanted + products(layout, k, 8)
    if complete:  # A, what LAPACK makes of it, its vectors; a panel that A is read by
        height = _DENSE_ROWS * layout.threads
        dense = 8 * (4 * M * n + 8 * n**2 + height * M) + layout.raw(height, M, n)
        read_out = max(read_out, square + dense)
    first = elementwise_need(layout)
    # the Gram matrix is gone when vectors are read out
    working = max(sum(first), panel, eigenvectors, read_out - square)
    return Need(square + (M + n) * k * 8, working)


def product_need(layout: PassLayout, columns: int) -> Need:
    """Return the need of a pass of products in float64: vectors, blocks, and a copy of each."""
    return Need(24 * columns * (layout.M + layout.N), products(layout, columns, 8))


def low_rank_need(layout: PassLayout, k: int, block: int, passes: int, width: int) -> Need:
    """Return the need of a fixed number of passes: blocks on both sides."""
    both = layout.M + layout.N
    d = min(passes * block, layout.N)
    one = both * padded(block, width) * width
    inner = -(-layout.M // 1024) * block * padded(block, width) * 8
    step = 3 * one + inner + products(layout, block, width)
    small = 96 * d**2
    measured = padded(block + _TESTS, width) * width
    read_out = (5 * layout.N + 4 * layout.M) * measured + products(layout, block + _TESTS, width)
    first = elementwise_need(layout)
    working = max(sum(first), step + 24 * d**2, small + read_out)
    return Need(passes * one + both * k * width, working)


def density_need(layout: PassLayout, probes: int, passes: int, width: int) -> Need:
    """Return the need of a fixed number of Krylov steps, for their quadrature."""
    d = min(probes * passes, layout.N)
    one = layout.N * padded(probes, width) * width
    inner = -(-layout.N // 1024) * probes * padded(probes, width) * 8
    step = 2 * one + inner + 24 * d**2 + products(layout, probes, width)
    first = elementwise_need(layout)
    return Need(-(-d // probes) * one + one, max(sum(first), step, 48 * d**2))
