# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are known by their products, made of an array: exact, and off by a known size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.results import SVD

Array = NDArray[Any]
Product = Callable[[Array], Array]

KINDS = ("exact", "products in float32", "another adjoint", "not linear")
SIZES = (1e-12, 1e-9, 1e-6)
"""Errors of the last two kinds."""
FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")


def assert_true(result: SVD, array: Array) -> None:
    """Compare values with LAPACK's and residuals of both sides with those measured here."""
    wide = array.astype(np.float64)
    truth = np.linalg.svd(wide, compute_uv=False)
    allowed = result.errors + 1e-14 * truth[0]
    assert np.all(np.abs(result.s - truth[: len(result.s)]) <= allowed)
    if result.U is not None and result.Vt is not None:
        U, V = result.U.astype(np.float64), result.Vt.T.astype(np.float64)
        right = np.linalg.norm(wide @ V - U * result.s, axis=0)
        left = np.linalg.norm(wide.T @ U - V * result.s, axis=0)
        unit = np.finfo(result.U.dtype).eps * truth[0]
        assert np.all(np.maximum(right, left) <= result.residuals + unit)
        np.testing.assert_allclose(
            U.T @ U,
            np.eye(len(result.s)),
            atol=100 * np.finfo(U.dtype).eps if result.U.dtype == U.dtype else 2e-5,
        )


class ByVectors:
    """The products of an array, one vector at a time, without SciPy."""

    def __init__(self, array: Array, dtype: Any = None) -> None:
        self.array, self.shape = array, array.shape
        self.dtype = array.dtype if dtype is None else np.dtype(dtype)

    def matvec(self, x: Array) -> Array:
        return self.array @ x

    def rmatvec(self, y: Array) -> Array:
        return self.array.T @ y


class ByBlocks:
    """The products of an array, many vectors at a time, without SciPy."""

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def matmat(self, x: Array) -> Array:
        return self.array @ x

    def rmatmat(self, y: Array) -> Array:
        return self.array.T @ y


def inexact(kind: str, array: Array, size: float = 0.0) -> Any:
    """Return an operator of SciPy whose products are off by `size` times its norm.

    Those in float32 are of an array whose numbers float32 holds.
    """
    from scipy.sparse.linalg import LinearOperator

    single = array.astype(np.float32)
    rng = np.random.default_rng(7)
    error = rng.standard_normal(array.T.shape)
    error *= size * np.linalg.norm(array, 2) / np.linalg.norm(error, 2)
    products: dict[str, tuple[Product, Product]] = {
        "exact": (lambda x: array @ x, lambda y: array.T @ y),
        "products in float32": (
            lambda x: (single @ x.astype(np.float32)).astype(np.float64),
            lambda y: (single.T @ y.astype(np.float32)).astype(np.float64),
        ),
        "another adjoint": (lambda x: array @ x, lambda y: array.T @ y + error @ y),
        "not linear": (lambda x: array @ (x + size * x**3), lambda y: array.T @ y),
    }
    forward, back = products[kind]
    dtype = array.dtype if kind == "exact" else np.float64
    return LinearOperator(array.shape, matvec=forward, rmatvec=back, dtype=dtype)


def sparse(array: Array, form: str) -> Any:
    """Return a sparse matrix; in "coo" every number is the sum of two, among zeros."""
    from scipy.sparse import coo_array, csr_array

    if form != "coo":
        return csr_array(array).asformat(form)
    i, j = np.nonzero(array)
    numbers = array[i, j]
    half = numbers / 2
    half = np.where(half + half == numbers, half, numbers)
    i, j = (np.concatenate([each, each, np.zeros(1, each.dtype)]) for each in (i, j))
    data = np.concatenate([half, numbers - half, np.zeros(1, array.dtype)])
    return coo_array((data, (i, j)), shape=array.shape)


INEXACT = {f"{kind} by {size:g}": (kind, size) for kind in KINDS[2:] for size in SIZES}
LAYOUTS: dict[str, Callable[[Array], Any]] = {
    **{form: lambda array, form=form: sparse(array, form) for form in FORMATS},
    "by vectors": ByVectors,
    "by blocks": ByBlocks,
    **{kind: lambda array, kind=kind: inexact(kind, array) for kind in KINDS[:2]},
    **{
        name: lambda array, kind=kind, size=size: inexact(kind, array, size)
        for name, (kind, size) in INEXACT.items()
    },
}
"""Every way to hold an array by its products."""
