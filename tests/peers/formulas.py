# SPDX-License-Identifier: BSD-3-Clause
"""Gallery matrices whose every entry is given by a formula in its row and column.

Written from their definitions in N. J. Higham, "The Test Matrix Toolbox for MATLAB (version 3.0)",
1995, and in the documentation of MATLAB's `gallery`. Each function takes the order n.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def indices(n: int) -> tuple[Array, Array]:
    """Row and column numbers from 1, to be broadcast against each other: (n, 1) and (1, n)."""
    count = np.arange(1.0, n + 1.0)
    return count[:, None], count[None, :]


def cauchy(n: int) -> Array:
    i, j = indices(n)
    return 1.0 / (i + j)


def hilb(n: int) -> Array:
    i, j = indices(n)
    return 1.0 / (i + j - 1.0)


def lotkin(n: int) -> Array:
    """Hilbert's matrix with a first row of ones: unsymmetric, as badly conditioned."""
    A = hilb(n)
    A[0] = 1.0
    return A


def invhilb(n: int) -> Array:
    """The inverse of Hilbert's matrix, whose entries are integers."""
    entries = [
        [
            (-1) ** (i + j)
            * (i + j - 1)
            * math.comb(n + i - 1, n - j)
            * math.comb(n + j - 1, n - i)
            * math.comb(i + j - 2, i - 1) ** 2
            for j in range(1, n + 1)
        ]
        for i in range(1, n + 1)
    ]
    return np.array(entries, dtype=np.float64)


def invol(n: int) -> Array:
    """Hilbert's matrix scaled by rows and columns until it is its own inverse."""
    A = hilb(n)
    factor = -float(n)
    A[:, 0] *= factor
    for i in range(1, n):
        factor *= -(n + i) * (n - i) / i**2
        A[i] *= factor
    return A


def parter(n: int) -> Array:
    """A Toeplitz and Cauchy matrix most of whose singular values are pi to rounding."""
    i, j = indices(n)
    return 1.0 / (i - j + 0.5)


def ris(n: int) -> Array:
    """Ris's symmetric Hankel matrix (dingdong): eigenvalues gather at +-pi/2."""
    i, j = indices(n)
    return 0.5 / (n - i - j + 1.5)


def minij(n: int) -> Array:
    i, j = indices(n)
    return np.minimum(i, j)


def lehmer(n: int) -> Array:
    i, j = indices(n)
    return np.minimum(i, j) / np.maximum(i, j)


def fiedler(n: int) -> Array:
    i, j = indices(n)
    return np.abs(i - j)


def gcdmat(n: int) -> Array:
    i, j = indices(n)
    return np.gcd(i.astype(int), j.astype(int)).astype(np.float64)


def redheff(n: int) -> Array:
    i, j = indices(n)
    return ((j == 1) | (j % i == 0)).astype(np.float64)


def riemann(n: int) -> Array:
    """i - 1 where i divides j, else -1, for i and j from 2 on."""
    i, j = indices(n + 1)
    return np.where(j % i == 0, i - 1.0, -1.0)[1:, 1:]


def kms(n: int) -> Array:
    """Kac, Murdock and Szego: rho^|i - j| with rho = 1/2."""
    i, j = indices(n)
    return np.asarray(0.5 ** np.abs(i - j))


def prolate(n: int) -> Array:
    """Band-limited: half of the eigenvalues are 1 to rounding, half of them 0."""
    i, j = indices(n)
    return 0.5 * np.sinc(0.5 * (i - j))


def moler(n: int) -> Array:
    i, j = indices(n)
    return np.where(i == j, i, np.minimum(i, j) - 2.0)


def pei(n: int) -> Array:
    return np.full((n, n), 1.0) + n * np.eye(n)


def frank(n: int) -> Array:
    i, j = indices(n)
    return np.where(j >= i - 1, n + 1.0 - np.maximum(i, j), 0.0)


