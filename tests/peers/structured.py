# SPDX-License-Identifier: BSD-3-Clause
"""Gallery matrices that are banded, triangular, Toeplitz, or put together from blocks.

Written from their definitions in N. J. Higham, "The Test Matrix Toolbox for MATLAB (version 3.0)",
1995, and in the documentation of MATLAB's `gallery`. Each function takes the order n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .formulas import indices

Array = NDArray[np.float64]


def banded(n: int, diagonals: dict[int, ArrayLike]) -> Array:
    """The n x n matrix with these diagonals, each a number or as long as the diagonal is."""
    A = np.zeros((n, n))
    for offset, values in diagonals.items():
        length = n - abs(offset)
        A += np.diag(np.broadcast_to(np.asarray(values, dtype=np.float64), length), offset)
    return A


def toeplitz(column: ArrayLike, row: ArrayLike) -> Array:
    """The Toeplitz matrix with this first column and, but for its first entry, this first row."""
    c, r = np.asarray(column, dtype=np.float64), np.asarray(row, dtype=np.float64)
    both = np.r_[c[::-1], r[1:]]
    return both[len(c) - 1 - np.arange(len(c))[:, None] + np.arange(len(r))[None, :]]


def tridiag(n: int) -> Array:
    return banded(n, {-1: -1.0, 0: 2.0, 1: -1.0})


def toeppen(n: int) -> Array:
    return banded(n, {-2: 1.0, -1: -10.0, 1: 10.0, 2: 1.0})


def grcar(n: int) -> Array:
    return banded(n, {-1: -1.0, 0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0})


def jordbloc(n: int) -> Array:
    return banded(n, {0: 1.0, 1: 1.0})


def forsythe(n: int) -> Array:
    """A Jordan block of 0 with sqrt(eps) in its corner: singular but for that."""
    A = banded(n, {1: 1.0})
    A[-1, 0] = np.sqrt(np.finfo(float).eps)
    return A


def smoke(n: int) -> Array:
    """The real part of the matrix whose pseudospectrum is a smoke ring."""
    A = banded(n, {0: np.cos(2.0 * np.pi * np.arange(1, n + 1) / n), 1: 1.0})
    A[-1, 0] = 1.0
    return A


def clement(n: int) -> Array:
    """Zero diagonal; eigenvalues n - 1, n - 3, ..., with both signs."""
    return banded(n, {-1: np.arange(1, n), 1: np.arange(n - 1, 0, -1)})


def clement_symmetric(n: int) -> Array:
    """The same symmetrised: singular values in pairs."""
    values = np.sqrt(np.arange(1, n) * np.arange(n - 1, 0, -1))
    return banded(n, {-1: values, 1: values})


def dorr(n: int) -> Array:
    """Row diagonally dominant and badly conditioned, theta = 0.01."""
    theta, h = 0.01, 1.0 / (n + 1)
    i = np.arange(1, n + 1)
    early = i <= (n + 1) // 2
    lean = (0.5 - i * h) / h
    lower = np.where(early, -theta / h**2, -theta / h**2 + lean)
    upper = np.where(early, -theta / h**2 - lean, -theta / h**2)
    return banded(n, {-1: lower[1:], 0: -(lower + upper), 1: upper[:-1]})


def lesp(n: int) -> Array:
    x = np.arange(2.0, n + 1.0)
    return banded(n, {-1: 1.0 / x, 0: -(2.0 * np.r_[x, n + 1.0] + 1.0), 1: x})


def wilkinson(n: int) -> Array:
    """W_n^+: eigenvalues in pairs, the largest of which agree to rounding."""
    return banded(n, {-1: 1.0, 0: np.abs(np.arange(n) - (n - 1) / 2), 1: 1.0})


def gearmat(n: int) -> Array:
    A = banded(n, {-1: 1.0, 1: 1.0})
    A[0, -1], A[-1, 0] = 1.0, -1.0
    return A


def hanowa(n: int) -> Array:
    """Blocks of diagonals: singular values in pairs."""
    half = n // 2
    D = np.diag(np.arange(1.0, half + 1.0))
    return np.block([[-np.eye(half), -D], [D, -np.eye(half)]])


def leslie(n: int) -> Array:
    A = banded(n, {-1: 1.0})
    A[0] = np.arange(n, 0, -1)
    return A


def compan(n: int) -> Array:
    """The companion matrix of a polynomial with roots 1 / 1, 1 / 2, ..., 1 / n."""
    A = banded(n, {-1: 1.0})
    A[0] = -np.poly(1.0 / np.arange(1.0, n + 1.0))[1:]
    return A


def triw(n: int) -> Array:
    """Ones on the diagonal, -1 above it: the least singular value is about 2^(2 - n)."""
    return np.eye(n) - np.triu(np.ones((n, n)), 1)


def gfpp(n: int) -> Array:
    """Where pivoting lets entries grow by 2^(n - 1)."""
    A = np.eye(n) - np.tril(np.ones((n, n)), -1)
    A[:, -1] = 1.0
    return A


def kahan(n: int) -> Array:
    """Upper triangular, theta = 1.2; rank-revealing QR sees nothing small on its diagonal."""
    s, c = np.sin(1.2), np.cos(1.2)
    A = s ** np.arange(n)[:, None] * (np.eye(n) - c * np.triu(np.ones((n, n)), 1))
    return A + 25.0 * np.finfo(float).eps * np.diag(np.arange(n, 0.0, -1.0))


def chow(n: int) -> Array:
    """A lower Hessenberg Toeplitz matrix of ones: half of its eigenvalues are 0."""
    return np.tril(np.ones((n, n)), 1)


def invhess(n: int) -> Array:
    """The inverse of an upper Hessenberg matrix: j in the lower triangle, -i above it."""
    i, j = indices(n)
    return np.where(i >= j, j, -i)


def dramadah_1(n: int) -> Array:
    """Toeplitz, of zeros and ones, with an inverse of large integers."""
    column = (np.arange(n) % 4 % 3 == 0).astype(float)
    return toeplitz(column, np.r_[1.0, 1.0, 0.0, 1.0, np.zeros(n - 4)])


def dramadah_2(n: int) -> Array:
    """The same upper triangular."""
    row = 1.0 - ((np.arange(n) >= 2) & (np.arange(n) % 2 == 0))
    return toeplitz(np.r_[1.0, np.zeros(n - 1)], row)


def dramadah_3(n: int) -> Array:
    """The same lower Hessenberg."""
    return toeplitz(1.0 - np.arange(n) % 2, np.r_[1.0, 1.0, np.zeros(n - 2)])


def circul(n: int) -> Array:
    """The circulant of 1, 2, ..., n."""
    i, j = indices(n)
    return 1.0 + (j - i) % n


def hankel(n: int) -> Array:
    i, j = indices(n)
    return np.where(i + j <= n + 1, i + j - 1.0, 0.0)


def condex_1(n: int) -> Array:
    """Matrix of order 4: Cline and Rew's counterexample to condition estimators, theta = 100."""
    del n
    rows = [[1.0, -1.0, -200.0, 0.0], [0.0, 1.0, 100.0, -100.0]]
    return np.array([*rows, [0.0, 1.0, 101.0, -101.0], [0.0, 0.0, 0.0, 100.0]])


