# SPDX-License-Identifier: BSD-3-Clause
"""Matrices as tiles that add up: arrays, files, shards, differences; nothing is copied or decoded until it is used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .threads import resolve_threads

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

_DTYPES = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8_e4m3",
    "float8_e5m2": "f8_e5m2",
}
ITEMSIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1}
"""Stored bytes of each dtype that a matrix may have."""


class Matrix:
    """A lazy m x n matrix; make one with :func:`matrix`, :func:`block` or :func:`open_checkpoint`.

    Slices, transposes, sums, differences and multiples are lazy too: they are lists of tiles over
    the same bytes. Overlapping tiles are summed while they are decoded, before any product, so that
    ``A - B`` keeps the accuracy of its entries however small they are.
    """

    __array_priority__ = 20.0
    __slots__ = ("_native",)

    def __init__(self, native: _core.Matrix) -> None:
        self._native = native

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self._native.rows, self._native.cols

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._native.rows * self._native.cols

    @property
    def dtype(self) -> str:
        """How it is stored: f64, f32, f16, bf16, f8_e4m3, f8_e5m2, or "mixed"."""
        kinds = set(self._native.dtypes)
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def nbytes(self) -> int:
        """Bytes as stored, over all tiles."""
        return self._native.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether no tile has to be read from a file."""
        return self._native.in_memory

    @property
    def precision(self) -> str:
        """The precision that computing with it needs: float64 if any tile is f64, else float32."""
        return "float64" if "f64" in self._native.dtypes else "float32"

    @property
    def T(self) -> Matrix:
        """The transpose, lazily."""
        return Matrix(self._native.transposed())

    def __getitem__(self, key: Any) -> Matrix:
        """Rows and columns by slices of step 1, lazily: ``A[10:20]``, ``A[:, :64]``."""
        rows, cols = key if isinstance(key, tuple) else (key, slice(None))
        (i0, i1), (j0, j1) = _bounds(rows, self.shape[0]), _bounds(cols, self.shape[1])
        return Matrix(self._native.slice(i0, i1, j0, j1))

    def __mul__(self, factor: float) -> Matrix:
        """A multiple, lazily."""
        if not isinstance(factor, (int, float, np.floating, np.integer)):
            return NotImplemented
        if not np.isfinite(factor):
            raise ValueError(f"a matrix can be multiplied by a finite number, not {factor}")
        return Matrix(self._native.scaled(float(factor)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Matrix:
        """A multiple by 1/divisor, lazily."""
        return self * (1.0 / divisor)

    def __neg__(self) -> Matrix:
        """-A, lazily."""
        return self * -1.0

    def __add__(self, other: Matrix) -> Matrix:
        """A sum, lazily: exact in fp32 for bf16, f16 and fp8 terms of similar exponents."""
        if not isinstance(other, Matrix):
            return NotImplemented
        if self.shape != other.shape:
            raise ValueError(f"cannot add matrices of shapes {self.shape} and {other.shape}")
        return Matrix(self._native.added(other._native, 0, 0))

    def __sub__(self, other: Matrix) -> Matrix:
        """A difference, lazily."""
        return self + (-other) if isinstance(other, Matrix) else NotImplemented

    def __matmul__(self, x: ArrayLike) -> NDArray[Any]:
        """A @ x for a NumPy vector (n,) or block (n, k), in :attr:`precision`; one pass over A."""
        return multiply(self, x)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Decode it all: float64 if any tile is f64 or float64 is asked for, else float32."""
        if copy is False:
            raise ValueError("decoding a matrix makes a new array; copy=False cannot be met")
        wanted = np.dtype(self.precision if dtype is None else dtype)
        threads = resolve_threads(None)
        if wanted == np.float64:
            return self._native.decode_f64(threads)
        return self._native.decode_f32(threads).astype(wanted, copy=False)

    def __repr__(self) -> str:
        """Shape, dtype and size."""
        place = "" if self.in_memory else ", in files"
        return f"Matrix({self.shape[0]} x {self.shape[1]}, {self.dtype}, {self.nbytes:,} bytes{place})"


def _bounds(key: Any, extent: int) -> tuple[int, int]:
    if not isinstance(key, slice):
        raise TypeError(f"a matrix is indexed by slices, not {key!r}; write A[{key!r}:{key!r} + 1]")
    start, stop, step = key.indices(extent)
    if step != 1:
        raise ValueError(f"slices of a matrix have step 1, not {step}")
    return start, max(start, stop)


def matrix(source: Any, *, dtype: str | None = None) -> Matrix:
    """Make a :class:`Matrix` of anything that holds one; no copy.

    Parameters
    ----------
    source : Matrix, array, tensor, scipy-free path
        A 2-D NumPy array or memmap (float64, float32, float16, ml_dtypes' bfloat16, float8_e4m3fn
        and float8_e5m2; any strides), an object with ``__dlpack__`` on the host (a torch tensor,
        bfloat16 too), or the path of a ``.npy`` file, which stays on disk.
    dtype : str, optional
        Reads a uint8 or uint16 array as the codes of this dtype: "bf16", "f16", "f8_e4m3" or
        "f8_e5m2".

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
    """
    if isinstance(source, Matrix):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _from_npy(os.fspath(source))
    if not isinstance(source, np.ndarray):
        if hasattr(source, "__dlpack__"):
            return _from_dlpack(source)
        source = np.asarray(source, dtype=np.float64)
    kind = _array_dtype(source.dtype, dtype)
    if source.ndim != 2:
        raise ValueError(f"a matrix has 2 dimensions, this array has shape {source.shape}")
    return Matrix(
        _core.Matrix.from_memory(
            source.__array_interface__["data"][0], source, kind, *source.shape, *source.strides
        )
    )


def _array_dtype(dtype: np.dtype[Any], asked: str | None) -> str:
    if asked is not None:
        if asked not in ITEMSIZE:
            raise TypeError(f"unknown dtype {asked!r}; known: {', '.join(ITEMSIZE)}")
        if _DTYPES.get(dtype.name) == asked:
            return asked
        if dtype.kind == "u" and dtype.itemsize == ITEMSIZE[asked]:
            return asked
        raise TypeError(f"an array of {dtype} does not hold codes of {asked}")
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise TypeError(
            f"a matrix of {dtype} is not supported; convert it, for example with .astype(float)"
        )
    return _DTYPES[dtype.name]


def _from_dlpack(source: Any) -> Matrix:
    if getattr(source, "requires_grad", False):
        source = source.detach()
    return Matrix(_core.Matrix.from_dlpack(source.__dlpack__()))


def _from_npy(path: str) -> Matrix:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise TypeError(f"{path} is not a .npy file of one array")
    if array.ndim != 2:
        raise ValueError(f"{path} holds an array of shape {array.shape}, a matrix has 2 dimensions")
    if array.dtype.name not in _DTYPES or not array.dtype.isnative:
        raise TypeError(f"{path} holds an array of {array.dtype}, which is not supported")
    fortran = not array.flags.c_contiguous
    shape = array.shape[::-1] if fortran else array.shape
    stored = tensor(path, int(array.offset), (shape[0], shape[1]), _DTYPES[array.dtype.name])
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
    mapped: bool = False,
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
        "f64", "f32", "f16", "bf16", "f8_e4m3" or "f8_e5m2".
    row_stride : int, optional
        Bytes from one row to the next; by default rows follow each other.
    scale : array (ceil(m / bh), ceil(n / bw)), optional
        Element (i, j) is multiplied by ``scale[i // bh, j // bw]`` (float32).
    scale_block : (int, int), optional
        (bh, bw): (m, n) is per tensor, (1, n) per row, (128, 128) per block.
    mapped : bool
        Map the file instead of reading it at positions: for files that are warm and small.

    Raises
    ------
    CheckpointError
        If the file is too short.
    OSError
        If it cannot be opened.
    """
    m, n = (int(extent) for extent in shape)
    if dtype not in ITEMSIZE:
        raise ValueError(f"unknown dtype {dtype!r}; known: {', '.join(ITEMSIZE)}")
    least = n * ITEMSIZE[dtype]
    stride = least if row_stride is None else row_stride
    if offset < 0 or m < 0 or n < 0 or stride < least:
        raise ValueError(f"offset {offset}, shape {shape}, row_stride {stride} (at least {least})")
    native = _core.Matrix.from_file(os.fspath(path), offset, m, n, dtype, stride, mapped)
    if scale is not None:
        bh, bw = scale_block or (m, n)
        grid = np.atleast_2d(np.asarray(scale, dtype=np.float32))
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
    if not parts or not all(parts):
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


def multiply(a: Matrix, x: ArrayLike, *, num_threads: int | None = None) -> NDArray[Any]:
    """A @ x.

    Parameters
    ----------
    a : Matrix (m, n)
    x : array (n,) or (n, k)
    num_threads : int, optional

    Returns
    -------
    array (m,) or (m, k)
        float64 if `a` or `x` is, else float32; sums are cut into blocks of 256 terms.
    """
    right = np.asarray(x)
    wide = right if right.ndim == 2 else right[:, None]
    if right.ndim not in (1, 2) or wide.shape[0] != a.shape[1]:
        raise ValueError(f"cannot multiply a matrix {a.shape} by an array {right.shape}")
    double = a.precision == "float64" or right.dtype == np.float64
    product = _core.product_f64 if double else _core.product_f32
    options = {"threads": resolve_threads(num_threads), "panel_rows": 0, "load_bytes": 0}
    result = product(a._native, wide, "multiply", progress=None, **options)
    return result if right.ndim == 2 else result[:, 0]


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
        raise ImportError("aslinearoperator needs SciPy: pip install 'sigmascope[scipy]'") from error
    held = matrix(a)

    def forward(x: NDArray[Any]) -> NDArray[Any]:
        return multiply(held, np.asarray(x, dtype=np.float64))

    def adjoint(y: NDArray[Any]) -> NDArray[Any]:
        return multiply(held.T, np.asarray(y, dtype=np.float64))

    return LinearOperator(
        held.shape, matvec=forward, rmatvec=adjoint, matmat=forward, rmatmat=adjoint, dtype=np.float64
    )
