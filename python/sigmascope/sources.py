# SPDX-License-Identifier: BSD-3-Clause
"""Where matrices come from: arrays, tensors, files, and shards of one matrix joined."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .arrays import check_unmasked, real_array, unsupported
from .errors import CheckpointError
from .matrices import Matrix, multiply
from .npy import check_npy_name, read_npy_header
from .reading import check_reading, open_regular

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

_DTYPES = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8_e4m3",
    "float8_e5m2": "f8_e5m2",
    "float4_e2m1fn": "f4_e2m1",
}
ITEMSIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1, "f4_e2m1": 1}
"""Bytes in memory of each dtype that a matrix may have."""
_PACKED = {"f4_e2m1": 2}
"""Numbers that share a byte in a file, the first in its low bits."""


def matrix(source: Any, *, dtype: str | None = None) -> Matrix:
    """Make a :class:`Matrix` of anything that holds one; no copy.

    Parameters
    ----------
    source : Matrix, array, tensor, scipy-free path
        A 2-D NumPy array or memmap (float64, float32, float16, ml_dtypes' bfloat16, float8_e4m3fn,
        float8_e5m2 and float4_e2m1fn; any strides), an object with ``__dlpack__`` on the host (a
        torch tensor, bfloat16 too), or the path of a ``.npy`` file, which stays on disk.
    dtype : str, optional
        Reads a uint8 or uint16 array as the codes of this dtype: "bf16", "f16", "f8_e4m3",
        "f8_e5m2" or "f4_e2m1" (a code in the low half of each byte); a ``.npy`` file of
        ml_dtypes' numbers needs it, since it does not name them.

    Returns
    -------
    Matrix
        It keeps `source` alive, and sees later changes of its numbers.

    Raises
    ------
    TypeError
        If `source` is none of these or has another dtype.
    ValueError
        If it does not have 2 dimensions.
    CheckpointError
        If the file is no .npy file, or is cut short.
    """
    if isinstance(source, Matrix):
        if dtype not in (None, source.dtype):
            raise TypeError(f"a matrix of {source.dtype} cannot be read as {dtype}")
        return source
    if isinstance(source, (str, os.PathLike)):
        return _from_npy(os.fspath(source), dtype)
    check_unmasked(source)
    if not isinstance(source, np.ndarray):
        if hasattr(source, "__dlpack__") and dtype is None:
            return _from_dlpack(source)
        source = _as_array(source)
    kind = _array_dtype(source.dtype, dtype)
    if source.ndim != 2:
        raise ValueError(f"a matrix has 2 dimensions, this array has shape {source.shape}")
    return Matrix(
        _core.Matrix.from_memory(
            source.__array_interface__["data"][0], source, kind, *source.shape, *source.strides
        )
    )


def _as_array(source: Any) -> NDArray[Any]:
    if hasattr(source, "__dlpack__"):
        return np.from_dlpack(source)
    try:
        return real_array(source)
    except (TypeError, ValueError) as error:
        raise TypeError(f"no matrix can be made of a {type(source).__name__}: {error}") from error


def _array_dtype(dtype: np.dtype[Any], asked: str | None) -> str:
    if asked is not None:
        if asked not in ITEMSIZE:
            raise TypeError(f"unknown dtype {asked!r}; known: {', '.join(ITEMSIZE)}")
        if _DTYPES.get(dtype.name) == asked:
            return asked
        # A .npy file holds ml_dtypes' numbers as bytes without a meaning (void).
        codes = dtype.kind == "u" or (dtype.type is np.void and dtype.names is None)
        if codes and dtype.itemsize == ITEMSIZE[asked]:
            return asked
        raise TypeError(f"an array of {dtype} does not hold codes of {asked}")
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise TypeError(unsupported(dtype))
    return _DTYPES[dtype.name]


def _from_dlpack(source: Any) -> Matrix:
    if getattr(source, "requires_grad", False):
        source = source.detach()
    return Matrix(_core.Matrix.from_dlpack(source.__dlpack__()))


def _from_npy(path: str, asked: str | None) -> Matrix:
    check_npy_name(path)
    with open_regular(path) as file:
        shape, fortran, dtype, offset = read_npy_header(file, path)
    if len(shape) != 2:
        raise ValueError(f"{path} holds an array of shape {shape}, a matrix has 2 dimensions")
    try:
        kind = _array_dtype(dtype, asked)
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from None
    m, n = shape[::-1] if fortran else shape
    try:
        stored = tensor(path, offset, (m, n), kind)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is no readable .npy file: {error}") from None
    return stored.T if fortran else stored


def tensor(
    path: str | os.PathLike[str],
    offset: int,
    shape: tuple[int, int],
    dtype: str,
    *,
    row_stride: int | None = None,
    scale: NDArray[np.floating[Any]] | None = None,
    scale_block: tuple[int, int] | None = None,
    reading: str = "buffered",
) -> Matrix:
    """Make a matrix of bytes that lie in a file, row after row; they are read when used.

    Parameters
    ----------
    path : path
        The file; it is kept open.
    offset : int
        Byte of element (0, 0); any alignment.
    shape : (int, int)
        Rows and columns.
    dtype : str
        "f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", or "f4_e2m1": two numbers to a byte, the
        first in its low half.
    row_stride : int, optional
        Bytes from one row to the next; by default rows follow each other without a gap, those of
        "f4_e2m1" within a byte too.
    scale : array (ceil(m / bh), ceil(n / bw)), optional
        Element (i, j) is multiplied by ``scale[i // bh, j // bw]`` (float32).
    scale_block : (int, int), optional
        (bh, bw): (m, n) is per tensor, (1, n) per row, (128, 128) per block.
    reading : str
        "buffered", "uncached" or "mapped"; see :mod:`sigmascope.reading`. A mapped file must not be
        cut short while the matrix is used: the system would end the process. "f4_e2m1" is unpacked
        when it is read, and cannot be mapped.

    Raises
    ------
    CheckpointError
        If the file is too short.
    OSError
        If it cannot be opened.
    """
    m, n = (int(extent) for extent in shape)
    reading = check_reading(reading)
    if dtype not in ITEMSIZE:
        raise ValueError(f"unknown dtype {dtype!r}; known: {', '.join(ITEMSIZE)}")
    least = n * ITEMSIZE[dtype]  # of a packed dtype in numbers, as its stride
    stride = least if row_stride is None else row_stride * _PACKED.get(dtype, 1)
    if offset < 0 or m < 0 or n < 0 or stride < least:
        raise ValueError(f"offset {offset}, shape {shape}, row_stride {stride} (at least {least})")
    if offset + m * stride >= 2**63:
        raise CheckpointError(f"{os.fspath(path)} cannot hold {m} rows of {stride} bytes")
    native = _core.Matrix.from_file(path, offset, m, n, dtype, stride, reading)
    if scale is not None:
        bh, bw = scale_block or (m, n)
        grid = np.atleast_2d(real_array(scale)).astype(np.float32)
        if not np.isfinite(grid).all():
            raise ValueError(f"the scales of a tensor in {os.fspath(path)} hold NaN or infinity")
        native = native.with_scale(grid, bh, bw)
    return Matrix(native)


def block(parts: Sequence[Sequence[Any]]) -> Matrix:
    """Join shards into one matrix, as ``numpy.block`` does, lazily.

    Parameters
    ----------
    parts : list of lists
        Rows of matrices (anything that :func:`matrix` takes), of equal heights within a row and
        equal total widths; dtypes may differ.

    Raises
    ------
    ValueError
        If the shapes do not fit; both are named.
    """
    if len(parts) == 0 or any(len(row) == 0 for row in parts):
        raise ValueError("block needs at least one matrix in every row")
    return vstack([hstack(row) for row in parts])


def vstack(parts: Sequence[Any]) -> Matrix:
    """Join matrices of equal width, one below the other, lazily; ValueError if widths differ."""
    return hstack([matrix(part).T for part in parts], _names=("width", 1)).T


def hstack(parts: Sequence[Any], *, _names: tuple[str, int] = ("height", 0)) -> Matrix:
    """Join matrices of equal height, side by side, lazily; ValueError if heights differ."""
    matrices = [matrix(part) for part in parts]
    if not matrices:
        raise ValueError("nothing to join")
    rows = matrices[0].shape[0]
    for part in matrices:
        if part.shape[0] != rows:
            raise ValueError(f"cannot join matrices of {_names[0]} {rows} and {part.shape[0]}")
    joined = _core.Matrix(rows, sum(part.shape[1] for part in matrices))
    column = 0
    for part in matrices:
        joined = joined.added(part._native, 0, column)
        column += part.shape[1]
    return Matrix(joined)


def outer(u: NDArray[np.floating], v: NDArray[np.floating]) -> Matrix:
    """Make u v^T of two vectors, lazily: m + n numbers are held.

    A tile whose rows are one and the same, times a scale for each. Scales are float32, so that of
    numbers that are more, what rounding takes makes a tile of its own.
    """
    check_unmasked((u, v))
    rows = matrix(np.broadcast_to(v, (len(u), len(v))))._native
    high = u.astype(np.float32)
    parts = [high, low] if (low := (u - high).astype(np.float32)).any() else [high]
    tiles = [Matrix(rows.with_scale(part[:, None], 1, len(v))) for part in parts]
    return sum(tiles[1:], tiles[0])


def partly_loaded(a: Matrix, room: int) -> tuple[Matrix, int]:
    """Read the rows that come first into memory, or the columns of a matrix stored by columns.

    Returns
    -------
    Matrix, int
        The same matrix, and how many bytes of it are in memory now, at most `room`.
    """
    turned = a._native.column_major
    b = a.T if turned else a
    rows = min(b.shape[0] * room // b.nbytes, b.shape[0])
    if rows == 0:
        return a, 0
    first = b[:rows].load()
    both = vstack([first, b[rows:]])
    return both.T if turned else both, first.nbytes


def aslinearoperator(a: Any) -> LinearOperator:
    """The matrix as a ``scipy.sparse.linalg.LinearOperator`` (extra ``scipy``), in float64.

    Raises
    ------
    ImportError
        Without SciPy.
    """
    try:
        from scipy.sparse.linalg import LinearOperator
    except ImportError as error:
        message = "aslinearoperator needs SciPy: pip install 'sigmascope[scipy]'"
        raise ImportError(message) from error
    held = matrix(a)

    def forward(x: NDArray[Any]) -> NDArray[Any]:
        return multiply(held, np.asarray(x, dtype=np.float64))

    def adjoint(y: NDArray[Any]) -> NDArray[Any]:
        return multiply(held.T, np.asarray(y, dtype=np.float64))

    return LinearOperator(
        held.shape,
        matvec=forward,
        rmatvec=adjoint,
        matmat=forward,
        rmatmat=adjoint,
        dtype=np.float64,
    )
