# SPDX-License-Identifier: BSD-3-Clause
"""Checks of arrays that become matrices: what a matrix cannot represent is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integers import check_exact, exact_float64

_COMPLEX = (
    "is not supported; the real np.block([[A.real, -A.imag], [A.imag, A.real]]) of shape "
    "(2 m, 2 n) has the singular values of the complex A, each of them twice"
)
MASKED = (
    "a masked array is not supported if elements are masked, since every element of a matrix is a "
    "number: fill them, x.filled(0), or omit the rows that have some, "
    "x[~np.ma.getmaskarray(x).any(1)].data"
)
_NESTED = 4
"""Depth to which nested sequences are checked; no array of this package has more dimensions."""


def check_unmasked(x: Any, nested: int = _NESTED) -> None:
    """Raise TypeError for an array with masked elements, or a sequence that holds one.

    The arbitrary values under a mask would count as numbers.
    """
    if type(x) is np.ndarray:  # most arrays
        return
    if np.ma.is_masked(x):
        raise TypeError(MASKED)
    if isinstance(x, list | tuple) and nested:
        for part in x:
            check_unmasked(part, nested - 1)


def not_two(shape: tuple[int, ...]) -> str:
    """Return the clause of a message that says why an array is not a matrix, with advice."""
    clause = f"this array has shape {shape}"
    if not shape:
        return clause
    if len(shape) == 1:
        return f"{clause}; x[None, :] is one row, x[:, None] is one column"
    return (
        f"{clause}; svds, svdvals, randomized_svd, spectral_density and spectrum take a stack of "
        "matrices (..., m, n); x.reshape(-1, x.shape[-1]) is one matrix"
    )


def check_real(dtype: np.dtype[Any]) -> None:
    """Raise TypeError for a complex dtype, since half of each number would be dropped."""
    if dtype.kind == "c":
        raise TypeError(f"a matrix of {dtype} {_COMPLEX}")


def complex_refusal() -> str:
    """Return the clause of a message on complex numbers, with the real matrix to pass instead."""
    return _COMPLEX


def real_array(x: Any) -> NDArray[np.float64]:
    """Convert an array-like to float64.

    Raises
    ------
    TypeError
        It is masked, complex, or does not hold numbers.
    ValueError
        Its rows differ in length, it holds text, or an integer that float64 does not have.
    """
    check_unmasked(x)
    array = np.asarray(x)
    check_real(array.dtype)
    if array.dtype.kind in "SUmM":
        raise TypeError(unsupported(array.dtype))
    if array.dtype.kind == "O" and any(isinstance(each, complex) for each in array.flat):
        raise TypeError(f"a matrix of complex numbers {_COMPLEX}")
    if array.dtype.kind in "iub":
        return exact_float64(array)
    check_exact(array if isinstance(x, np.ndarray) else x)
    return np.asarray(array, dtype=np.float64)


def storable(x: NDArray[Any]) -> NDArray[Any]:
    """Return an array in a dtype that a matrix may have: as it is, or an exact copy of it.

    Integers and booleans become float64, as in NumPy; floats whose bytes are in the other order are
    turned. Other dtypes that a matrix does not have are left for :func:`unsupported` to refuse.

    Raises
    ------
    ValueError
        If float64 does not have one of the integers.
    """
    if isinstance(x, np.ma.MaskedArray):
        x = x.data
    if x.dtype.kind in "iub":
        return exact_float64(x)
    if x.dtype.kind == "f" and not x.dtype.isnative:
        return x.astype(x.dtype.newbyteorder("="))
    return x


def unsupported(dtype: np.dtype[Any]) -> str:
    """Return the message for an array dtype that a matrix cannot have, with a remedy."""
    check_real(dtype)
    what = f"a matrix of {dtype} is not supported"
    if not dtype.isnative:
        return f"{what}: its bytes are in the other order; x.astype(np.{dtype.name}) swaps them"
    if dtype.kind in "iub":
        exact = " (exact up to 2**53)" if dtype.itemsize == 8 else ""
        return f"{what}; convert it with x.astype(np.float64){exact}"
    if dtype.names is not None:
        joined = "numpy.lib.recfunctions.structured_to_unstructured(x)"
        return f"{what}: it has fields; {joined} joins them"
    if dtype.kind in "SU":
        return f"{what}: it holds text, not numbers; x.astype(np.float64) parses it"
    if dtype.kind in "mM":
        seconds = "(x - x.min()) / np.timedelta64(1, 's')"
        return f"{what}: it holds times, not numbers; {seconds} converts them"
    if dtype.kind == "O":
        converts = "if all are numbers, x.astype(np.float64) converts them"
        return f"{what}: it holds Python objects; {converts}"
    if dtype.kind == "f":
        return f"{what}; x.astype(np.float64) rounds it"
    if dtype.kind == "V" and dtype.type is not np.void:
        return f"{what}; x.astype(np.float32) converts it"
    if dtype.kind == "V":
        return f"{what}; say which dtype its bytes encode: matrix(x, dtype=...)"
    return f"{what}: it holds no numbers"
