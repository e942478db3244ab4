# SPDX-License-Identifier: BSD-3-Clause
"""The interface of a matrix that is used through products, and facts about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sigmascope.matrices.refusals import not_two

_AT_ONCE = 1 << 20
"""Elements that are copied at a time to be hashed."""

_COLUMNS = 33
"""Columns of the widest block by which a search multiplies a matrix before the last step."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts about a matrix that are measured before it is decomposed.

    Attributes
    ----------
    exponent : int
        Products multiply by the matrix times 2^-exponent, the "scaled" matrix below.
    fro2 : float
        ||A||_F^2 of the scaled matrix, or an upper bound that fails in three cases of a million.
    norm_is_bound : bool
        Whether `fro2` is a bound instead of exact to rounding.
    fro_norm : float
        ||A||_F of the matrix itself, to the error of products; NaN if it is not known.
    absolute_error : float
        Spectral norm of the rounding error of products, in sigma of the scaled matrix.
    relative_error : float
        The same in units of sigma_1.
    fingerprint : int
        64 bits, a hash of the numbers.
    looks : int
        Number of products with the matrix and its transpose that this took.
    notes : tuple of str
        Remarks for the result.
    defects : callable, optional
        Returns bounds on the errors of the transpose of the scaled matrix for left vectors (m, k)
        and their values (k,) in sigma of the scaled matrix, by one more product.
    """

    exponent: int
    fro2: float
    norm_is_bound: bool
    fro_norm: float
    absolute_error: float
    relative_error: float
    fingerprint: int
    looks: int
    notes: tuple[str, ...] = ()
    defects: Callable[[NDArray[Any], NDArray[np.float64]], NDArray[np.float64]] | None = None


class Products(Protocol):
    """A matrix whose products are computed by Python code."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def precision(self) -> str:
        """Precision of its numbers, "float32" or "float64"."""

    @property
    def nbytes(self) -> int:
        """Bytes of copies of the matrix, and of blocks for its products."""

    def evidence(self, precision: str) -> Evidence:
        """Examine the matrix for products with blocks of a precision; call it before products.

        Raises
        ------
        NonFiniteError
            If the matrix or its products contain NaN or infinity.
        """

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the scaled matrix."""

    def adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the transpose of the scaled matrix."""


def working_nbytes(shape: tuple[int, int], columns: int = 0) -> int:
    """Return the bytes of the float64 blocks before and after a product with these columns."""
    return 16 * sum(shape) * max(columns, _COLUMNS)


def checked_shape(source: Any) -> tuple[int, int]:
    """Return the shape of a matrix; ValueError unless it has two dimensions."""
    shape = tuple(int(extent) for extent in source.shape)
    if len(shape) != 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(shape)}")
    return shape


def door_exponent(size: float) -> int:
    """Return the exponent e for which size * 2^-e is in [1/2, 1)."""
    return int(np.frexp(size)[1]) if size > 0 else 0


def hash_of(shape: tuple[int, ...], arrays: Iterable[tuple[NDArray[Any], type]]) -> int:
    """Return 64 bits that depend on a shape and on arrays, each converted to a dtype."""
    state = hashlib.blake2b(repr(shape).encode(), digest_size=8)
    for array, dtype in arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, _AT_ONCE):
            state.update(flat[start : start + _AT_ONCE].astype(dtype).tobytes())
    return int.from_bytes(state.digest(), "little")
