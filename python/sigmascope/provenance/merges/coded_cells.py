# SPDX-License-Identifier: BSD-3-Clause
"""Formats of numbers that are stored as codes with scales, and readers of their cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sigmascope import Matrix

from .block_cells import SIZE, cells_of_blocks, times
from .number_formats import FORMATS, NumberFormat, Reals

Ends = tuple[Reals, Reals]

QUOTIENT = 2.0**-21
"""Relative error of x / scale in float32, also if it is computed as x * (1 / scale).

Division, reciprocal and product err by 2^-24 each; a GPU's fast division by up to 2^-22.
"""


@dataclass(frozen=True, slots=True)
class CodedFormat(NumberFormat):
    """A format whose cells depend on a scale beside each code.

    ``digits`` are those of the largest numbers of a block.
    """

    def round(self, x: Reals) -> Reals:
        """Return the numbers: they are compared with cells, not with decoded numbers."""
        return x


def _coded(name: str, words: str, digits: int) -> CodedFormat:
    return CodedFormat(name, words, digits, -1074, np.inf)


CODED = {
    each.name: each
    for each in (
        _coded("q8_0", "Q8_0", 8),
        _coded("q5_0", "Q5_0", 5),
        _coded("q5_1", "Q5_1", 5),
        _coded("q4_0", "Q4_0", 4),
        _coded("q4_1", "Q4_1", 4),
        _coded("f8_e4m3 scaled", "float8 (e4m3) with scales", 4),
        _coded("f8_e5m2 scaled", "float8 (e5m2) with scales", 3),
        _coded("nf4", "NF4", 4),
        _coded("fp4", "FP4", 3),
        _coded("int8", "int8", 8),
    )
}
"""Formats of codes whose cells are known, by the names in rows."""


def format_named(name: str) -> NumberFormat:
    """Return a number format by its name in a row."""
    return CODED[name] if name in CODED else FORMATS[name]


class NoCellsError(ValueError):
    """A tensor whose scales were searched for, so that its cells are not known."""


class CellReader(Protocol):
    """Reads the cells of the numbers of a matrix."""

    @property
    def number_format(self) -> CodedFormat:
        """The format of the numbers."""
        ...

    @property
    def decoding_error(self) -> float:
        """Largest relative difference of decoded numbers between tools that decode in float32."""
        ...

    def cells(self, rows: slice, columns: slice) -> Ends:
        """Return the ends of the cells of some rows and columns, in C order.

        Raises
        ------
        NoCellsError
            If scales were searched for.
        """
        ...


@dataclass(frozen=True)
class BlockReader:
    """Cells of blocks of GGML, from the bytes of the blocks."""

    number_format: CodedFormat
    codes: Matrix
    columns: int

    @property
    def decoding_error(self) -> float:
        """A code times a factor in float16 is exact; a sum with the least number is rounded."""
        return QUOTIENT if self.number_format.name in ("q4_1", "q5_1") else 0.0

    def cells(self, rows: slice, columns: slice) -> Ends:
        """Return the cells of the blocks that contain these columns, cut to them."""
        nbytes = self.codes.shape[1] // (self.columns // SIZE)
        first, last = columns.start // SIZE, -(-columns.stop // SIZE)
        raw = np.asarray(self.codes[rows, first * nbytes : last * nbytes])
        blocks = cells_of_blocks(self.number_format.name, raw.astype(np.uint8).reshape(-1, nbytes))
        if blocks.searched.any():
            raise NoCellsError(
                f"its scales in {self.number_format.words} were searched for, as with an "
                "importance matrix"
            )
        within = slice(columns.start - first * SIZE, columns.stop - first * SIZE)
        shape = len(raw), (last - first) * SIZE
        low, high = (each.reshape(shape)[:, within] for each in (blocks.low, blocks.high))
        return low.ravel(), high.ravel()


@dataclass(frozen=True)
class ScaledFloatReader:
    """Cells of float8 codes with scales: the cell of the code, times the stored scale.

    The writer divided by the scale, or multiplied with its reciprocal, in float32, and then rounded
    to float8; that a code is the largest says only that the quotient is not smaller.
    """

    number_format: CodedFormat
    code_format: NumberFormat
    codes: Matrix
    scales: Matrix
    decoding_error: float = QUOTIENT

    def cells(self, rows: slice, columns: slice) -> Ends:
        """Return cells of codes, times scales."""
        codes, scales = _read(self.codes, rows, columns), _read(self.scales, rows, columns)
        low, high = self.code_format.cells(codes)
        low = low * np.where(low > 0, 1 - QUOTIENT, 1 + QUOTIENT)
        high = high * np.where(high > 0, 1 + QUOTIENT, 1 - QUOTIENT)
        known = low <= high
        low, high = times(low, high, scales, scales)
        return np.where(known, low, np.inf), np.where(known, high, -np.inf)


@dataclass(frozen=True)
class TableReader:
    """Cells of codes with a table, whose scale is the largest magnitude of a group of numbers.

    The writer divides by the scale and takes the nearest number of the table: the cell reaches to
    the midpoints, and at the ends of the table to -1 and 1.

    Attributes
    ----------
    table
        Numbers of the codes in ascending order, divided by the largest.
    unit
        The largest number of the table.
    scales
        The number of the scale for each number, times `unit` if the table is divided by it.
    reach
        Ends of the scale that the writer used, for each row and column; None if it is stored.
    decoding_error
        Largest relative difference of decoded numbers between tools that decode in float32.
    """

    number_format: CodedFormat
    table: Reals
    unit: float
    codes: Matrix
    scales: Matrix
    reach: ScaleReader | None = None
    decoding_error: float = QUOTIENT

    def cells(self, rows: slice, columns: slice) -> Ends:
        """Return intervals between midpoints, times scales."""
        codes = _read(self.codes, rows, columns) / self.unit
        middles = (self.table[1:] + self.table[:-1]) / 2
        place = np.searchsorted(middles, codes)
        error = QUOTIENT
        low = np.maximum(np.append(-1.0, middles - error)[place], -1.0)
        high = np.minimum(np.append(middles + error, 1.0)[place], 1.0)
        if self.reach is not None:
            return times(low, high, *self.reach.ends(rows, columns))
        scales = np.abs(_read(self.scales, rows, columns)) * self.unit
        # The house's factor of int8, 1 / 127, is rounded to float32.
        return times(low, high, scales * (1 - QUOTIENT), scales * (1 + QUOTIENT))


class ScaleReader:
    """Intervals of scales that are themselves codes (double quantisation).

    The scales of runs of `block` numbers, less their mean, are divided by the largest magnitude of
    a run of 256 of them, and the nearest number of a table is taken.

    Parameters
    ----------
    low, high
        Ends of the scales of all runs.
    block
        Numbers of a run.
    columns
        Columns of the matrix.
    error
        Largest relative error of a scale that is decoded in float32.
    """

    def __init__(
        self, low: Reals, high: Reals, block: int, columns: int, error: float = 0.0
    ) -> None:
        self.error = error
        self._low, self._high = low, high
        self._block, self._columns = block, columns

    def ends(self, rows: slice, columns: slice) -> Ends:
        """Return the ends of the scale of each number, in C order."""
        first = np.arange(rows.start, rows.stop)[:, None] * self._columns
        run = ((first + np.arange(columns.start, columns.stop)) // self._block).ravel()
        return self._low[run], self._high[run]


def _read(matrix: Matrix, rows: slice, columns: slice) -> Reals:
    return np.asarray(np.asarray(matrix[rows, columns]), np.float64).ravel()
