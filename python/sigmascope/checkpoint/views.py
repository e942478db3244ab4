# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of stored tensors as extents of files, joined and cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .formats.entries import Header, TensorEntry
from .formats.ggml import BLOCK_DTYPES
from .quantised.scales import HEADERS, ScaleGrid

if TYPE_CHECKING:
    from sigmascope.matrices.groups import GroupCodes
    from sigmascope.matrices.matrix import Matrix

UNPACKED = ("f4_e2m1", *BLOCK_DTYPES.values())
"""Dtypes of numbers that are not stored as bytes, and are made when they are read."""

# The native module is imported when a matrix is made, so that reading headers does not need it.


@dataclass(frozen=True, slots=True)
class Located:
    """A tensor and the header of its file."""

    header: Header
    entry: TensorEntry


@dataclass(frozen=True, slots=True)
class Extent:
    """Rows of numbers in a file; if `transposed`, they are the columns of the matrix.

    For codes in groups, the function `groups` reads the scales. Codes in whole blocks may have more
    columns than the matrix; the last ones are padding.
    """

    header: Header
    offset: int
    stored_shape: tuple[int, int]
    dtype: str
    nbytes: int
    scale: ScaleGrid | None = None
    row_stride: int | None = None  # in bytes; None: row after row
    transposed: bool = False
    groups: Callable[[str], GroupCodes] | None = None

    @property
    def scaled(self) -> bool:
        """True if the stored codes need scales to be numbers."""
        return self.scale is not None or self.groups is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of the matrix."""
        rows, columns = self.stored_shape
        return (columns, rows) if self.transposed else (rows, columns)

    def matrix(self, reading: str) -> Matrix:
        """Read the scales, check that the file is unchanged, and make the matrix.

        `reading` is a file mode, or `HEADERS` to read no scales.
        """
        self.header.check_unchanged()
        scale = None if self.scale is None else self.scale.load(reading)
        codes = None if self.groups is None else self.groups(reading)
        reading = "buffered" if reading == HEADERS else reading
        if codes is not None:
            matrix = self.header.stored.grouped(self.offset, codes, reading)
            self.header.check_unchanged()
            if matrix.shape != self.stored_shape:
                matrix = matrix[:, : self.stored_shape[1]]
            return matrix.T if self.transposed else matrix
        if reading == "mapped" and self.dtype in UNPACKED:
            reading = "buffered"
        matrix = self.header.matrix(
            self.offset,
            self.stored_shape,
            self.dtype,
            reading,
            row_stride=self.row_stride,
            scale=scale,
            scale_block=None if self.scale is None else self.scale.block,
        )
        self.header.check_unchanged()  # the file that is open now is the one that was checked
        return matrix.T if self.transposed else matrix


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows (axis 0) or columns (axis 1) of a matrix, as runs of (start, stop, step)."""

    axis: int
    runs: tuple[tuple[int, int, int], ...]

    def extent(self) -> int:
        """Return the number of rows or columns."""
        return sum(len(range(*run)) for run in self.runs)


@dataclass(frozen=True, slots=True)
class View:
    """One matrix: extents joined as by `block`, and a cut of the joined matrix.

    `tensor` is the stored tensor that it belongs to, `index` its index in a stack, `part` the name
    of the part that is cut out ("q", "gate"), `head` the number of the attention head, and `layer`
    the number of the layer in an array of all layers.
    """

    name: str
    tensor: str
    grid: tuple[tuple[Extent, ...], ...]
    index: int | None = None
    part: str | None = None
    head: int | None = None
    cut: Cut | None = None
    layer: int | None = None

    @property
    def full_shape(self) -> tuple[int, int]:
        """Shape (m, n) of the joined extents, before the cut."""
        rows = sum(row[0].shape[0] for row in self.grid)
        return rows, sum(extent.shape[1] for extent in self.grid[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) after the cut."""
        m, n = self.full_shape
        if self.cut is None:
            return m, n
        return (self.cut.extent(), n) if self.cut.axis == 0 else (m, self.cut.extent())

    @property
    def nbytes(self) -> int:
        """Stored bytes after the cut."""
        total = sum(extent.nbytes for row in self.grid for extent in row)
        if self.cut is None:
            return total
        return total * self.cut.extent() // self.full_shape[self.cut.axis]

    def matrix(self, reading: str) -> Matrix:
        """Make the matrix; its numbers are read when it is used."""
        parts = [[extent.matrix(reading) for extent in row] for row in self.grid]
        matrix = parts[0][0]
        if len(parts) > 1 or len(parts[0]) > 1:
            from sigmascope.matrices.joins import block

            matrix = block(parts)
        return self.cut_from(matrix)

    def cut_from(self, full: Matrix) -> Matrix:
        """Return the matrix as a part of the joined extents."""
        return full if self.cut is None else _taken(full, self.cut)


def _taken(full: Matrix, cut: Cut) -> Matrix:
    """Return the rows or columns of a cut."""
    from sigmascope.matrices.joins import hstack, vstack

    if cut.axis == 0:
        return vstack([full[start:stop:step] for start, stop, step in cut.runs])
    return hstack([full[:, start:stop:step] for start, stop, step in cut.runs])


@dataclass(frozen=True, slots=True)
class Reading:
    """Interpretation of one stored tensor; `reason` is None exactly where there are views.

    `shape` is the shape of a tensor that is joined from several ranks. `order` is the order of a
    vector's elements, if it differs from the order in the file.
    """

    status: str
    views: tuple[View, ...] = ()
    how: str | None = None
    reason: str | None = None
    shape: tuple[int, ...] | None = None
    order: Cut | None = None


def dimensions(shape: tuple[int, ...]) -> str:
    """Return a shape as text: "2 x 3"."""
    return " x ".join(map(str, shape))


def size_of(shape: tuple[int, ...], bits: int) -> int:
    """Return the bytes of a matrix whose numbers have ``bits`` bits."""
    return prod(shape) * bits // 8
