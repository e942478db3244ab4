# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of one tensor in the base, the merged file and the donors, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sigmascope import LowRank, Matrix
from sigmascope.extension.pairs import Elements

from .blocks import FLOAT32, Block, Change, Formats, join
from .number_formats import FORMATS, NumberFormat, Reals
from .number_rows import Indices

BLOCK = 1 << 17
"""Numbers of a block: a megabyte of each operand in float64."""

SAMPLE = 1 << 13
"""Numbers on which each order is tried first: what they refute, the whole refutes."""

SAMPLE_ROWS = 32


Sample = tuple[Indices, Block]
"""Places of numbers in a tensor, and the numbers."""

NO_PLACES: Indices = np.zeros(0, dtype=np.intp)


class Donor(Protocol):
    """The change of a matrix by one donor."""

    @property
    def number_format(self) -> NumberFormat:
        """The format of a model's numbers, or of an adapter's factors."""
        ...

    def change(self, rows: slice, columns: slice, base: Reals) -> Change:
        """Return the change of some rows and columns, whose base is given, in C order."""
        ...


@dataclass(frozen=True)
class ModelDonor:
    """Another model F of the same base: the change is F - W."""

    matrix: Matrix

    @property
    def number_format(self) -> NumberFormat:
        """The format of the model's numbers."""
        return FORMATS[self.matrix.storage]

    def change(self, rows: slice, columns: slice, base: Reals) -> Change:
        """Return F - W; NaN where both are infinite."""
        with np.errstate(invalid="ignore"):
            exact = numbers(self.matrix[rows, columns]) - base
        return Change(exact, np.zeros_like(exact))


class AdapterDonor:
    """A product s B A of an adapter; its factors are held in float64.

    Parameters
    ----------
    product
        The product.
    factors
        A format to which the merger has rounded the factors first, or None.
    """

    def __init__(self, product: LowRank, factors: NumberFormat | None = None) -> None:
        self.number_format = FORMATS[product.B.storage]
        self.product, self._scale = product, float(product.scale)
        self._left, self._right = as_float64(product.B), as_float64(product.A)
        if factors is not None:
            self._left, self._right = factors.round(self._left), factors.round(self._right)
        rank = self._right.shape[0]
        # |float32 product - exact| <= 2^-24 (r + 2) |B| |A| <= 2^-24 (r + 2) ||b_i|| ||a_j||
        factor = FLOAT32 * (rank + 2) * abs(self._scale)
        self._left_norms = factor * np.linalg.norm(self._left, axis=1)
        self._right_norms = np.linalg.norm(self._right, axis=0)

    def change(self, rows: slice, columns: slice, base: Reals) -> Change:
        """Return s B A, and the bound of the error of a product in float32."""
        exact = self._scale * (self._left[rows] @ self._right[:, columns])
        error = np.outer(self._left_norms[rows], self._right_norms[columns])
        return Change(exact.ravel(), error.ravel(), self._scale or 1.0)


def as_float64(matrix: Matrix) -> Reals:
    """Return the numbers of a matrix, which float64 holds exactly."""
    return np.asarray(np.asarray(matrix), dtype=np.float64)


def numbers(matrix: Matrix) -> Reals:
    """Return the numbers of a matrix in C order."""
    return as_float64(matrix).ravel()


