# SPDX-License-Identifier: BSD-3-Clause
"""Gallery matrices that are drawn at random, orthogonal, or made for given singular values.

Written from their definitions in N. J. Higham, "The Test Matrix Toolbox for MATLAB (version 3.0)",
1995, and in the documentation of MATLAB's `gallery`. Each function takes the order n; the same
order gives the same matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .formulas import indices
from .structured import banded, toeplitz, tridiag

Array = NDArray[np.float64]


def orthogonal(n: int, rng: np.random.Generator) -> Array:
    """From Haar's measure: the QR factorisation of a Gaussian matrix, with a positive diagonal."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return np.asarray(Q * np.sign(np.diag(R)))


def with_values(m: int, n: int, sigma: Array, rng: np.random.Generator) -> Array:
    """U diag(sigma) V^T, m x n, with min(m, n) values."""
    k = len(sigma)
    return (orthogonal(m, rng)[:, :k] * sigma) @ orthogonal(n, rng)[:, :k].T


def spread(mode: int, n: int, cond: float, rng: np.random.Generator) -> Array:
    """Values from 1 to 1 / cond: LAPACK's modes 1 to 5 (DLATM1), which are those of randsvd.

    One large value; one small value; geometrically spaced; evenly spaced; at random with the
    logarithm uniform.
    """
    i = np.arange(n)
    if mode == 1:
        return np.where(i == 0, 1.0, 1.0 / cond)
    if mode == 2:
        return np.where(i == n - 1, 1.0 / cond, 1.0)
    if mode == 3:
        return np.asarray(cond ** (-i / max(n - 1, 1)))
    if mode == 4:
        return 1.0 - i / max(n - 1, 1) * (1.0 - 1.0 / cond)
    return np.sort(cond ** -rng.uniform(size=n))[::-1]


def randsvd(mode: int) -> Callable[[int], Array]:
    """Condition 1 / sqrt(eps) and values in one of the modes of :func:`spread`."""

    def made(n: int) -> Array:
        rng = np.random.default_rng(mode)
        values = spread(mode, n, 1.0 / np.sqrt(np.finfo(float).eps), rng)
        return with_values(n, n, values, rng)

    return made


