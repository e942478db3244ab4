# SPDX-License-Identifier: BSD-3-Clause
"""Lazy matrices as sums of tiles; nothing is copied or decoded until it is used."""

from __future__ import annotations

import numbers
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads

from .arrays import check_unmasked, is_array, native_array
from .dtypes import numpy_dtype
from .indexing import Slice, axes_of


class Matrix:
    """A lazy m x n matrix.

    :func:`sigmascope.matrix`, :func:`sigmascope.block` and checkpoints make it.

    Slices, transposes, sums, differences and multiples are lazy too: lists of tiles over the same
    bytes. Overlapping tiles are summed while they are decoded, before any product. ``A - B``
    therefore keeps the accuracy of its entries, however small they are.

    Attributes
    ----------
    native
        The tiles in the form of the native engine. Only this package uses them; they may change.
    """

    __array_ufunc__ = None  # arithmetic with an array must not decode the whole matrix
    __slots__ = ("_shape", "native")

    def __init__(self, native: _core.Matrix) -> None:
        self.native = native
        self._shape = native.rows, native.cols

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns, (m, n)."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of dimensions, 2."""
        return 2

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.native.rows * self.native.cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the stored numbers, from NumPy or ml_dtypes.

        If the storage formats differ, or a format needs ml_dtypes and it is not installed, this is
        the dtype of decoded numbers: float64 if any tile is f64, else float32.
        """
        return numpy_dtype(self.storage, self.precision)

    @property
    def storage(self) -> str:
        """Storage format: f64, f32, f16, bf16, f8_e4m3, f8_e5m2, f4_e2m1, or "mixed"."""
        kinds = set(self.native.dtypes)
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def nbytes(self) -> int:
        """Bytes that all tiles take in memory before they are decoded.

        These are the stored bytes, with two exceptions. A number in f4_e2m1 takes half a byte in a
        file and one byte in memory. A number in a GGML block takes the four bytes of float32, to
        which it is decoded.
        """
        return self.native.nbytes

    @property
    def in_memory(self) -> bool:
        """True if no tile has to be read from a file."""
        return self.native.in_memory

    @property
    def device(self) -> str:
        """Location of the numbers: "cpu" (in memory or in files), or a GPU such as "cuda:0"."""
        index = self.native.device
        return "cpu" if index is None else f"cuda:{index}"

    @property
    def precision(self) -> str:
        """Precision for computing with the matrix: float64 if any tile is f64, else float32."""
        return "float64" if "f64" in self.native.dtypes else "float32"

    @property
    def T(self) -> Matrix:
        """The transpose, a lazy matrix."""
        return Matrix(self.native.transposed())

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.native.rows

    @overload
    def __getitem__(
        self, key: Slice | tuple[()] | tuple[Slice] | tuple[Slice, Slice]
    ) -> Matrix: ...
    @overload
    def __getitem__(
        self, key: SupportsIndex | tuple[SupportsIndex, Slice] | tuple[Slice, SupportsIndex]
    ) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, key: tuple[SupportsIndex, SupportsIndex]) -> np.floating[Any]: ...
    def __getitem__(self, key: Any) -> Matrix | NDArray[Any] | np.floating[Any]:
        """Return a slice of the matrix, lazily, or a decoded row, column or element.

        Slices are lazy: ``A[10:20]``, ``A[:, :64]``, ``A[::2]``. A row ``A[0]``, a column
        ``A[:, 0]`` and an element ``A[0, 0]`` are decoded, in :attr:`precision`.

        Raises
        ------
        IndexError
            If there is no such row or column.
        TypeError
            If the index is an array, a list or booleans.
        """
        (i0, i1, row_step, row), (j0, j1, col_step, column) = axes_of(key, self.shape)
        part = Matrix(self.native.slice(i0, i1, j0, j1, row_step, col_step))
        if not row and not column:
            return part
        numbers = np.asarray(part)
        return numbers[0 if row else slice(None), 0 if column else slice(None)]

    def __mul__(self, factor: float | np.floating[Any] | np.integer[Any]) -> Matrix:
        """Multiply by a number, lazily."""
        if not isinstance(factor, (int, float, np.floating, np.integer)):
            return NotImplemented
        if not np.isfinite(factor):
            raise ValueError(f"a matrix can only be multiplied by a finite number, not by {factor}")
        return Matrix(self.native.scaled(float(factor)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Matrix:
        """Divide by a number, lazily, as a multiplication by 1 / divisor."""
        return self * (1.0 / divisor)

    def __neg__(self) -> Matrix:
        """Negate, lazily."""
        return self * -1.0

    def __add__(self, other: Any) -> Matrix:
        """Add a matrix or an array, lazily.

        The sum is exact in fp32 for bf16, f16 and fp8 terms of similar exponents.
        """
        if not _may_be_term(other):
            return NotImplemented
        return Matrix(self.native.added(_term(self, other).native, 0, 0))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Matrix:
        """Subtract a matrix or an array, lazily."""
        return self + -_term(self, other) if _may_be_term(other) else NotImplemented

    def __rsub__(self, other: Any) -> Matrix:
        """Subtract from an array, lazily."""
        return _term(self, other) + -self if _may_be_term(other) else NotImplemented

    def __matmul__(self, x: ArrayLike) -> NDArray[Any]:
        """Compute A @ x for a vector (n,) or block (n, k), in :attr:`precision`, in one pass."""
        return multiply(self, x)

    def __rmatmul__(self, x: ArrayLike) -> NDArray[Any]:
        """Compute x @ A for a vector (m,) or block (k, m), in :attr:`precision`, in one pass."""
        check_unmasked(x)
        left = np.asarray(x)
        if left.ndim not in (1, 2) or left.shape[-1] != self.shape[0]:
            raise ValueError(f"cannot multiply an array {left.shape} by a matrix {self.shape}")
        return multiply(self.T, left.T).T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Decode the matrix: float64 if any tile is f64 or float64 is requested, else float32."""
        if copy is False:
            raise ValueError("copy=False is impossible: decoding a matrix makes a new array")
        wanted = np.dtype(self.precision if dtype is None else dtype)
        threads = resolve_threads(None)
        if wanted == np.float64:
            return self.native.decode_f64(threads)
        return self.native.decode_f32(threads).astype(wanted, copy=False)

    def __dlpack__(self, **options: Any) -> Any:
        """Decode the matrix, as :meth:`__array__`, for a library that takes DLPack."""
        return np.asarray(self).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the device of decoded numbers, the CPU."""
        return np.empty(0).__dlpack_device__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle paths, offsets and positions of the tiles, but no numbers; all must be in files.

        Unpickling, possibly in another process, opens the files again. It raises CheckpointError if
        one was written in between. Pickling raises TypeError if a tile is only in memory.
        """
        return Matrix, (self.native,)

    def __copy__(self) -> Matrix:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Matrix:
        """Copy the numbers that are in memory; files are shared.

        Raises
        ------
        DeviceError
            If the matrix lies on a GPU.
        """
        return Matrix(self.native.copied())

    def load(self) -> Matrix:
        """Return this matrix in memory: tiles in files are read, as stored; others are shared.

        Any thread may call it. It releases the GIL, so one matrix can be read while another is
        used.
        """
        return Matrix(self.native.loaded())

    def __repr__(self) -> str:
        """Return shape, dtype, size and location."""
        device = self.device
        place = f", on {device}" if device != "cpu" else "" if self.in_memory else ", in files"
        m, n = self.shape
        return f"Matrix({m} x {n}, {self.storage}, {self.nbytes:,} bytes{place})"


