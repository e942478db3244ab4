# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are used only through products: SciPy sparse matrices and linear operators."""

from __future__ import annotations

from typing import Any

from sigmascope.matrices.array_libraries import root_module

from .evidence import Evidence, Products
from .operators import OperatorProducts, is_operator
from .sparse import SparseProducts, is_sparse

__all__ = ["Evidence", "Products", "products_of"]


def products_of(source: Any) -> Products | None:
    """Return the products of a sparse matrix or an operator; None for anything else.

    Raises
    ------
    TypeError
        If it is complex or has another unsupported dtype, lies on a GPU, or has no product with its
        transpose.
    ValueError
        If it does not have 2 dimensions.
    """
    if is_sparse(source):
        if root_module(source) == "cupyx":
            kind = type(source).__name__
            raise TypeError(f"a sparse {kind} on a GPU is not supported; x.get() copies it")
        return SparseProducts(source)
    return OperatorProducts(source) if is_operator(source) else None