class Source(Protocol):
    """The numbers of one tensor in all operands."""

    @property
    def formats(self) -> Formats:
        """The formats that a merger may have rounded to."""
        ...

    @property
    def count(self) -> int:
        """The number of numbers."""
        ...

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Read all numbers: the index of the first number of each block, and the block."""
        ...

    def place(self, index: int) -> list[int]:
        """Return the indices of a number in the tensor from its index in C order."""
        ...

    def sample(self) -> Sample:
        """Read some numbers that a donor changes, from all parts of the tensor if possible."""
        ...


def first_changed(source: Source) -> Sample:
    """Read the first numbers of a tensor that a donor changes."""
    pieces: list[Block] = []
    places: list[Indices] = []
    live = 0
    for start, block in source.blocks():
        if not block.changes:
            return NO_PLACES, block.part(slice(0, 0))
        changed = np.flatnonzero(~block.still)[: SAMPLE - live]
        pieces.append(block.part(changed))
        places.append(start + changed)
        live += len(changed)
        if live >= SAMPLE:
            break
    return np.concatenate(places), join(pieces)


@dataclass(frozen=True)
class MatrixSource:
    """The numbers of a matrix, or of its first rows."""

    base: Matrix
    merged: Matrix
    donors: Sequence[Donor]
    formats: Formats
    height: int

    @property
    def count(self) -> int:
        """The number of numbers."""
        return self.height * self.base.shape[1]

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Read whole rows, about 131,072 numbers at a time."""
        width = self.base.shape[1]
        step = max(1, BLOCK // max(width, 1))
        for top in range(0, self.height, step):
            rows = slice(top, min(top + step, self.height))
            yield top * width, self._block(rows, slice(0, width))

    def _block(self, rows: slice, columns: slice) -> Block:
        base = numbers(self.base[rows, columns])
        merged = numbers(self.merged[rows, columns])
        changes = tuple(donor.change(rows, columns, base) for donor in self.donors)
        return Block(base, merged, changes, self.formats)

    def place(self, index: int) -> list[int]:
        """Return row and column of a number."""
        return list(divmod(index, self.base.shape[1]))

    def sample(self) -> Sample:
        """Read parts of rows that are spread over the matrix."""
        width = self.base.shape[1]
        count = min(self.height, SAMPLE_ROWS)
        span = min(width, -(-SAMPLE // count))
        pieces, places = [], []
        for k in range(count):
            row = (2 * k + 1) * self.height // (2 * count)
            left = (width - span) * k // max(count - 1, 1)
            pieces.append(self._block(slice(row, row + 1), slice(left, left + span)))
            places.append(row * width + np.arange(left, left + span))
        block = join(pieces)
        if not self.donors:
            return NO_PLACES, block.part(slice(0, 0))
        live = np.flatnonzero(~block.still)
        if len(live) < min(64, self.count):
            return first_changed(self)
        return np.concatenate(places)[live], block.part(live)


class Numbers(Protocol):
    """The numbers of a tensor of any shape, in chunks."""

    @property
    def count(self) -> int:
        """The number of numbers."""
        ...

    def __iter__(self) -> Iterator[NDArray[Any]]: ...

    def place(self, index: int) -> list[int]:
        """Return the indices of a number from its index in C order."""
        ...


class HeldNumbers:
    """The numbers of a short tensor, read once."""

    def __init__(self, elements: Elements) -> None:
        self._chunks = [np.asarray(chunk) for chunk in elements]
        self.count = elements.count
        self.place = elements.place

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter(self._chunks)


def held(elements: Elements) -> Numbers:
    """Return the numbers of a tensor, in memory if they are at most one block."""
    return HeldNumbers(elements) if elements.count <= BLOCK else elements


@dataclass(frozen=True)
class VectorSource:
    """The numbers of a tensor of any shape without a spectrum, such as a norm or a bias."""

    base: Numbers
    merged: Numbers
    models: Sequence[Numbers]
    formats: Formats

    @property
    def count(self) -> int:
        """The number of numbers."""
        return self.base.count

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Read the chunks of the stored tensors."""
        start = 0
        for chunks in zip(self.base, self.merged, *self.models, strict=True):
            base, merged, *models = (np.asarray(chunk, np.float64).ravel() for chunk in chunks)
            changes = tuple(Change(model - base, np.zeros_like(base)) for model in models)
            yield start, Block(base, merged, changes, self.formats)
            start += len(base)

    def place(self, index: int) -> list[int]:
        """Return the indices of a number."""
        return self.base.place(index)

    def sample(self) -> Sample:
        """Read the first numbers that a donor changes."""
        return first_changed(self)
