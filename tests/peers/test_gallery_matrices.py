# SPDX-License-Identifier: BSD-3-Clause
"""The gallery matrices are what they are called: a property of each that only it should have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from tests.peers.gallery import AT_MOST, GALLERY

Array = NDArray[np.float64]


def eigenvalues(A: Array) -> Array:
    return np.asarray(np.sort(np.linalg.eigvals(A).real))


def values(A: Array) -> Array:
    return np.asarray(np.linalg.svd(A, compute_uv=False))


def identity(A: Array) -> Array:
    return np.eye(len(A))


def toeplitz_of(A: Array) -> Array:
    """The Toeplitz matrix with A's first column and row."""
    n = len(A)
    lag = np.subtract.outer(np.arange(n), np.arange(n))
    return np.where(lag >= 0, A[np.abs(lag), 0], A[0, np.abs(lag)])


def angles(n: int, over: float) -> Array:
    return np.arange(1, n + 1) * np.pi / over


PROPERTIES: dict[str, Callable[[Array], tuple[object, object]]] = {
    "binomial": lambda A: (A @ A, 2.0 ** (len(A) - 1) * identity(A)),
    "chebspec": lambda A: (A @ np.ones(len(A)), 0.0),
    "chebvand": lambda A: (A[2], 2 * A[1] ** 2 - 1),
    "chow": lambda A: (np.sum(eigenvalues(A) < 1e-3), len(A) // 2),
    "circul": lambda A: (A[1:, 1:], A[:-1, :-1]),
    "clement": lambda A: (eigenvalues(A), np.arange(1 - len(A), len(A), 2)),
    "clement_symmetric": lambda A: (eigenvalues(A), np.arange(1 - len(A), len(A), 2)),
    "compan": lambda A: (eigenvalues(A)[::-1][:4], 1.0 / np.arange(1, 5)),
    "condex_4": lambda A: (values(A)[[0, len(A) - 4, -1]], [101.0, 101.0, 1.0]),
    "cycol": lambda A: (A[:, : len(A) // 4], A[:, len(A) // 4 : 2 * (len(A) // 4)]),
    "dramadah_1": lambda A: (np.linalg.inv(A), np.rint(np.linalg.inv(A))),
    "dramadah_2": lambda A: (np.linalg.det(A), 1.0),
    "fiedler": lambda A: (np.sum(eigenvalues(A) > 0), 1),
    "frank": lambda A: (np.linalg.det(A), 1.0),
    "gallery_3": lambda A: (eigenvalues(A), [1.0, 2.0, 3.0]),
    "gallery_5": lambda A: (np.linalg.matrix_power(A, 5), 0.0),
    "gcdmat": lambda A: (np.linalg.det(A[:6, :6]), 1 * 1 * 2 * 2 * 4 * 2),
    "grcar": lambda A: (A, toeplitz_of(A)),
    "hadamard": lambda A: (A.T @ A, len(A) * identity(A)),
    "hanowa": lambda A: (np.abs(np.linalg.eigvals(A).imag).max(), len(A) // 2),
    "house": lambda A: (A.T @ A, identity(A)),
    "invhess": lambda A: (np.tril(np.linalg.inv(A), -2), 0.0),
    "invol": lambda A: (A @ A, identity(A)),
    "kms": lambda A: (np.triu(np.linalg.inv(A), 2), 0.0),
    "lauchli": lambda A: (values(A)[0] ** 2, A.shape[1] + np.finfo(float).eps),
    "lehmer": lambda A: (np.triu(np.linalg.inv(A), 2), 0.0),
    "magic": lambda A: (np.r_[A.sum(0), A.sum(1), np.trace(A)], len(A) * (len(A) ** 2 + 1) / 2),
    "magic_of_doubly_even_order": lambda A: (np.linalg.matrix_rank(A), 3),
    "makejcf": lambda A: (np.trace(A @ A), 0.0),
    "minij": lambda A: (
        values(A),
        0.25 / np.sin((2 * np.arange(1, len(A) + 1) - 1) * np.pi / (4 * len(A) + 2)) ** 2,
    ),
    "moler": lambda A: (A, GALLERY["triw"](len(A)).T @ GALLERY["triw"](len(A))),
    "neumann": lambda A: (A @ np.ones(len(A)), 0.0),
    "orthog_-1": lambda A: (A[2], 2 * A[1] ** 2 - 1),
    "orthog_-2": lambda A: (values(A)[1:], np.sqrt(len(A) / 2)),
    "parter": lambda A: (values(A)[0], np.pi),
    "pascal": lambda A: (A[1:, 1:], A[1:, :-1] + A[:-1, 1:]),
    "pascal_lower": lambda A: (A @ A, identity(A)),
    "pei": lambda A: (values(A)[:2], [2 * len(A), len(A)]),
    "poisson": lambda A: (values(A)[0], 8 * np.cos(np.pi / (2 * (len(A) ** 0.5 + 1))) ** 2),
    "prolate": lambda A: (values(A)[0], 1.0),
    "qmult": lambda A: (A.T @ A, identity(A)),
    "randcolu": lambda A: (np.linalg.norm(A, axis=0), 1.0),
    "randcorr": lambda A: (np.diag(A), 1.0),
    "randhess": lambda A: (A.T @ A + np.tril(A, -2), identity(A)),
    "randjorth": lambda A: (values(A)[:4] * values(A)[::-1][:4], 1.0),
    "randsvd_1": lambda A: (values(A)[:2], [1.0, np.sqrt(np.finfo(float).eps)]),
    "randsvd_2": lambda A: (values(A)[[-2, -1]], [1.0, np.sqrt(np.finfo(float).eps)]),
    "randsvd_3": lambda A: (values(A)[[0, -1]], [1.0, np.sqrt(np.finfo(float).eps)]),
    "randsvd_4": lambda A: (np.diff(values(A), 2), 0.0),
    "redheff": lambda A: (np.linalg.det(A), -2.0),  # Mertens' function at 12
    "ris": lambda A: (values(A)[0], np.pi / 2),
    "rosser": lambda A: (eigenvalues(A)[[0, 1, 3, 4, 6]], [-1020.04901843, 0, 1000, 1000, 1020]),
    "sampling": lambda A: (eigenvalues(A), np.arange(len(A))),
    "toeppd": lambda A: (A, toeplitz_of(A)),
    "tridiag": lambda A: (values(A), 4 * np.cos(angles(len(A), 2 * len(A) + 2)) ** 2),
    "triw": lambda A: (np.linalg.inv(A)[0, -1], 2.0 ** (len(A) - 2)),
    "wilson": lambda A: (np.linalg.inv(A), np.rint(np.linalg.inv(A))),
    "wilkinson": lambda A: (A, A[::-1, ::-1]),
}
"""Pairs that should be equal, for a matrix of order 12 or less."""

ORDERS = {"compan": 8, "invol": 6, "parter": 40, "prolate": 40, "ris": 40, "sampling": 8}
"""Where rounding, or a limit that is only approached, wants another order."""


@pytest.mark.parametrize("name", list(PROPERTIES))
def test_a_matrix_is_what_it_is_called(name: str) -> None:
    A = GALLERY[name](min(ORDERS.get(name, 12), AT_MOST.get(name, 12)))
    got, meant = PROPERTIES[name](A)
    meant = np.broadcast_to(np.asarray(meant, dtype=np.float64), np.shape(got))
    assert_allclose(got, meant, rtol=1e-6, atol=1e-6)


def test_inverses_and_factors_of_each_other() -> None:
    assert_allclose(GALLERY["invhilb"](6) @ GALLERY["hilb"](6), np.eye(6), atol=1e-8)
    L = GALLERY["pascal_lower"](9)
    assert_allclose(L @ L.T, GALLERY["pascal"](9))


@pytest.mark.parametrize("name", list(GALLERY))
def test_the_same_order_gives_the_same_matrix(name: str) -> None:
    n = min(20, AT_MOST.get(name, 20))
    A = GALLERY[name](n)
    assert A.dtype == np.float64
    assert n - 4 <= A.shape[1] <= n
    assert np.all(np.isfinite(A))
    np.testing.assert_array_equal(A, GALLERY[name](n))
