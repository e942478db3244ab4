# SPDX-License-Identifier: BSD-3-Clause
"""Sources of matrices: arrays, tensors, .npy files, and bytes within other files."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import check_reading, open_regular, state_of
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope.errors import CheckpointError

from .arrays import is_array, native_array, real_array
from .blocks import blocks_in_source, from_blocks
from .byte_source import ByteSource
from .dtypes import ITEMSIZE, PACKED, array_dtype, stride_of_rows
from .matrix import Matrix
from .npy import check_npy_name, read_npy_header
from .refusals import check_kind
from .sliced import is_sliced, of_slices
from .tables import is_table, table_array


@public
def matrix(source: Any, *, dtype: str | None = None) -> Matrix:
    """Make a :class:`Matrix` from an array, a tensor, a table or a .npy file.

    Arrays of floats are not copied.

    Parameters
    ----------
    source : Matrix, array, tensor or path
        A 2-D NumPy array or memmap (float64, float32, float16, ml_dtypes' bfloat16, float8_e4m3fn,
        float8_e5m2 and float4_e2m1fn; any strides); an object with ``__dlpack__`` (a torch tensor,
        a CuPy array; bfloat16 too) or with ``__cuda_array_interface__``; or the path of a ``.npy``
        file, which stays on disk. An array on a GPU stays there, and functions that can compute on
        a GPU use that one. An array that is read by slices (zarr, h5py, tensorstore, dask, netCDF)
        stays where it is, too, and is read by rows.

        Some sources are copied, exactly: integers and booleans (to float64), floats in the other
        byte order, sequences of numbers, and pandas DataFrames (to float64, unless all columns have
        one floating dtype).
    dtype : str, optional
        Read a uint8 or uint16 array as codes of this dtype: "bf16", "f16", "f8_e4m3", "f8_e5m2" or
        "f4_e2m1" (a code in the low half of each byte). A ``.npy`` file with a dtype of ml_dtypes
        needs it, since such a file does not name its dtype.

    Returns
    -------
    Matrix
        It keeps `source` alive. Later changes of the numbers change the matrix; so do changes of
        the file of a memmap. A ``.npy`` file is checked at every read. For an array on a GPU, a
        call sees the writes that were enqueued before it on the current stream of its library.

    Raises
    ------
    TypeError
        If `source` is of another kind or dtype: for example complex or sparse matrices, masked
        elements, objects and text. The message says how to make a matrix of it.
    ValueError
        If `source` does not have 2 dimensions, or an integer is not exact in float64.
    CheckpointError
        If the file is not a .npy file, or is truncated.
    DeviceError
        If `source` lies on a GPU that this build or machine cannot use.

    See Also
    --------
    tensor : A matrix from bytes at an offset of a file.
    block : Shards joined to one matrix.
    open_checkpoint : The matrices of a checkpoint.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> a = ss.matrix(np.arange(6.0).reshape(2, 3))
    >>> a
    Matrix(2 x 3, f64, 48 bytes)
    >>> np.asarray((3 * a - a)[:, 1:])
    array([[ 2.,  4.],
           [ 8., 10.]])
    """
    if isinstance(source, Matrix):
        if dtype not in (None, source.storage):
            raise TypeError(f"a matrix of {source.storage} cannot be read as {dtype}")
        return source
    if isinstance(source, (str, os.PathLike)):
        return _from_npy(os.fspath(source), dtype)
    if not is_array(source):
        check_kind(source)  # a sparse matrix looks like an array that is read by slices
        if is_table(source):
            source = table_array(source)
        elif is_sliced(source):
            return of_slices(source, dtype)
    return Matrix(native_array(source, dtype))


def _from_npy(path: str, requested: str | None) -> Matrix:
    check_npy_name(path)
    with open_regular(path) as file:
        before = state_of(os.fstat(file.fileno()))
        shape, fortran, dtype, offset = read_npy_header(file, path)
    if len(shape) != 2:
        helps = "; NumPy's load with mmap_mode='r' opens a stack" if len(shape) > 2 else ""
        raise ValueError(
            f"{path} holds an array of shape {shape}, but a matrix has 2 dimensions{helps}"
        )
    try:
        kind = array_dtype(dtype, requested)
    except TypeError as error:
        converted = dtype.kind in "iub" or (dtype.kind == "f" and not dtype.isnative)
        helps = f"; matrix(np.load({path!r})) reads and converts it" if converted else ""
        raise TypeError(f"{path}: {error}{helps}") from None
    m, n = shape[::-1] if fortran else shape
    try:
        stored = tensor(path, offset, (m, n), kind)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a readable .npy file: {error}") from None
    if state_of(os.stat(path)) != before:  # the matrix has opened the file by its path
        raise CheckpointError(f"{path}: the file changed while its header was read: try again")
    return stored.T if fortran else stored


@public
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
    """Make a lazy matrix from bytes at an offset of a file, which hold it row by row.

    Parameters
    ----------
    path : path
        The file; it is kept open.
    offset : int
        Position of element (0, 0) in bytes, with any alignment.
    shape : (int, int)
        Rows and columns.
    dtype : str
        "f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", or "f4_e2m1" (two numbers to a byte, the
        first in its low half). Or a GGML block layout, as in GGUF files: "q4_0", "q4_1", "q5_0",
        "q5_1", "q8_0", "q2_k" to "q6_k", "q8_k", "iq4_nl", "iq4_xs", "iq3_s", "iq3_xxs", "iq2_s",
        "iq2_xs", "iq2_xxs", "iq1_s", "iq1_m", "tq1_0", "tq2_0", "mxfp4", "nvfp4". Blocks are
        decoded to float32 when they are read, and their rows have no gaps.
    row_stride : int, optional
        Bytes from one row to the next. By default rows have no gaps; a row of "f4_e2m1" may then
        begin within a byte.
    scale : array (ceil(m / bh), ceil(n / bw)), optional
        Element (i, j) is multiplied by ``scale[i // bh, j // bw]`` (float32).
    scale_block : (int, int), optional
        Shape (bh, bw) of the blocks that share a scale: (m, n) for one scale, (1, n) for one per
        row.
    reading : str
        "buffered", "uncached" or "mapped"; see :mod:`sigmascope._host.files`. A mapped file must
        not be truncated while the matrix is used: the system would end the process. "f4_e2m1" and
        block layouts are unpacked when they are read, and cannot be mapped.

    Raises
    ------
    CheckpointError
        If the file is too short.
    OSError
        If the file cannot be opened.

    See Also
    --------
    matrix : A matrix in memory, or in a file with a header.
    open_checkpoint : Tensors by their names.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> np.arange(6, dtype="<f4").tofile("numbers.bin")
    >>> np.asarray(ss.tensor("numbers.bin", 0, (2, 3), "f32"))
    array([[0., 1., 2.],
           [3., 4., 5.]], dtype=float32)
    """
    m, n = (int(extent) for extent in shape)
    reading = check_reading(reading)
    if dtype in _core.block_layouts():
        native = from_blocks(path, offset, (m, n), dtype, row_stride, reading)
        return _scaled(native, scale, scale_block, os.fspath(path))
    stride = stride_of_rows(offset, (m, n), dtype, row_stride, os.fspath(path))
    native = _core.Matrix.from_file(path, offset, m, n, dtype, stride, reading)
    return _scaled(native, scale, scale_block, os.fspath(path))


def tensor_in_source(
    source: ByteSource,
    offset: int,
    shape: tuple[int, int],
    dtype: str,
    *,
    row_stride: int | None = None,
    scale: NDArray[np.floating[Any]] | None = None,
    scale_block: tuple[int, int] | None = None,
) -> Matrix:
    """Make a matrix from bytes that a Python object reads, as :func:`tensor` does from a file."""
    if dtype in _core.block_layouts():
        native = blocks_in_source(source, offset, shape, dtype, row_stride)
    else:
        stride = stride_of_rows(offset, shape, dtype, row_stride, source.name)
        native = _core.Matrix.from_source(source, offset, *shape, dtype, stride)
    return _scaled(native, scale, scale_block, source.name)


def tensor_in_memory(
    address: int,
    owner: object,
    shape: tuple[int, int],
    dtype: str,
    *,
    row_stride: int | None = None,
    scale: NDArray[np.floating[Any]] | None = None,
    scale_block: tuple[int, int] | None = None,
) -> Matrix:
    """Make a matrix from bytes in memory, as :func:`tensor` does from bytes in a file.

    The matrix keeps `owner` alive. "f4_e2m1", two numbers to a byte, is unpacked into a copy.
    """
    m, n = shape
    if packed := PACKED.get(dtype):
        packs = (ctypes.c_ubyte * (m * n // packed)).from_address(address)
        pairs = np.frombuffer(memoryview(packs), np.uint8)
        codes = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(m, n)
        native = native_array(codes, dtype)
    else:
        size = ITEMSIZE[dtype]
        stride = n * size if row_stride is None else row_stride
        native = _core.Matrix.from_memory(address, owner, dtype, m, n, stride, size)
    return _scaled(native, scale, scale_block, "memory")


def _scaled(
    native: _core.Matrix,
    scale: NDArray[np.floating[Any]] | None,
    scale_block: tuple[int, int] | None,
    where: str,
) -> Matrix:
    if scale is None:
        return Matrix(native)
    bh, bw = scale_block or (native.rows, native.cols)
    grid = np.atleast_2d(real_array(scale)).astype(np.float32)
    if not np.isfinite(grid).all():
        raise ValueError(f"the scales of a tensor in {where} hold NaN or infinity")
    return Matrix(native.with_scale(grid, bh, bw))
