# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of codes in groups: packed integers with a table, and scales and zeros of groups.

The native counterpart is `GroupEncoding` in `cpp/kernels/encodings`, which says how codes become
numbers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .byte_source import ByteSource

if TYPE_CHECKING:
    from sigmascope._host.native import _core

    from .matrix import Matrix

# The native module is imported when a matrix is made, so that reading headers does not need it.


@dataclass(frozen=True, slots=True)
class Packing:
    """Positions of the codes of a stored matrix in its bytes.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the stored matrix.
    bits : int
        Bits of a code, 1 to 8.
    order : tuple of int
        Position of each code within its pack, counted in codes.
    word : int
        Bytes of a word; a pack is the smallest number of words that holds its codes.
    down : bool
        Whether packs lie along columns; by default they lie along rows.
    block : int
        Elements of a group, if the codes of all rows form one sequence; a word may then hold codes
        of two rows. By default 0: each row or column begins at a word of its own.
    """

    shape: tuple[int, int]
    bits: int
    order: tuple[int, ...]
    word: int = 4
    down: bool = False
    block: int = 0

    def words(self, count: int) -> int:
        """Return the number of words that hold this many successive codes."""
        packed, width = len(self.order), 8 * self.word
        whole, rest = divmod(count, packed)
        return whole * -(-packed * self.bits // width) + -(-rest * self.bits // width)

    @property
    def nbytes(self) -> int:
        """Number of bytes of all codes."""
        rows, cols = self.shape
        if self.block:
            return self.word * self.words(rows * cols)
        return self.word * (cols * self.words(rows) if self.down else rows * self.words(cols))


@dataclass(frozen=True, slots=True)
class GroupCodes:
    """Codes of a matrix with their table, scales and groups, as read from a file.

    Attributes
    ----------
    packing : Packing
        Places of the codes.
    table : array (2 ** bits,)
        Number of each code.
    groups : (array (rows,), array (cols,))
        The row of the grid of scales for each row of the matrix, and the column of the grid for
        each column. Empty if `packing.block` says where groups end; the grid then has one row.
    scales : array (grid rows, grid cols)
        Scales of the groups, float32.
    zeros, biases : array, optional
        `zeros` are subtracted from the number of a code, `biases` are added to the scaled number;
        shaped as `scales`.
    factor : float
        Factor of all numbers; the float32 results are multiplied by it last.
    """

    packing: Packing
    table: NDArray[np.float32]
    groups: tuple[NDArray[np.int32], NDArray[np.int32]]
    scales: NDArray[np.float32]
    zeros: NDArray[np.float32] | None = None
    biases: NDArray[np.float32] | None = None
    factor: float = 1.0

    def state(self) -> dict[str, Any]:
        """Return the parameters, with their names in the native module."""
        packing = self.packing
        return {
            "rows": packing.shape[0],
            "cols": packing.shape[1],
            "bits": packing.bits,
            "word": packing.word,
            "down": packing.down,
            "order": np.array(packing.order, np.uint8),
            "table": self.table,
            "row_groups": self.groups[0],
            "col_groups": self.groups[1],
            "grid_cols": self.scales.shape[1],
            "block": packing.block,
            "scales": self.scales,
            "zeros": self.zeros,
            "biases": self.biases,
        }


def grouped_in_file(
    path: str | os.PathLike[str], offset: int, codes: GroupCodes, reading: str
) -> Matrix:
    """Make a matrix of codes in a file, which are read and decoded when they are used.

    Raises
    ------
    CheckpointError
        The file is too short.
    ValueError
        Sizes disagree, or an index of a group is out of range.
    """
    from sigmascope._host.native import _core

    reading = "buffered" if reading == "mapped" else reading
    return _times(codes.factor, _core.Matrix.from_groups(path, offset, codes.state(), reading))


def grouped_in_source(source: ByteSource, offset: int, codes: GroupCodes) -> Matrix:
    """Make the matrix of :func:`grouped_in_file` from codes that a Python object reads."""
    from sigmascope._host.native import _core

    native = _core.Matrix.from_groups_of_source(source, offset, codes.state())
    return _times(codes.factor, native)


def _times(factor: float, native: _core.Matrix) -> Matrix:
    from .matrix import Matrix

    return Matrix(native if factor == 1 else native.scaled(factor))


def grouped_in_memory(stored: memoryview, owner: object, codes: GroupCodes) -> Matrix:
    """Make the matrix of :func:`grouped_in_file` from codes in memory; it keeps `owner` alive."""
    return grouped_in_source(_Memory(stored, owner), 0, codes)


class _Memory(ByteSource):
    """Bytes in memory."""

    name = "memory"

    def __init__(self, stored: memoryview, owner: object) -> None:
        self.size = stored.nbytes
        self._stored, self._owner = stored, owner

    def fill(self, offset: int, memory: memoryview) -> None:
        """Copy bytes."""
        memory[:] = self._stored[offset : offset + memory.nbytes]

    def identity(self) -> str:
        """Return the place and the number of the bytes."""
        return f"{id(self._owner)} {self.size}"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a matrix in memory cannot be sent to another process")