def _may_be_term(other: Any) -> bool:
    """Return whether this class adds `other`; other classes may add a matrix themselves."""
    return is_array(other) or isinstance(other, (Matrix, np.generic, list, tuple, numbers.Number))


def _term(a: Matrix, other: Any) -> Matrix:
    """Return an operand of a sum or difference as a matrix of the shape of `a`."""
    if np.ndim(other) == 0 and not isinstance(other, Matrix):
        raise TypeError(
            f"a matrix can only be added to a matrix or an array of its shape, not to {other!r}; "
            "ss.matrix(np.broadcast_to(np.float32(1), A.shape)) is a lazy matrix of ones"
        )
    term = other if isinstance(other, Matrix) else Matrix(native_array(other))
    if term.shape != a.shape:
        raise ValueError(f"cannot add matrices of shapes {a.shape} and {term.shape}")
    return term


@public
def multiply(a: Matrix, x: ArrayLike, *, num_threads: int | None = None) -> NDArray[Any]:
    """Compute A @ x in one pass over A.

    Parameters
    ----------
    a : Matrix (m, n)
    x : array (n,) or (n, k)
    num_threads : int, optional

    Returns
    -------
    array (m,) or (m, k)
        float64 if `a` or `x` is, else float32. Sums are split into blocks of 256 terms.

    See Also
    --------
    aslinearoperator : The same for iterative methods of SciPy.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> ss.multiply(ss.matrix(np.diag([2.0, 3.0])), np.ones(2))
    array([2., 3.])
    """
    check_unmasked(x)
    right = np.asarray(x)
    if right.ndim not in (1, 2) or right.shape[0] != a.shape[1]:
        raise ValueError(f"cannot multiply a matrix {a.shape} by an array {right.shape}")
    if np.iscomplexobj(right):
        raise TypeError("a matrix multiplies only real arrays; pass x.real and x.imag separately")
    wide = right if right.ndim == 2 else right[:, None]
    double = a.precision == "float64" or right.dtype == np.float64
    product = _core.product_f64 if double else _core.product_f32
    options = {"threads": resolve_threads(num_threads), "panel_rows": 0, "load_bytes": 0}
    result: NDArray[Any] = product(a.native, wide, "multiply", progress=None, **options)
    return result if right.ndim == 2 else result[:, 0]