def condex_2(n: int) -> Array:
    """Matrix of order 3: Cline and Rew's."""
    del n
    return np.array([[1.0, 1.0 - 2.0e-4, -2.0], [0.0, 0.01, -0.01], [0.0, 0.0, 1.0]])


def condex_3(n: int) -> Array:
    """Lower triangular with a last row of other signs, Cline and Rew."""
    A = np.eye(n) - np.tril(np.ones((n, n)), -1)
    A[-1, -1] = -1.0
    return A


def condex_4(n: int) -> Array:
    """I + 100 (I - Q Q^T) with three columns in Q, Higham: n - 3 equal values."""
    k = np.arange(n)
    special = (-1.0) ** k * (1.0 + k / (n - 1))
    Q = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 0], special]))[0]
    return np.asarray(np.eye(n) + 100.0 * (np.eye(n) - Q @ Q.T))


def poisson(n: int) -> Array:
    """Five-point differences on a square grid: values in pairs."""
    side = int(n**0.5)
    T, one = tridiag(side), np.eye(side)
    return np.asarray(np.kron(one, T) + np.kron(T, one))


def neumann(n: int) -> Array:
    """The same with Neumann's boundary: singular, the null vector is of ones."""
    side = int(n**0.5)
    T, one = tridiag(side), np.eye(side)
    T[0, 1] = T[-1, -2] = -2.0
    return np.asarray(np.kron(one, T) + np.kron(T, one))


def hadamard(n: int) -> Array:
    """Sylvester's, of the largest power of two within n: every singular value is sqrt(n)."""
    H = np.ones((1, 1))
    while 2 * len(H) <= n:
        H = np.block([[H, H], [H, -H]])
    return H


def hadamard_block(n: int) -> Array:
    """A leading block of it: clusters of equal values."""
    side = 2 ** int(np.ceil(np.log2(n + 1)))
    return hadamard(side)[: 3 * side // 4, : 5 * side // 8][:n, :n]
