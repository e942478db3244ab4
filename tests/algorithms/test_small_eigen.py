# SPDX-License-Identifier: BSD-3-Clause
"""Leading eigenpairs and rows of eigenvectors of small symmetric matrices, against LAPACK."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.algorithms_library import pointer
from tests.support.coverings import grid

Array = NDArray[np.float64]
EPSILON = float(np.finfo(np.float64).eps)


def with_values(values: Array, seed: int) -> Array:
    Q = ks.orthonormal(len(values), len(values), np.random.default_rng(seed))
    G = (Q * values) @ Q.T
    return np.asarray((G + G.T) / 2)


def tridiagonal(diagonal: Array, below: Array) -> Array:
    return np.diag(diagonal) + np.diag(below, -1) + np.diag(below, 1)


def band(half: int, n: int, seed: int) -> Array:
    """Random numbers that decay along the diagonal, like a projection on a block Krylov space."""
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((n, n)) * 0.9 ** np.arange(n)[:, None]
    G[np.abs(np.subtract.outer(np.arange(n), np.arange(n))) > half] = 0
    return np.asarray(np.tril(G) + np.tril(G, -1).T)


def sparse_band(half: int, n: int, seed: int) -> Array:
    """Half of the numbers are zero: a rotation that was not made was once kept with its sign."""
    G = np.tril(band(half, n, seed)) * (np.random.default_rng(seed).random((n, n)) < 0.5)
    return np.asarray(G + np.tril(G, -1).T)


def krylov(n: int, block: int, seed: int) -> Array:
    """The projection on a block Krylov space of a matrix with copies of its largest value."""
    rng = np.random.default_rng(seed)
    values = np.r_[[4.0] * 5, 1 / np.arange(1.0, 4 * n + 1)]
    Q, T = np.zeros((len(values), 0)), np.zeros((n, n))
    X = rng.standard_normal((len(values), block))
    for j in range(0, n, block):
        X, R = np.linalg.qr(X - Q @ (Q.T @ X))
        X = X[:, : n - j]
        if j > 0:
            T[j : j + block, j - block : j] = R[: n - j]
        Q = np.hstack([Q, X])
        X = values[:, None] * X
        T[j : j + block, j : j + block] = (Q.T @ X)[j:]
        X -= Q @ (Q.T @ X)
    return np.asarray(np.tril(T) + np.tril(T, -1).T)


KINDS: dict[str, Callable[[int, int], Array]] = {
    "random": lambda n, seed: with_values(np.random.default_rng(seed).standard_normal(n), seed),
    "decaying": lambda n, seed: with_values(0.5 ** np.arange(n), seed),
    "slow": lambda n, seed: with_values(1 / np.arange(1.0, n + 1), seed),
    "two values": lambda n, seed: with_values(np.where(np.arange(n) < n // 2, 3.0, 1.0), seed),
    "equal at the top": lambda n, seed: with_values(
        np.r_[[2.0] * (n // 3), np.ones(n - n // 3)], seed
    ),
    "nearly equal": lambda n, seed: with_values(1 + 1e-14 * np.arange(n), seed),
    "identity": lambda n, seed: np.eye(n),
    "zero": lambda n, seed: np.zeros((n, n)),
    "diagonal": lambda n, seed: np.diag(np.random.default_rng(seed).permutation(n) * 1.0),
    "rank one": lambda n, seed: np.outer(*2 * [np.random.default_rng(seed).standard_normal(n)]),
    "Wilkinson": lambda n, seed: tridiagonal(np.abs(np.arange(n) - (n - 1) / 2), np.ones(n - 1)),
    "glued": lambda n, seed: tridiagonal(
        np.abs(np.arange(n) % 21 - 10.0), np.where(np.arange(1, n) % 21 == 0, 1e-9, 1.0)
    ),
    "blocks": lambda n, seed: np.kron(np.eye(n // 2 + 1), [[2.0, 1.0], [1.0, 2.0]])[:n, :n],
    **{f"band of {w}": partial(band, w) for w in range(2, 10)},
    "growing band of 8": lambda n, seed: np.ascontiguousarray(band(8, n, seed)[::-1, ::-1]),
    "band with zeros": lambda n, seed: sparse_band(7, n, seed),
    "blocks of 4": lambda n, seed: np.kron(np.eye(n // 4 + 1), np.ones((4, 4)))[:n, :n],
    "tiny band": lambda n, seed: np.where(np.eye(n) > 0, 1.0, 1e-170 * band(3, n, seed)),
    "Krylov": lambda n, seed: krylov(n, 4, seed),
    "Gram": lambda n, seed: (lambda A: A.T @ A)(
        np.random.default_rng(seed).standard_normal((n, n))
    ),
}


def check_vectors(G: Array, values: Array, vectors: Array) -> None:
    """Columns are orthonormal eigenvectors to rounding."""
    n, k = vectors.shape
    scale = float(np.linalg.norm(G, 2))
    assert np.abs(vectors.T @ vectors - np.eye(k)).max() <= 40 * EPSILON * np.sqrt(n)
    assert np.linalg.norm(G @ vectors - vectors * values, axis=0).max() <= 200 * EPSILON * scale


def check_top(native: ctypes.CDLL, G: Array, k: int) -> None:
    n = len(G)
    values, vectors = np.zeros(k), np.zeros((k, n))
    sizes = map(ctypes.c_int64, (n, k))
    native.top_eigenpairs(
        pointer(np.ascontiguousarray(G)), *sizes, pointer(values), pointer(vectors)
    )
    exact = np.linalg.eigvalsh(G)[::-1]
    scale = max(abs(exact[0]), abs(exact[-1]))
    assert np.abs(values - exact[:k]).max() <= 40 * EPSILON * np.sqrt(n) * scale
    check_vectors(G, values, vectors.T)


def check_rows(native: ctypes.CDLL, G: Array, first: int, last: int) -> None:
    n, wanted = len(G), first + last
    k = max(n // 6, 1)
    values, rows, vectors = np.zeros(n), np.zeros((n, wanted)), np.zeros((k, n))
    converged = native.eigen_rows(
        pointer(np.ascontiguousarray(G)),
        *map(ctypes.c_int64, (n, first, last, k)),
        pointer(values),
        pointer(rows),
        pointer(vectors),
    )
    assert converged
    exact, known = np.linalg.eigh(G)
    scale = max(abs(exact[0]), abs(exact[-1]))
    assert np.all(np.diff(values) <= 0)
    assert np.abs(values - exact[::-1]).max() <= 100 * EPSILON * scale
    check_vectors(G, values[:k], vectors.T)
    # f(G), in these rows and columns, is the sum of f(value) times the squares of the rows. It does
    # not depend on the choice of vectors where values are equal.
    chosen = np.r_[np.arange(first), np.arange(n - last, n)]
    ours, theirs = rows, known[chosen].T
    for power in range(4):
        unit = np.where(scale > 0, scale, 1.0)
        left = (ours * (values[:, None] / unit) ** power).T @ ours
        right = (theirs * (exact[:, None] / unit) ** power).T @ theirs
        np.testing.assert_allclose(left, right, rtol=0, atol=100 * EPSILON * np.sqrt(n))


@grid(kind=list(KINDS), n=[5, 24, 63, 130])
def test_leading_pairs(native: ctypes.CDLL, kind: str, n: int) -> None:
    G = KINDS[kind](n, n)
    for k in sorted({1, 2, n // 5, n // 4, n}):
        check_top(native, G, k)


@grid(kind=list(KINDS), n=[1, 2, 9, 24, 63, 130])
def test_rows_of_all_vectors(native: ctypes.CDLL, kind: str, n: int) -> None:
    G = KINDS[kind](n, n)
    for first, last in ((1, 1), (4, 4), (3, 8)):
        check_rows(native, G, min(first, n), min(last, n))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(2, 70), st.integers(-900, 900), st.data())
def test_a_power_of_two_changes_no_bit(
    native: ctypes.CDLL, kind: str, n: int, exponent: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, max(n // 4, 1)))
    G = np.ascontiguousarray(KINDS[kind](n, data.draw(st.integers(0, 9))))
    G[np.abs(G) < 1e-30] = 0  # products of smaller numbers would lose bits in one of the scales
    results = []
    for matrix in (G, np.ascontiguousarray(np.ldexp(G, exponent // 8))):
        values, vectors = np.zeros(k), np.zeros((k, n))
        sizes = map(ctypes.c_int64, (n, k))
        native.top_eigenpairs(pointer(matrix), *sizes, pointer(values), pointer(vectors))
        results.append((values, vectors))
    assert np.array_equal(np.ldexp(results[0][0], exponent // 8), results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
