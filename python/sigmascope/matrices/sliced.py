# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that are read by slices: zarr, h5py, tensorstore, dask, netCDF, xarray.

Such an array has a shape and a dtype, and returns requested rows as NumPy arrays or as objects that
NumPy converts. It serves as a source of bytes, row after row. Its matrix need not fit in memory.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.native import _core

from .arrays import check_unmasked, storable
from .byte_source import ByteSource
from .dtypes import array_dtype
from .matrix import Matrix
from .refusals import not_two

_AT_ONCE = 8 << 20
"""Bytes of the rows of one request, unless a chunk has more."""

_ARRAYS = ("__array_interface__", "__array_struct__", "__dlpack__", "__cuda_array_interface__")


def is_sliced(source: object) -> bool:
    """Return whether an object is an array of two or more dimensions that is read by slices."""
    if any(hasattr(type(source), name) for name in _ARRAYS) or not hasattr(source, "dtype"):
        return False
    shape = getattr(source, "shape", None)
    sized = isinstance(shape, tuple) and len(shape) > 1
    return sized and hasattr(source, "ndim") and hasattr(type(source), "__getitem__")


def of_slices(source: Any, codes: str | None) -> Matrix:
    """Make a matrix of an array that is read by slices; the matrix keeps the array.

    Raises
    ------
    ValueError
        If the array does not have two dimensions.
    TypeError
        If a matrix cannot have its dtype.
    """
    if len(source.shape) != 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(tuple(source.shape))}")
    rows = SlicedRows(source, codes)
    m, n = (int(extent) for extent in source.shape)
    stride = n * rows.dtype.itemsize
    return Matrix(_core.Matrix.from_source(rows, 0, m, n, rows.stored, stride))


class SlicedRows(ByteSource):
    """The bytes of an array that is read by slices of rows, one after another."""

    def __init__(self, source: Any, codes: str | None) -> None:
        m, n = (int(extent) for extent in source.shape)
        self._array, self._shape, self._codes = source, (m, n), codes
        declared = np.dtype(getattr(source.dtype, "numpy_dtype", source.dtype))
        empty = np.empty((0, n), declared)
        self.dtype: np.dtype[Any] = (empty if codes else storable(empty)).dtype
        self.stored = array_dtype(self.dtype, codes)
        self.name = f"{type(source).__name__} of {m} x {n}"
        self.size = m * n * self.dtype.itemsize
        self._lock = Lock()  # not every library may be called by several threads

    def __getstate__(self) -> tuple[Any, str | None]:
        return self._array, self._codes

    def __setstate__(self, state: tuple[Any, str | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def identity(self) -> str:
        """Return an empty text: an array does not tell whether it has changed."""
        return ""

    def read_into(self, offset: int, memory: memoryview) -> None:
        """Read bytes by slices of whole rows; slices begin where chunks begin."""
        row = self._shape[1] * self.dtype.itemsize
        step = self._rows_at_once(row)
        into, end = memory.cast("B"), offset + memory.nbytes
        position = offset
        while position < end:
            stop = min((position // row // step + 1) * step * row, end)
            self.fill(position, into[position - offset : stop - offset])
            position = stop

    def fill(self, offset: int, memory: memoryview) -> None:
        """Read bytes by one slice of whole rows."""
        row = self._shape[1] * self.dtype.itemsize
        first, last = offset // row, -(-(offset + memory.nbytes) // row)
        numbers = self._rows(first, last)
        start = offset - first * row
        data = numbers.reshape(-1).view(np.uint8)[start : start + memory.nbytes]
        np.frombuffer(memory, np.uint8)[:] = data

    def _rows(self, first: int, last: int) -> NDArray[Any]:
        with self._lock:
            part = self._array[first:last]
            check_unmasked(part)
            rows = np.asarray(part)
        numbers = np.ascontiguousarray(rows if self._codes else storable(rows))
        if numbers.shape != (last - first, self._shape[1]) or numbers.dtype != self.dtype:
            raise ValueError(
                f"{self.name}: rows {first} to {last} are an array of {numbers.dtype} and shape "
                f"{numbers.shape}, not of {self.dtype} and ({last - first}, {self._shape[1]})"
            )
        return numbers

    def _rows_at_once(self, row: int) -> int:
        """Return the number of rows of a request, a multiple of the rows of a chunk if known."""
        chunk = max(_rows_of_chunks(self._array), 1)
        return max(_AT_ONCE // max(row * chunk, 1), 1) * chunk


def _rows_of_chunks(array: Any) -> int:
    """Return the rows of a chunk, or 1 if the library of the array does not tell them."""
    chunks = getattr(array, "chunks", None)  # zarr, h5py, dask, h5netcdf
    if chunks is None and hasattr(array, "chunk_layout"):  # tensorstore
        chunks = array.chunk_layout.read_chunk.shape
    if chunks is None and callable(getattr(array, "chunking", None)):  # netCDF4
        chunks = array.chunking()
    high = chunks[0] if isinstance(chunks, tuple | list) and chunks else 1
    return int((high[0] if isinstance(high, tuple) else high) or 1)
