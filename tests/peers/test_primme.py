# SPDX-License-Identifier: BSD-3-Clause
"""PRIMME's test problems for its svds, written anew from what they are, for this API.

Python/tests.py and tests/ of https://github.com/primme/primme (BSD-3-Clause; older files LGPL, of
which nothing but the definitions is used here).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

import sigmascope as ss
from tests.peers.checks import Truth, called, gathered, of_randomized, of_svds, of_values
from tests.peers.drawn import elastic_rod
from tests.peers.structured import banded, tridiag
from tests.support.coverings import grid

Array = NDArray[np.float64]


def mikota(n: int) -> Array:
    """L^-1 A L^-T of Mikota's pair: eigenvalues 1, 4, 9, ..., n^2."""
    off = np.arange(n - 1, 0, -1.0)
    root = np.sqrt(np.arange(1.0, n + 1.0))
    A = banded(n, {-1: -off, 0: np.arange(2 * n - 1, 0, -2), 1: -off})
    return root[:, None] * A * root


def diagonal(n: int) -> Array:
    return np.diag(np.arange(1.0, n + 1.0))


def lauchli_like(m: int, n: int, c: float) -> Array:
    """A row of ones over a diagonal from 1 down to 5 c, m x n."""
    k = min(m - 1, n)
    A = np.zeros((m, n))
    A[0] = 1.0
    A[np.arange(1, k + 1), np.arange(k)] = np.linspace(1.0, 5 * c, k)
    return A


def rectangle(m: int, n: int) -> Array:
    """Sparse and badly scaled by columns, as the least-squares problem rect.mtx is."""
    rng = np.random.default_rng(201)
    A = rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.05)
    return A * np.geomspace(1.0, 1e-3, n) + np.eye(m, n)


def lund(n: int) -> Array:
    """Like LUNDA: a stiffness matrix, entries up to 1e8, condition 1e6, values in near pairs."""
    side = int(n**0.5)
    T, one = tridiag(side), np.eye(side)
    K = np.kron(T @ T, one) + 2.0 * np.kron(T, T) + np.kron(one, T @ T)
    graded = np.geomspace(1.0, 0.1, side * side)
    return 1e7 * graded[:, None] * K * graded


def checked(A: NDArray[np.floating], ks: tuple[int, ...], tol: float) -> None:
    t, problems = Truth.of(A), []
    n = len(t.sigma)
    for k in (k for k in ks if k <= n):
        for vectors in (True, False):
            result, warned = called(ss.svds, A, k, tol=tol, vectors=vectors, method="krylov")
            where = f"svds k={k}, tol={tol:.1g}, vectors={vectors}"
            problems += gathered(where, of_svds(result, t, tol, warned, must=True))
        problems += gathered(f"randomized k={k}", of_randomized(ss.randomized_svd(A, k), t))
    assert not problems, "\n".join(problems)


@grid(
    problem=["mikota", "lauchli, tall", "lauchli, wide", "diagonal", "rod"],
    n=[2, 3, 5, 10, 50, 100],
    dtype=["float32", "float64"],
)
def test_problems(problem: str, n: int, dtype: str) -> None:
    """test_primme_svds, of the largest, with its sizes, counts and tolerances."""
    eps = float(np.finfo(dtype).eps)
    c = eps**0.333
    made = {
        "mikota": lambda: mikota(n),
        "lauchli, tall": lambda: lauchli_like(2 * n, n, c),
        "lauchli, wide": lambda: lauchli_like(n, 2 * n, c),
        "diagonal": lambda: diagonal(n),
        "rod": lambda: elastic_rod(n),
    }
    checked(made[problem]().astype(dtype), (1, 2, 3, 5, 10, 15), 0.1 * eps**0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 10, 100])
def test_laplacians(n: int, dtype: str) -> None:
    """tests/Makefile, tests_primme_interface: laplaceN.mtx, the largest of them, eps = 1e-6."""
    checked(tridiag(n).astype(dtype), (1, 2, 3, 4, 5, 6, 15, 100), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(120, 60), (60, 120)])
def test_rectangular(shape: tuple[int, int], dtype: str) -> None:
    """tests/tests/test_201 and test_207: 5 largest of a rectangle, eps = 1e-6."""
    checked(rectangle(*shape).astype(dtype), (5,), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stiffness(dtype: str) -> None:
    """LUNDA, in the driver's examples: order 147, largest values."""
    checked(lund(144).astype(dtype), (1, 5, 10), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("null", [1, 3, 10])
def test_singular(null: int, dtype: str) -> None:
    """A null space, and every value asked for: those of rounding are within their bounds."""
    A = mikota(30)
    A[:, :null] = A[:, null : 2 * null]
    A = A.astype(dtype)
    checked(A, (30 - null, 30), 1e-4)
    every = ss.svdvals(A)
    assert not of_values(every.values, every.errors, Truth.of(A))


def test_statistics_of_a_run() -> None:
    """test_return_stats: what a run took is in its result."""
    result = ss.svds(diagonal(400), 3, tol=1e-6, method="krylov")
    assert result.passes > 1
    assert result.columns >= 3
    assert result.seconds > 0
    assert result.method == "block Krylov"


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_matrix", "aslinearoperator"])
def test_matrix_types(kind: str) -> None:
    """test_primme_svds_matrix_types: the same values of sparse formats and of an operator."""
    A = diagonal(10)
    make = linalg.aslinearoperator if kind == "aslinearoperator" else getattr(sparse, kind)
    result = ss.svds(make(A), 3, tol=1e-9)
    np.testing.assert_allclose(result.s, [10.0, 9.0, 8.0], rtol=1e-12)
    np.testing.assert_allclose(np.abs(result.U), np.eye(10)[:, [9, 8, 7]], atol=1e-7)
