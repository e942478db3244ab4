# SPDX-License-Identifier: BSD-3-Clause
"""Products of SciPy sparse matrices, in float64 and in the order of the rows and columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import NonFiniteError
from sigmascope.matrices.arrays import storable
from sigmascope.matrices.refusals import check_real, unsupported

from .evidence import Evidence, checked_shape, door_exponent, hash_of, working_nbytes

_STORED = ("float16", "float32", "float64")
_UNIT = 2.0**-53
_CHUNK = 1 << 20
"""Elements that are squared at a time."""

_WAYS_OUT = (
    "; the real sparse.block_array([[A.real, -A.imag], [A.imag, A.real]]) of shape (2 m, 2 n) has "
    "the singular values of the complex A, each of them twice"
)


def is_sparse(source: object) -> bool:
    """Return whether an object is a sparse matrix that converts to compressed rows."""
    return all(hasattr(source, name) for name in ("shape", "dtype", "nnz", "tocsr"))


class SparseProducts:
    """A sparse matrix; products do not depend on its format, on duplicates, or on stored zeros.

    Products use a copy in float64, so float32 products are rounded only once.
    """

    def __init__(self, source: Any) -> None:
        self.shape = checked_shape(source)
        dtype = np.dtype(source.dtype)
        if dtype.kind == "c":
            raise TypeError(f"a sparse matrix of {dtype} is not supported{_WAYS_OUT}")
        check_real(dtype)
        stored = storable(np.empty(0, dtype)).dtype
        if stored.name not in _STORED:
            raise TypeError(unsupported(dtype))
        self.precision = "float64" if stored == np.float64 else "float32"
        self._source = source
        self._scaled: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks and of the copy, including indices unless the caller's are used."""
        compressed = getattr(self._source, "format", "") == "csr"
        return int(self._source.nnz) * (8 if compressed else 24) + working_nbytes(self.shape)

    def evidence(self, precision: str) -> Evidence:
        """Examine the numbers, and make the scaled copy."""
        rows = _canonical(self._source)
        numbers = storable(rows.data).astype(np.float64)
        _check_finite(numbers, rows)
        exponent = door_exponent(float(np.abs(numbers).max(initial=0.0)))
        numbers = np.ldexp(numbers, -exponent)
        self._scaled = type(rows)((numbers, rows.indices, rows.indptr), shape=self.shape)
        arrays = [(rows.indptr, np.int64), (rows.indices, np.int64), (numbers, np.float64)]
        squares = [
            float(np.square(numbers[start : start + _CHUNK]).sum())
            for start in range(0, len(numbers), _CHUNK)
        ]
        fro2 = math.fsum(squares)
        return Evidence(
            exponent=exponent,
            fro2=fro2,
            norm_is_bound=False,
            fro_norm=math.ldexp(math.sqrt(fro2), exponent),
            absolute_error=_rounding(self._scaled),
            relative_error=0.0,
            fingerprint=hash_of((*self.shape, exponent), arrays),
            looks=1,
            notes=("products with the sparse matrix are sums in float64",),
        )

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the scaled matrix."""
        return np.asarray(self._scaled @ x.astype(np.float64, copy=False))

    def adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the transpose of the scaled matrix."""
        return np.asarray(self._scaled.T @ y.astype(np.float64, copy=False))


def _canonical(source: Any) -> Any:
    """Return a matrix in compressed rows, sorted, without duplicates and stored zeros."""
    rows = source.tocsr()
    if rows.has_canonical_format and np.all(rows.data):
        return rows
    rows = rows.copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def _check_finite(numbers: NDArray[np.float64], rows: Any) -> None:
    finite = np.isfinite(numbers)
    if finite.all():
        return
    first = int(np.argmin(finite))
    row = int(np.searchsorted(rows.indptr, first, side="right")) - 1
    nans = int(np.isnan(numbers).sum())
    raise NonFiniteError(
        f"the matrix holds {nans} NaN and {int(np.sum(~finite)) - nans} infinite entries, the "
        f"first at ({row}, {int(rows.indices[first])})"
    )


def _rounding(scaled: Any) -> float:
    """Return a bound on the spectral norm of the rounding error of products.

    The error of a sum of d products is at most d units of roundoff of |A| |x| (Jeannerod & Rump
    2013). Terms of one sign and size come near this bound. || |A| ||_2 is at most the root of the
    product of the largest row sum and the largest column sum (Schur's test).
    """
    if scaled.nnz == 0:
        return 0.0
    m, n = scaled.shape
    size = type(scaled)((np.abs(scaled.data), scaled.indices, scaled.indptr), shape=(m, n))
    norm = math.sqrt(float((size @ np.ones(n)).max()) * float((size.T @ np.ones(m)).max()))
    terms = max(int(np.diff(scaled.indptr).max()), int(np.bincount(scaled.indices).max()))
    return terms * _UNIT * norm
