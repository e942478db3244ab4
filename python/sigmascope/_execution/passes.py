# SPDX-License-Identifier: BSD-3-Clause
"""How a pass over a matrix reads it, and what a pass of products holds meanwhile, in bytes.

The numbers are those of the kernels in `cpp/`, named at each: see
:mod:`sigmascope._execution.memory`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sigmascope._host.native import _core

MIB = 2**20

PANELS = 3
"""Of stored bytes that live while a file is read: one read, one ready, one in use."""

TILES: bool = _core.config()["tiles"]
"""Whether products go by tiles of bf16 (cpp/kernels/panels/tile_panels.hpp)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a matrix is read.

    Attributes
    ----------
    shape : (m, n)
    stored : bytes of an element, summed over overlapping tiles
    files : whether each pass reads it from files
    threads, panel_rows : as for :class:`sigmascope._execution.options.Run`
    wide : whether the lines that it is stored in are longer than they are many
    """

    shape: tuple[int, int]
    stored: float
    files: bool
    threads: int
    panel_rows: int = 0
    wide: bool = False

    @property
    def M(self) -> int:
        """The longer side."""
        return max(self.shape)

    @property
    def N(self) -> int:
        """The shorter side, which the basis and the Gram matrix belong to."""
        return min(self.shape)

    @property
    def lines(self) -> tuple[int, int]:
        """How many lines products are read in, and their length: of files never columns."""
        return (self.N, self.M) if self.files and self.wide else (self.M, self.N)

    def raw(self, height: int, across: int, extent: int) -> int:
        """Stored bytes of panels of `height` of `extent` lines; twice where gaps are read too."""
        gaps = 2 if 2 * height >= extent else 1
        return int(PANELS * gaps * height * across * self.stored) if self.files else 0


def padded(columns: int, width: int) -> int:
    """Columns that a block of so many takes: whole lines of 64 bytes (block.hpp)."""
    line = 64 // width
    return -(-columns // line) * line


def _spread(extent: int, width: int) -> int:
    line = 64 // width
    return (-(-extent // line) | 1) * line


def products(reading: Reading, columns: int, width: int, *, both: bool = True) -> int:
    """A pass of products with a block: panels, as stored and decoded, and the sums of the second.

    NumberPanels of number_panels.hpp. `both`: A X and A^T (A X), else one of them.
    """
    if TILES and width == 4:
        return _tile_products(reading, columns, both=both)
    ld = padded(columns, width)
    lines, across, times, height = _by_lines(reading, ld, width, 4 * MIB, 64, 256)
    sums = width * (across + 32) * ld
    groups = sums if lines > 16 * 64 else 0  # chain_sums.hpp
    each = width * height * (_spread(across, width) + 2 * ld) + sums
    between = width * reading.M * ld if reading.wide and both else 0
    turned = 4 * (across + 16) * ld if (width, ld) == (4, 16) and both else 0  # dots.hpp
    more = width * 64 * ld * reading.threads  # of a row's sum beyond 1024 numbers
    return between + turned + groups + more + times * each + reading.raw(height, across, lines)


def rounded_products(reading: Reading, columns: int) -> int:
    """A pass of products rounded to bfloat16: Bf16Panels of cpp/kernels/panels/bf16_panels.hpp."""
    if TILES:
        return _tile_products(reading, columns)
    ld = padded(columns, 4)
    lines, across, times, height = _by_lines(reading, ld, 2, 2 * MIB, 512, 512)
    sums = 4 * (across + 32) * ld
    groups = sums if lines > 16 * 512 else 0
    each = 2 * height * _spread(across, 2) + 6 * height * ld + sums
    blocks = 2 * (across + 2) * ld + (4 * reading.M * ld if reading.wide else 0)
    blocks += 2 * (across + 32) * ld if ld == 16 else 0  # turned: dots.hpp
    return blocks + groups + times * each + reading.raw(height, across, lines)


def _by_lines(
    reading: Reading, ld: int, width: int, shared: int, chain: int, rows: int
) -> tuple[int, int, int, int]:
    """Of products along the lines of a matrix: their number, length, panels at once, and height.

    Every thread has a panel where there are chains enough in memory, else all of them one.
    """
    lines, across = (reading.N, reading.M) if reading.wide else (reading.M, reading.N)
    times, height = reading.threads, 64 if ld <= 64 else 128
    if reading.files or lines <= chain * (reading.threads - 1):
        turn = 64 * reading.threads
        times, most = 1, max(rows // turn, 1)
        height = min(max(shared // (width * across * turn), 1), most) * turn
    return lines, across, times, min(reading.panel_rows or height, lines) + 1


def _tile_products(reading: Reading, columns: int, *, both: bool = True) -> int:
    """The same by tiles, whatever parts numbers take: TilePanels of tile_panels.cpp.

    The panel in parts; the block and its product in three, and in float32; sums of the result.
    A matrix in memory is read along its rows, by every thread for itself: as long as the longer
    side, with a panel and a sum for each.
    """
    ld = padded(columns, 4)
    lines, length = reading.lines if reading.files else (reading.N, reading.M)
    across = _whole(length, 32) + 16
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
        rows = min(rows, _whole(lines, 32))
        panel = max(panel, 2 * parts * max(rows * _spread(across, 2), across * _spread(rows, 2)))
        tallest = max(tallest, rows)
    sums = 4 * (1 + times + (lines > 16 * 512)) if both else 4
    blocks = ((6 + sums) * across + times * (6 + 4 + 8) * tallest) * ld
    blocks += 4 * ld * reading.M if reading.files and reading.wide else 0
    strips = 16_384 * reading.threads
    return times * panel + blocks + strips + reading.raw(min(tallest, lines), length, lines)


def _whole(extent: int, unit: int) -> int:
    return -(-extent // unit) * unit
