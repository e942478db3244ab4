# SPDX-License-Identifier: BSD-3-Clause
"""The matrices of stored tensors: what of which files they are, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .formats.entries import Header, TensorEntry
from .quantised.scales import ScaleGrid

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix

PACKED = ("f4_e2m1",)
"""Dtypes of which several numbers share a byte."""

# The engine is native: it is imported when a matrix is made, so that headers can be read without.


@dataclass(frozen=True, slots=True)
class Located:
    """A tensor and the file it stands in."""

    header: Header
    entry: TensorEntry


@dataclass(frozen=True, slots=True)
class Extent:
    """Rows of numbers in a file; of a matrix that is stored turned, its columns."""

    header: Header
    offset: int
    stored_shape: tuple[int, int]
    dtype: str
    nbytes: int
    scale: ScaleGrid | None = None
    row_stride: int | None = None  # in bytes; None: row after row
    turned: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of the matrix."""
        rows, columns = self.stored_shape
        return (columns, rows) if self.turned else (rows, columns)

    def matrix(self, reading: str) -> Matrix:
        """Read the scales, check that the file is unchanged, and make the matrix."""
        from sigmascope.matrices.sources import tensor

        self.header.check_unchanged()
        if reading == "mapped" and self.dtype in PACKED:
            reading = "buffered"  # it is unpacked when it is read
        found = tensor(
            self.header.path,
            self.offset,
            self.stored_shape,
            self.dtype,
            row_stride=self.row_stride,
            scale=None if self.scale is None else self.scale.load(reading),
            scale_block=None if self.scale is None else self.scale.block,
            reading=reading,
        )
        self.header.check_unchanged()  # what is open or mapped now is what was checked before
        return found.T if self.turned else found


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows (axis 0) or columns (axis 1) of a matrix, run after run: (start, stop, step) each."""

    axis: int
    runs: tuple[tuple[int, int, int], ...]

    def extent(self) -> int:
        """How many rows or columns they are."""
        return sum(len(range(*run)) for run in self.runs)


@dataclass(frozen=True, slots=True)
class View:
    """One matrix: extents joined as `block` does, and what is cut out of that.

    `tensor` is the stored tensor it belongs to, `index` its place in a stack, `part` what is cut
    out ("q", "gate"), `head` the number of the attention head that is.
    """

    name: str
    tensor: str
    grid: tuple[tuple[Extent, ...], ...]
    index: int | None = None
    part: str | None = None
    head: int | None = None
    cut: Cut | None = None

    @property
    def whole(self) -> tuple[int, int]:
        """(m, n) of the extents joined."""
        rows = sum(row[0].shape[0] for row in self.grid)
        return rows, sum(extent.shape[1] for extent in self.grid[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of what is left after the cut."""
        m, n = self.whole
        if self.cut is None:
            return m, n
        return (self.cut.extent(), n) if self.cut.axis == 0 else (m, self.cut.extent())

    @property
    def nbytes(self) -> int:
        """Stored bytes of what is left after the cut."""
        total = sum(extent.nbytes for row in self.grid for extent in row)
        if self.cut is None:
            return total
        return total * self.cut.extent() // self.whole[self.cut.axis]

    def matrix(self, reading: str) -> Matrix:
        """Make the matrix; its numbers are read when it is used."""
        parts = [[extent.matrix(reading) for extent in row] for row in self.grid]
        found = parts[0][0]
        if len(parts) > 1 or len(parts[0]) > 1:
            from sigmascope.matrices.joins import block

            found = block(parts)
        return found if self.cut is None else _taken(found, self.cut)


def _taken(whole: Matrix, cut: Cut) -> Matrix:
    from sigmascope.matrices.joins import hstack, vstack

    if cut.axis == 0:
        return vstack([whole[start:stop:step] for start, stop, step in cut.runs])
    return hstack([whole[:, start:stop:step] for start, stop, step in cut.runs])


@dataclass(frozen=True, slots=True)
class Reading:
    """What becomes of one stored tensor; `reason` is None exactly where there are views.

    `shape` is that of a tensor which several ranks hold together.
    """

    status: str
    views: tuple[View, ...] = ()
    how: str | None = None
    reason: str | None = None
    shape: tuple[int, ...] | None = None


def by(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it: 2 x 3."""
    return " x ".join(map(str, shape))


def size_of(shape: tuple[int, ...], bits: int) -> int:
    """Return the bytes of so many numbers."""
    return prod(shape) * bits // 8
