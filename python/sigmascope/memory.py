# SPDX-License-Identifier: BSD-3-Clause
"""What each call holds in memory, in bytes: every formula that `memory_limit` is held against.

Of an m x n matrix let M = max(m, n) and N = min(m, n). Every function returns a :class:`Need`:
*arrays*, which live through the call, and *working*, the most that one of its phases takes beside
them. The numbers are those of the kernels in `cpp/`, named at each; `tests/test_memory.py` holds
the sums against what fresh interpreters are measured to take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from . import _core

MIB = 2**20

OVERHEAD = 27 * MIB
"""Stacks of threads, buffers of LAPACK, what the allocator keeps: measured below this."""

MINIMUM = 64 * MIB
"""Below this a limit bounds the arrays alone: no call takes more than it and its arrays' limit."""

_PANELS = 3
"""Of stored bytes that live while a file is read: one read, one ready, one in use."""

_MOST_LANES, _BAND, _BAND_LD, _TILE = 8, 64, 137, 192  # cpp/kernels/band_reduction.hpp
_TWO_STAGE = 1024  # cpp/kernels/tridiagonal.cpp
_GRAM_ROWS = 512  # cpp/kernels/gram_tiles.hpp
_STRETCH, _FOUND = 4096, 96  # cpp/kernels/isa.hpp, element_pass.hpp
_TILES: bool = _core.config()["tiles"]  # products by tiles of bf16: cpp/kernels/tile_panels.hpp


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

    def then(self, other: Need) -> Need:
        """The most of this and of another call that follows it."""
        arrays = max(self.arrays, other.arrays)
        return Need(arrays, max(sum(self), sum(other)) - arrays)

    def beside(self, held: int) -> Need:
        """The same with further arrays."""
        return Need(self.arrays + held, self.working)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a matrix is read.

    Attributes
    ----------
    shape : (m, n)
    stored : bytes of an element, summed over overlapping tiles
    files : whether each pass reads it from files
    threads, panel_rows : as for :class:`sigmascope.plan.Run`
    """

    shape: tuple[int, int]
    stored: float
    files: bool
    threads: int
    panel_rows: int = 0

    @property
    def M(self) -> int:
        """The longer side."""
        return max(self.shape)

    @property
    def N(self) -> int:
        """The shorter side, which the basis and the Gram matrix belong to."""
        return min(self.shape)

    def raw(self, height: int, across: int, extent: int) -> int:
        """Stored bytes of panels of `height` of `extent` lines; twice where gaps are read too."""
        gaps = 2 if 2 * height >= extent else 1
        return int(_PANELS * gaps * height * across * self.stored) if self.files else 0


def elementwise_need(reading: Reading) -> Need:
    """One look at every element, by moments and before every algorithm: norms of rows, columns."""
    m, n = reading.shape
    across = -(-n // _STRETCH)
    most = (8 if reading.files else 32) * MIB
    rows = reading.panel_rows or int(most // (n * reading.stored + across * _FOUND))
    if not reading.panel_rows and rows >= 128:
        rows = rows // 128 * 128
    rows = min(max(rows, 1), m)
    chains = (rows // 128 + 3) * n * 8
    codes = 2**19 * (reading.threads + 1) if reading.stored <= 2 else 0
    buffers = 3 * MIB // 2 * reading.threads
    panels = int(_PANELS * rows * n * reading.stored) if reading.files else 0
    return Need(32 * (m + n), panels + rows * across * _FOUND + chains + codes + buffers)


def krylov_need(
    reading: Reading,
    k: int,
    block: int,
    columns: int,
    width: int,
    *,
    steered: bool = False,
    vectors: bool = False,
    density: bool = False,
) -> Need:
    """A block Krylov search whose basis grows to `columns`, of numbers of `width` bytes.

    Arrays: the basis, the next block, the answer. Phases: a step (its products, z turned against
    the basis), a restart (the vectors that are kept, beside the basis), a look at the projected
    D x D matrix (5 of them in float64, 6 for the quadrature), the read-out (A V and its factors).
    """
    M, N = reading.M, reading.N
    d = min(columns, N)
    one, wanted = N * padded(block, width) * width, padded(k, width) * width
    basis = -(-d // block) * one
    small = 24 * d**2
    kept = min(3 * k // 2 + 3 * block, d)
    inner = -(-N // 1024) * max(block * padded(block, width), kept * padded(kept, width)) * 8
    step = 2 * one + inner + small + _products(reading, block, width)
    if steered:
        step = max(step, 2 * one + inner + small + _rounded_products(reading, block))
    restart = basis + small
    look = (48 if density else 40) * d**2
    read_out = (4 * N + 3 * M) * wanted + -(-M // 1024) * k * padded(k, width) * 8 + small
    read_out += _products(reading, k, width, both=False)
    answer = (M + N) * k * width if vectors else 0
    first = elementwise_need(reading)
    working = max(sum(first), step, restart, look, read_out)
    working += 2 * MIB * max(reading.threads - 2, 0)  # stacks and scratch beyond OVERHEAD: measured
    return Need(basis + one + answer, working)


def graded_need(reading: Reading, k: int, block: int, columns: int, width: int) -> Need:
    """The same, where the k values span so much that all columns of the basis are read out."""
    M, N = reading.M, reading.N
    d = min(columns, N)
    wide = padded(d, width)
    basis = -(-d // block) * N * padded(block, width) * width
    working = (2 * M + 2 * N) * wide * width + -(-M // 1024) * d * wide * 8 + 104 * d**2
    working += _products(reading, d, width)
    return Need(basis + (M + N) * k * width, working)


def values_need(reading: Reading, *, fast: bool = False) -> Need:
    """Every singular value: the Gram matrix in float64, panels of 512 rows, then a band."""
    n = reading.N
    square = 8 * n**2
    panel = 8 * _GRAM_ROWS * n + reading.raw(_GRAM_ROWS, n, reading.M) + 2 * MIB * reading.threads
    if fast:
        panel += (12 if _TILES else 4) * _GRAM_ROWS * (n + 32) + 24 * reading.M
    lanes = min(max(-(-n // _TILE) // 2, 1), _MOST_LANES)
    band = 8 * n * (_BAND_LD + (9 + lanes) * _BAND) + 16 * _TILE**2 * (reading.threads + 4)
    reduction = band if n >= _TWO_STAGE else 512 * n
    first = elementwise_need(reading)
    return Need(square + 512 * n, max(sum(first), panel, reduction))


def gram_need(reading: Reading, k: int) -> Need:
    """The k leading triplets by the eigenvectors of the whole Gram matrix: three squares."""
    M, n = reading.M, reading.N
    square = 8 * n**2
    panel = 8 * _GRAM_ROWS * n + reading.raw(_GRAM_ROWS, n, M) + 2 * MIB * reading.threads
    eigenvectors = 2 * square + 8 * n * (padded(k, 8) + 80)
    wanted = padded(k, 8) * 8
    read_out = (4 * n + 3 * M) * wanted + -(-M // 1024) * k * wanted + _products(reading, k, 8)
    first = elementwise_need(reading)
    # the Gram matrix is gone when vectors are read out
    working = max(sum(first), panel, eigenvectors, read_out - square)
    return Need(square + (M + n) * k * 8, working)


def product_need(reading: Reading, columns: int) -> Need:
    """One pass of products in float64: vectors of both sides, blocks, and a copy of each."""
    return Need(24 * columns * (reading.M + reading.N), _products(reading, columns, 8))


def low_rank_need(reading: Reading, k: int, block: int, passes: int, width: int) -> Need:
    """A fixed number of passes: blocks on both sides."""
    both = reading.M + reading.N
    d = min(passes * block, reading.N)
    one = both * padded(block, width) * width
    inner = -(-reading.M // 1024) * block * padded(block, width) * 8
    step = 3 * one + inner + _products(reading, block, width)
    small = 96 * d**2
    first = elementwise_need(reading)
    working = max(sum(first), step + 24 * d**2, small + 2 * both * padded(k, width) * width)
    return Need(passes * one + both * k * width, working)


def density_need(reading: Reading, probes: int, passes: int, width: int) -> Need:
    """A fixed number of Krylov steps, for their quadrature."""
    d = min(probes * passes, reading.N)
    one = reading.N * padded(probes, width) * width
    inner = -(-reading.N // 1024) * probes * padded(probes, width) * 8
    step = 2 * one + inner + 24 * d**2 + _products(reading, probes, width)
    first = elementwise_need(reading)
    return Need(-(-d // probes) * one + one, max(sum(first), step, 48 * d**2))


def padded(columns: int, width: int) -> int:
    """Columns that a block of so many takes: whole lines of 64 bytes (cpp/kernels/block.hpp)."""
    line = 64 // width
    return -(-columns // line) * line


def _spread(extent: int, width: int) -> int:
    line = 64 // width
    return (-(-extent // line) | 1) * line


def _products(reading: Reading, columns: int, width: int, *, both: bool = True) -> int:
    """A pass of products with a block: panel, as stored and decoded, and the chains of its sums.

    `both`: A X and A^T (A X) in one pass, else one of them.
    """
    if _TILES and width == 4:
        return _tile_products(reading, columns, both=both)
    N, ld = reading.N, padded(columns, width)
    height = reading.panel_rows
    if not height:  # CpuBackend::panel_height, at most
        height = min(max(9 * MIB // ((N + ld) * width), 1), 960)
        whole = 256 if height >= 256 else 64 * reading.threads
        height = height if height < whole else height // whole * whole
    height = min(height, reading.M)
    decoded = width * max(height * _spread(N, width), N * _spread(height, width))
    return decoded + reading.raw(height, N, reading.M) + (height + N) * ld * width


def _rounded_products(reading: Reading, columns: int) -> int:
    """A pass of products rounded to bfloat16: Bf16Panels of cpp/kernels/cpu_bf16.cpp."""
    if _TILES:
        return _tile_products(reading, columns)
    N, ld = reading.N, padded(columns, 4)
    turn = 48 * reading.threads
    fitting = min(max(2 * MIB // (2 * N * turn), 1), max(1024 // turn, 1)) * turn
    height = min(reading.panel_rows or fitting, reading.M) + 1
    own = 2 * max(height * _spread(N, 2), N * _spread(height, 2))
    blocks = 2 * (N + 2) * ld + 6 * height * ld
    pairs = 393_216 * reading.threads
    return own + blocks + pairs + reading.raw(height, N, reading.M)


def _tile_products(reading: Reading, columns: int, *, both: bool = True) -> int:
    """The same by tiles, whatever parts numbers take: TilePanels of cpp/kernels/tile_panels.cpp.

    The panel in parts; the block and its product in three, and in float32; two sums of the result.
    A matrix in memory is read along its rows, by every thread for itself: as long as the longer
    side, with a panel and a sum for each.
    """
    ld = padded(columns, 4)
    across = _whole(reading.N if reading.files else reading.M, 32) + 16
    most = reading.M if reading.files else reading.N
    times = 1 if reading.files else reading.threads
    panel = tallest = 0
    for parts in (3,) if reading.stored > 2 else (1, 2, 3):
        row = 2 * parts * across
        if reading.files:
            rows = min(2 * MIB * reading.threads // row, 512)
            rows = rows if rows >= 128 else min(16 * MIB // row, 128)
        else:
            rows = min(8 * MIB // row, 256)
        rows = _whole(reading.panel_rows, 32) or max(rows // 32 * 32, 32)
        rows = min(rows, _whole(most, 32))
        panel = max(panel, 2 * parts * max(rows * _spread(across, 2), across * _spread(rows, 2)))
        tallest = max(tallest, rows)
    sums = 4 * (1 + times) if both else 4
    blocks = ((6 + sums) * across + times * (6 + 4 + 8) * tallest) * ld
    strips = 16_384 * reading.threads
    raw = reading.raw(min(tallest, reading.M), reading.N, reading.M)
    return times * panel + blocks + strips + raw


def _whole(extent: int, unit: int) -> int:
    return -(-extent // unit) * unit