def magic(n: int) -> Array:
    """A magic square of odd order, by the siamese method: of full rank."""
    n -= 1 - n % 2
    i, j = indices(n)
    return n * ((i + j + (n - 3) // 2) % n) + (i + 2 * j - 2) % n + 1.0


def magic_of_doubly_even_order(n: int) -> Array:
    """Magic square of order 4 q, by reflected diagonals of its 4 x 4 blocks; its rank is 3."""
    n -= n % 4
    i, j = indices(n)
    count = n * (i - 1.0) + j
    kept = (i % 4 // 2) == (j % 4 // 2)
    return np.where(kept, n * n + 1.0 - count, count)


def ipjfact(n: int) -> Array:
    """Hankel, (i + j)!"""
    return np.array([[float(math.factorial(i + j + 2)) for j in range(n)] for i in range(n)])


def ipjfact_inverse_entries(n: int) -> Array:
    """Hankel, 1 / (i + j)!"""
    return 1.0 / ipjfact(n)


def pascal(n: int) -> Array:
    return np.array([[float(math.comb(i + j, i)) for j in range(n)] for i in range(n)])


def pascal_lower(n: int) -> Array:
    """The Cholesky factor of Pascal's matrix with signs by columns: its own inverse."""
    return np.array([[(-1.0) ** j * math.comb(i, j) for j in range(n)] for i in range(n)])


def binomial(n: int) -> Array:
    """A multiple of an involution: its square is 2^(n - 1) I."""
    L = np.abs(pascal_lower(n))
    return np.asarray((L * (-2.0) ** np.arange(n)) @ L[::-1, ::-1])


def vander(n: int) -> Array:
    return np.vander(np.linspace(0.0, 1.0, n))


def chebvand(n: int) -> Array:
    """Chebyshev polynomials of degree 0 to n - 1 at equidistant points of [0, 1]."""
    degree, point = np.arange(n)[:, None], np.linspace(0.0, 1.0, n)[None, :]
    return np.asarray(np.cos(degree * np.arccos(point)))


def chebspec(n: int) -> Array:
    """Chebyshev spectral differentiation on n points: nilpotent, with a null vector of ones."""
    return _chebyshev_derivative(n)


def chebspec_nonsingular(n: int) -> Array:
    """The same on n + 1 points without the first: eigenvalues with negative real parts."""
    return _chebyshev_derivative(n + 1)[1:, 1:]


def _chebyshev_derivative(n: int) -> Array:
    x = np.cos(np.pi * np.arange(n) / (n - 1))
    weight = np.r_[2.0, np.ones(n - 2), 2.0] * (-1.0) ** np.arange(n)
    D = np.outer(weight, 1.0 / weight) / (x[:, None] - x[None, :] + np.eye(n))
    return np.asarray(D - np.diag(D.sum(axis=1)))


def sampling(n: int) -> Array:
    """Nonsymmetric with eigenvalues 0 to n - 1, badly conditioned; from sampling theory."""
    x = np.arange(1.0, n + 1.0)
    A = x[:, None] / (x[:, None] - x[None, :] + np.eye(n))
    np.fill_diagonal(A, 0.0)
    np.fill_diagonal(A, A.sum(axis=0))
    return A


def lauchli(n: int) -> Array:
    """A row of ones over mu I, (n + 1) x n with mu = sqrt(eps): A^T A loses its small values."""
    return np.vstack([np.ones((1, n)), np.sqrt(np.finfo(float).eps) * np.eye(n)])


def gallery_3(n: int) -> Array:
    """Matrix of order 3: badly conditioned."""
    del n
    return np.array([[-149.0, -50.0, -154.0], [537.0, 180.0, 546.0], [-27.0, -9.0, -25.0]])


def gallery_5(n: int) -> Array:
    """Matrix of order 5: nilpotent and defective."""
    del n
    rows = "-9 11 -21 63 -252 70 -69 141 -421 1684 -575 575 -1149 3451 -13801 "
    rows += "3891 -3891 7782 -23345 93365 1024 -1024 2048 -6144 24572"
    return np.array([float(entry) for entry in rows.split()]).reshape(5, 5)


def rosser(n: int) -> Array:
    """Rosser's symmetric matrix of order 8: eigenvalues that are equal, nearly equal, and 0."""
    del n
    B = np.array([[611, 196, -192, 407], [0, 899, 113, -192], [0, 0, 899, 196], [0, 0, 0, 611]])
    C = np.array([[-8, -52, -49, 29], [-71, -43, -8, -44], [61, 49, 8, 52], [8, 44, 59, -23]])
    D = np.array([[411, -599, 208, 208], [0, 411, 208, 208], [0, 0, 99, -911], [0, 0, 0, 99]])
    upper = np.block([[B, C], [np.zeros((4, 4)), D]]).astype(np.float64)
    return np.asarray(upper + np.triu(upper, 1).T)


def wilson(n: int) -> Array:
    """Matrix of order 4: gallery(4), symmetric positive definite with an integer inverse."""
    del n
    return np.array([[10.0, 7, 8, 7], [7, 5, 6, 5], [8, 6, 10, 9], [7, 5, 9, 10]])


def wilk_3(n: int) -> Array:
    """Wilkinson's matrix of order 3: upper triangular and nearly singular."""
    del n
    return np.array([[1e-10, 0.9, -0.4], [0.0, 0.9, -0.4], [0.0, 0.0, 1e-10]])


def wilk_4(n: int) -> Array:
    """Wilkinson's matrix of order 4: lower triangular with a tiny diagonal."""
    del n
    A = np.diag([0.9143e-4, 0.7156e-4, 0.9504e-4, 0.7123e-4])
    A[np.tril_indices(4, -1)] = [0.8762, 0.7943, 0.8143, 0.8017, 0.6123, 0.7165]
    return A


def wilk_5(n: int) -> Array:
    """Wilkinson's matrix of order 5: a part of Hilbert's matrix."""
    del n
    return 1.8144 * hilb(6)[:5, 1:]