def randsvd_of_rank(n: int) -> Array:
    """Half of its values are 0 to rounding."""
    rng = np.random.default_rng(6)
    return with_values(n, n, np.r_[np.linspace(2.0, 1.0, n // 2), np.zeros(n - n // 2)], rng)


def orthog(kind: int) -> Callable[[int], Array]:
    """The real kinds of gallery("orthog"): 1, 2, 4, 5, 6 orthogonal, -1 and -2 only nearly."""

    def made(n: int) -> Array:
        i, j = indices(n)
        if kind == 1:
            return np.asarray(np.sqrt(2.0 / (n + 1)) * np.sin(i * j * np.pi / (n + 1)))
        if kind == 2:
            return np.asarray(2.0 / np.sqrt(2 * n + 1) * np.sin(2 * i * j * np.pi / (2 * n + 1)))
        if kind == 4:
            return _helmert(n)
        if kind == 5:
            angle = 2.0 * np.pi * (i - 1) * (j - 1) / n
            return np.asarray((np.sin(angle) + np.cos(angle)) / np.sqrt(n))
        if kind == 6:
            return np.asarray(np.sqrt(2.0 / n) * np.cos((i - 0.5) * (j - 0.5) * np.pi / n))
        shift = 1.0 if kind == -1 else 0.5
        return np.asarray(np.cos((i - 1) * (j - shift) * np.pi / (n - 1 if kind == -1 else n)))

    return made


def _helmert(n: int) -> Array:
    i, j = indices(n)
    below = 1.0 / np.sqrt(np.maximum(i * (i - 1), 1.0))
    A = np.where(j < i, below, np.where(j == i, -(i - 1) * below, 0.0))
    A[0] = 1.0 / np.sqrt(n)
    return np.asarray(A)


def house(n: int) -> Array:
    """A Householder reflection."""
    v = np.random.default_rng(1).standard_normal(n)
    return np.asarray(np.eye(n) - 2.0 * np.outer(v, v) / (v @ v))


def qmult(n: int) -> Array:
    return orthogonal(n, np.random.default_rng(2))


def randhess(n: int) -> Array:
    """Orthogonal and upper Hessenberg: a product of rotations."""
    A = np.eye(n)
    for i, angle in enumerate(np.random.default_rng(3).uniform(0.0, 2.0 * np.pi, n - 1)):
        c, s = np.cos(angle), np.sin(angle)
        A[:, i : i + 2] = A[:, i : i + 2] @ np.array([[c, s], [-s, c]])
    return A


def randjorth(n: int) -> Array:
    """J-orthogonal with condition 1 / sqrt(eps): values in pairs x, 1 / x."""
    rng, half = np.random.default_rng(4), n // 2
    top = np.finfo(float).eps ** -0.25
    c = np.cosh(np.log(top) * np.linspace(1.0, 0.0, half))
    C, S = np.diag(c), np.diag(np.sqrt(c**2 - 1.0))
    left, right = ([orthogonal(half, rng) for _ in range(2)] for _ in range(2))
    zero = np.zeros((half, half))
    U, V = (np.block([[Q[0], zero], [zero, Q[1]]]) for Q in (left, right))
    return np.asarray(U @ np.block([[C, -S], [-S, C]]) @ V)


def randcolu(n: int) -> Array:
    """Columns of unit length and given values: sum of squares n, one of them far above."""
    rng = np.random.default_rng(5)
    x = np.linspace(0.1, 1.0, n) ** 2
    A = np.diag(x * np.sqrt(n / (x @ x))) @ orthogonal(n, rng)
    return _unit_columns(A)


def randcorr(n: int) -> Array:
    """A correlation matrix with given eigenvalues, most of them tiny."""
    rng = np.random.default_rng(6)
    x = np.sqrt(np.geomspace(1.0, 1e-6, n))
    A = _unit_columns(np.diag(x * np.sqrt(n / (x @ x))) @ orthogonal(n, rng))
    return np.asarray(A.T @ A)


def _unit_columns(A: Array) -> Array:
    """Rotate pairs of columns until each has length 1 (Davies & Higham 2000); values stay."""
    A = A.copy()
    for _ in range(len(A)):
        squares = np.einsum("ij,ij->j", A, A)
        i, j = int(np.argmin(squares)), int(np.argmax(squares))
        if squares[j] - squares[i] < 1e-14:
            break
        # (c a_i - s a_j)^2 = 1: a quadratic in t = s / c
        cross, low, high = A[:, i] @ A[:, j], squares[i] - 1.0, squares[j] - 1.0
        t = (cross + np.sqrt(max(cross**2 - low * high, 0.0))) / high
        c = 1.0 / np.sqrt(1.0 + t * t)
        A[:, [i, j]] = A[:, [i, j]] @ (c * np.array([[1.0, t], [-t, 1.0]]))
    return A


def rando(n: int) -> Array:
    return np.random.default_rng(7).choice([-1.0, 0.0, 1.0], (n, n))


def uniformdata(n: int) -> Array:
    return np.random.default_rng(8).random((n, n))


def normaldata(n: int) -> Array:
    return np.random.default_rng(9).standard_normal((n, n))


def integerdata(n: int) -> Array:
    return np.random.default_rng(10).integers(-9, 10, (n, n)).astype(np.float64)


def compar(n: int) -> Array:
    """The comparison matrix of a random one: its moduli, off the diagonal with a minus."""
    A = np.abs(normaldata(n))
    return np.asarray(2.0 * np.diag(np.diag(A)) - A)


def cycol(n: int) -> Array:
    """A few random columns, repeated cyclically: of rank n / 4."""
    return np.tile(np.random.default_rng(11).standard_normal((n, n // 4)), 5)[:, :n]


def krylov(n: int) -> Array:
    """[x, B x, B^2 x, ...] of a random B: the columns grow and line up."""
    B, columns = np.random.default_rng(12).standard_normal((n, n)), [np.ones(n)]
    for _ in range(n - 1):
        columns.append(B @ columns[-1])
    return np.column_stack(columns)


def toeppd(n: int) -> Array:
    """A sum of n random cosines, positive definite."""
    rng = np.random.default_rng(13)
    weight, angle = rng.random(n), 2.0 * np.pi * rng.random(n)
    row = np.cos(np.arange(n)[:, None] * angle) @ weight
    return toeplitz(row, row)


def rschur(n: int) -> Array:
    """Upper quasi-triangular: 2 x 2 blocks with complex eigenvalues, random above them."""
    A = np.triu(np.random.default_rng(14).standard_normal((n, n)), 2)
    i = np.arange(n // 2)
    A[2 * i, 2 * i] = A[2 * i + 1, 2 * i + 1] = (i + 1.0) ** 2 / 10.0
    A[2 * i, 2 * i + 1], A[2 * i + 1, 2 * i] = 1.0, -1.0
    return A


def makejcf(n: int) -> Array:
    """A Jordan block of 0 in a random basis of condition 1000: its powers are harder to see."""
    rng = np.random.default_rng(15)
    X = with_values(n, n, np.geomspace(1.0, 1e-3, n), rng)
    return np.asarray(np.linalg.solve(X, banded(n, {1: 1.0}) @ X))


def augment(n: int) -> Array:
    """[I, B; B^T, 0] of a random tall B: values that say what those of B are."""
    m = 2 * n // 3
    B = np.random.default_rng(16).standard_normal((m, n - m))
    return np.block([[np.eye(m), B], [B.T, np.zeros((n - m, n - m))]])


def wathen(n: int) -> Array:
    """Finite elements of eight nodes with random densities, on a strip of one row."""
    elements = max((n - 3) // 5, 1)
    e1 = np.array([[6, -6, 2, -8], [-6, 32, -6, 20], [2, -6, 6, -6], [-8, 20, -6, 32]])
    e2 = np.array([[3, -8, 2, -6], [-8, 16, -8, 20], [2, -8, 3, -8], [-6, 20, -8, 16]])
    element = np.block([[e1, e2], [e2.T, e1]]) / 45.0
    A = np.zeros((5 * elements + 3, 5 * elements + 3))
    for e, density in enumerate(100.0 * np.random.default_rng(17).random(elements)):
        nodes = 5 * e + np.array([5, 3, 0, 1, 2, 4, 7, 6])
        A[np.ix_(nodes, nodes)] += density * element
    return A


def elastic_rod(n: int) -> Array:
    """A fixed and free rod of steel: entries of 1e7 and 1e9 (PRIMME, Python/tests.py)."""
    stiffness = tridiag(n) * 2.1e11 * 1e-4 * n
    stiffness[-1, -1] /= 2.0
    return stiffness


def low_rank_matrix(m: int, n: int, rank: float, tail: float, seed: int = 0) -> Array:
    """As sklearn.datasets.make_low_rank_matrix: a bell of width `rank`, and a tail."""
    rng, i = np.random.default_rng(seed), np.arange(min(m, n)) / rank
    sigma = (1 - tail) * np.exp(-(i**2)) + tail * np.exp(-0.1 * i)
    U = np.linalg.qr(rng.standard_normal((m, len(i))))[0]
    return np.asarray((U * sigma) @ np.linalg.qr(rng.standard_normal((n, len(i))))[0].T)


def term_frequencies() -> Array:
    """60 x 55, a fifth of it filled, as a small matrix of term frequencies is."""
    rng = np.random.default_rng(42)
    filled = rng.random((60, 55)) < 0.2
    return np.where(filled, 1 + np.log(rng.random((60, 55))), 0.0)
