# SPDX-License-Identifier: BSD-3-Clause
"""Elements of a stored tensor of any shape, in chunks of bounded memory.

Vectors, scalars and integers have no spectrum; their elements are read here. The native module
decodes floating point codes, as it does for matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError

from .formats.entries import DTYPE_BITS, TensorEntry, is_integer
from .quantised.scales import decode_exponents
from .reading import EXPONENTS, MATRIX_DTYPES
from .views import Cut, Located

CHUNK = 1 << 17
"""Number of elements that are read at a time: one megabyte in float64."""

_CODES = {"F64": "<f8", "F32": "<f4", "F16": "<u2", "BF16": "<u2"}

Numbers = NDArray[np.float64] | NDArray[np.integer]


def is_decoded(entry: TensorEntry) -> bool:
    """Return whether the elements of a tensor can be decoded."""
    known = is_integer(entry.dtype) or entry.dtype in MATRIX_DTYPES or entry.dtype == EXPONENTS
    return entry.foreign is None and known and entry.dtype in DTYPE_BITS


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of one stored tensor, in C order.

    Attributes
    ----------
    pieces
        Places of the tensor in files; the pieces of several ranks follow each other.
    reading
        File mode; see :mod:`sigmascope._host.files`. Tensors that are not contiguous are mapped.
    order
        Order of the elements of a vector, if it differs from the order in the file.
    """

    pieces: tuple[Located, ...]
    reading: str
    order: Cut | None = None

    @property
    def count(self) -> int:
        """Number of elements in all pieces."""
        return sum(prod(piece.entry.shape) for piece in self.pieces)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor; several pieces of one shape are stacked along a new first axis."""
        shapes = [piece.entry.shape for piece in self.pieces]
        if len(shapes) == 1:
            return shapes[0]
        return (len(shapes), *shapes[0]) if len(set(shapes)) == 1 else (self.count,)

    @property
    def dtype(self) -> str:
        """Format in which an element is stored: "f32", "bf16", "i64", "bool" and so on."""
        return self.pieces[0].entry.dtype.lower()

    @property
    def integer(self) -> bool:
        """True if the elements are integers or booleans, which are not rounded."""
        return is_integer(self.pieces[0].entry.dtype)

    def once(self) -> Elements:
        """Return one piece if all are equal: every rank stores norms, for example."""
        first, *others = (Elements((piece,), self.reading, self.order) for piece in self.pieces)
        same = all(
            other.count == first.count
            and all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
            for other in others
        )
        return first if same else self

    def place(self, index: int) -> list[int]:
        """Return the multi-index of an element from its index in C order."""
        return [int(i) for i in np.unravel_index(index, self.shape)] if self.shape else []

    def check_unchanged(self) -> None:
        """Raise CheckpointError if a file has changed since it was opened."""
        for piece in self.pieces:
            piece.header.check_unchanged()

    def __iter__(self) -> Iterator[Numbers]:
        """Iterate over chunks of `CHUNK` numbers: float64, or integers of the stored type.

        Raises
        ------
        CheckpointError
            The file changed since it was opened, or ends early.
        """
        for piece in self.pieces:
            piece.header.check_unchanged()
            for start in range(0, prod(piece.entry.shape), CHUNK):
                stop = min(start + CHUNK, prod(piece.entry.shape))
                yield _numbers(self._codes(piece, start, stop), piece.entry.dtype)
            piece.header.check_unchanged()

    def _codes(self, piece: Located, start: int, stop: int) -> NDArray[np.generic]:
        """Read the codes of elements start .. stop of a piece."""
        if self.order is None:
            return self._stored(piece, start, stop)
        codes = self._stored(piece, 0, prod(piece.entry.shape))
        return np.concatenate([codes[slice(*run)] for run in self.order.runs])[start:stop]

    def _stored(self, piece: Located, start: int, stop: int) -> NDArray[np.generic]:
        """Read the codes of elements start .. stop in the order of the file."""
        entry, path = piece.entry, piece.header.path
        kind = _code_dtype(entry.dtype)
        if entry.strides is not None:
            return _strided(piece, kind).flat[start:stop]
        offset, nbytes = entry.offset + start * kind.itemsize, (stop - start) * kind.itemsize
        raw = piece.header.read(offset, nbytes, self.reading)
        if len(raw) != nbytes:
            raise CheckpointError(
                f"{path}: tensor {entry.name!r}: {len(raw)} of {nbytes} bytes at {offset}"
            )
        return np.frombuffer(raw, dtype=kind)


def _code_dtype(dtype: str) -> np.dtype[np.generic]:
    if dtype in _CODES:
        return np.dtype(_CODES[dtype])
    size = DTYPE_BITS[dtype] // 8
    return np.dtype(f"<i{size}" if dtype[0] == "I" else f"<u{size}")


def _strided(piece: Located, kind: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Map a tensor that is not contiguous; a page is read only when it is used."""
    entry = piece.entry
    strides = entry.strides or ()
    span = 1 + sum((n - 1) * step for n, step in zip(entry.shape, strides, strict=True))
    codes = piece.header.mapped(entry.offset, span * kind.itemsize).view(kind)
    steps = tuple(step * kind.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(codes, entry.shape, steps, writeable=False)


def _numbers(codes: NDArray[np.generic], dtype: str) -> Numbers:
    if is_integer(dtype):
        return codes != 0 if dtype == "BOOL" else codes  # type: ignore[return-value]
    if dtype == EXPONENTS:
        return decode_exponents(codes).astype(np.float64)
    from sigmascope.matrices.sources import matrix

    name = MATRIX_DTYPES[dtype]
    row = np.ascontiguousarray(codes)[None, :]
    numbers: NDArray[np.float64] = np.asarray(matrix(row, dtype=name), dtype=np.float64)[0]
    return numbers
