# SPDX-License-Identifier: BSD-3-Clause
"""Objects that are not matrices: messages that say how to make a matrix of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arrays import complex_refusal

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
        raise TypeError(f"a {kind} of {dtype_name(source)} {complex_refusal()}")


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
