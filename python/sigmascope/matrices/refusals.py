# SPDX-License-Identifier: BSD-3-Clause
"""Refusals of what is not a matrix: messages that say how to make a matrix of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_COMPLEX = (
    "is not supported; the real np.block([[A.real, -A.imag], [A.imag, A.real]]) of shape "
    "(2 m, 2 n) has the singular values of the complex A, each of them twice"
)
MASKED = (
    "a masked array is not supported if elements are masked, since every element of a matrix is a "
    "number: fill them, x.filled(0), or omit the rows that have some, "
    "x[~np.ma.getmaskarray(x).any(1)].data"
)
_INTEGERS = ("int", "uint", "bool")


def dtype_name(source: Any) -> str:
    """Return the name of the dtype of an array, "int32" for torch.int32; "" if it has none."""
    return str(getattr(source, "dtype", "")).rpartition(".")[2]


def holds_integers(source: Any) -> bool:
    """Tell whether an array of any library holds integers or booleans."""
    return dtype_name(source).startswith(_INTEGERS)


def check_kind(source: Any) -> None:
    """Raise TypeError for an object that has a better way to become a matrix; name that way."""
    if refused := refusal(source):
        raise TypeError(refused)
    if dtype_name(source).startswith("complex"):
        kind = type(source).__name__
        raise TypeError(f"a {kind} of {dtype_name(source)} {_COMPLEX}")


def refusal(source: Any) -> str | None:
    """Return why an object is not an array of numbers in memory, with advice; None if it may be.

    It does not look for complex numbers.
    """
    kind = type(source).__name__
    if hasattr(source, "nnz") and hasattr(source, "toarray"):
        return (
            f"a sparse {kind} is not supported, since every element is read; x.toarray() is dense "
            "(svds and randomized_svd take sparse matrices of SciPy)"
        )
    if str(getattr(source, "layout", "")).startswith("torch.sparse"):
        return (
            f"a sparse {kind} is not supported, since every element is read; x.to_dense() is dense"
        )
    if getattr(source, "is_quantized", False) is True:
        return f"a quantised {kind} holds codes, scales and zeros; x.dequantize() decodes them"
    if getattr(source, "is_mkldnn", False) is True:
        return f"a {kind} in the layout of oneDNN (mkldnn) has no strides; x.to_dense() has them"
    if getattr(source, "is_meta", False) is True:
        return f"a {kind} on the device meta has a shape but no numbers; load its weights first"
    if hasattr(source, "state_dict"):
        return f"a {kind} holds many tensors: ss.scan(x) analyses all of them, x.weight may be one"
    if isinstance(source, Mapping):
        return f"a {kind} holds many matrices: ss.scan(x) analyses all of them, x[name] is one"
    if hasattr(source, "matvec") and hasattr(source, "rmatvec"):
        return (
            f"a {kind} has products but no elements; x @ np.eye(x.shape[1]) is its matrix (svds "
            "and randomized_svd take operators)"
        )
    return None


def not_two(shape: tuple[int, ...]) -> str:
    """Return the clause of a message that says why an array is not a matrix, with advice."""
    clause = f"but this array has shape {shape}"
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
