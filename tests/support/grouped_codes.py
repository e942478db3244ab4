# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of codes in groups, made of their parameters: in any packing, also of no known layout.

What is known of the package here is how a matrix is made, and no more: NumPy packs the codes.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope._host.native import _core
from sigmascope.checkpoint.quantised.tables import unpacked
from sigmascope.matrices.groups import GroupCodes, grouped_in_file
from sigmascope.matrices.groups import Packing as StoredPacking

Codes = NDArray[np.integer]


def natural(count: int) -> tuple[int, ...]:
    """Return the order of a pack in which codes follow each other."""
    return tuple(range(count))


def dense(bits: int) -> tuple[int, ...]:
    """Return the natural order of a pack without gaps: 32 codes, or fewer that fill a word."""
    return natural(32 // bits if 32 % bits == 0 else 32)


Packing = tuple[int, tuple[int, ...], int]

PACKINGS: dict[str, Packing] = {
    **{f"dense {bits}": (bits, dense(bits), 4) for bits in range(1, 9)},
    **{f"gaps {bits}": (bits, natural(32 // bits), 4) for bits in (3, 5, 6, 7)},
    "awq": (4, (0, 4, 1, 5, 2, 6, 3, 7), 4),
    "high half first": (4, (1, 0), 1),
    "low half first": (4, (0, 1), 1),
    "bytes": (8, (0,), 1),
    "half of a byte": (4, (0,), 1),
    "half of a word": (4, natural(4), 4),
    "two bytes of a word": (8, natural(2), 4),
}
"""Bits of a code, the places of the codes of a pack, and the bytes of a word."""


@dataclass(frozen=True)
class Layout:
    """Places of codes: bits of each, their order in a pack of words of so many bytes.

    Packs lie down the columns or along the rows; with a block, all rows are one sequence.
    """

    shape: tuple[int, int]
    bits: int
    order: tuple[int, ...]
    word: int = 4
    down: bool = False
    block: int = 0

    def packed(self, codes: Codes) -> bytes:
        """Pack codes bit by bit, each row or column on its own."""
        lines = codes.reshape(1, -1) if self.block else codes.T if self.down else codes
        rows, count = lines.shape
        each, bits, width = len(self.order), self.bits, 8 * self.word
        whole, rest = divmod(count, each)
        in_pack, in_rest = -(-each * bits // width), -(-rest * bits // width)
        padded = np.zeros((rows, whole + 1, each, 1), np.uint8)
        padded.reshape(rows, -1)[:, :count] = lines
        places = np.array(self.order)[:, None] * bits + np.arange(bits)
        placed = np.zeros((rows, whole + 1, in_pack * width), np.uint8)
        placed[:, :, places] = np.unpackbits(padded, axis=-1, count=bits, bitorder="little")
        words = np.packbits(placed, axis=-1, bitorder="little").view(f"<u{self.word}")
        used = words.reshape(rows, -1)[:, : whole * in_pack + in_rest]
        return (used.T if self.down else used).tobytes()

    @property
    def nbytes(self) -> int:
        """Bytes of all codes, as the package counts them."""
        return StoredPacking(*astuple(self)).nbytes


@dataclass(frozen=True)
class Grouped:
    """Numbers of codes, the groups of rows and columns, and scales and offsets of the groups."""

    layout: Layout
    table: NDArray[np.float32]
    groups: tuple[NDArray[np.int32], NDArray[np.int32]]
    scales: NDArray[np.float32]
    zeros: NDArray[np.float32] | None = None
    biases: NDArray[np.float32] | None = None
    factor: float = 1.0

    def in_file(self, path: Path, offset: int = 0, reading: str = "buffered") -> ss.Matrix:
        """Return the matrix of the codes that are in a file."""
        return grouped_in_file(path, offset, self._codes(), reading)

    def in_file_but_for(self, path: Path, **changes: Any) -> None:
        """Make the same matrix after changes of parameters, named as the native module does."""
        _core.Matrix.from_groups(path, 0, self._codes().state() | changes, "buffered")

    def _codes(self) -> GroupCodes:
        rest = self.table, self.groups, self.scales, self.zeros, self.biases, self.factor
        return GroupCodes(StoredPacking(*astuple(self.layout)), *rest)


def codes_of_words(words: NDArray[np.uint32], bits: int, count: int) -> Codes:
    """Unpack rows of words as the package does for zeros, which it reads at once."""
    return unpacked(words, bits, dense(bits), count)


def indices(rng: np.random.Generator, count: int, kind: str) -> NDArray[np.int32]:
    """Return the groups of rows or columns: each its own, runs of them, or in any order."""
    if kind == "own":
        result = np.arange(count)
    elif kind == "runs":
        result = np.arange(count) // 16
    else:
        result = rng.integers(0, rng.integers(1, count + 1), count)
    return result.astype(np.int32)


def random_codes(
    path: Path, rng: np.random.Generator, layout: Layout, offsets: str, kind: str = "any"
) -> tuple[ss.Matrix, NDArray[np.float32]]:
    """Write random codes; return the matrix and its numbers."""
    codes = rng.integers(0, 1 << layout.bits, layout.shape)
    groups = tuple(indices(rng, count, kind) for count in layout.shape)
    grid = tuple(int(each.max()) + 1 for each in groups)
    table, scales, others = (
        rng.standard_normal(shape).astype(np.float32) for shape in (1 << layout.bits, grid, grid)
    )
    if rng.integers(2):
        table = np.arange(1 << layout.bits, dtype=np.float32) - 1 - (1 << layout.bits) // 2
    numbers, place = table[codes], np.ix_(*groups)
    zeros = others if offsets == "zeros" else None
    biases = others if offsets == "biases" else None
    if zeros is not None:
        wanted = (numbers - zeros[place]) * scales[place]
    else:
        wanted = numbers * scales[place]
        wanted = wanted if biases is None else wanted + biases[place]
    path.write_bytes(b"abc" + layout.packed(codes))
    grouped = Grouped(layout, table, (groups[0], groups[1]), scales, zeros, biases)
    return grouped.in_file(path, 3), wanted
