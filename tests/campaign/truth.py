# SPDX-License-Identifier: BSD-3-Clause
"""The singular values of the very numbers that were stored: LAPACK, and more digits on demand."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .gallery import Array

DOUBTFUL = 1e-12
"""Share of sigma_1: an error that exceeds its bound by less is judged with more digits."""


class Truth:
    """Everything in units of 2^shift, in which the largest entry is between 1/2 and 1."""

    def __init__(self, numbers: Array, doubt: float = 0.0) -> None:
        """``doubt``: by how much the numbers themselves may be off, in the 2-norm."""
        self.shape = numbers.shape
        self.shift = int(np.frexp(np.abs(numbers).max(initial=0.0))[1])
        if (
            0 < self.shift < 500
            and np.abs(numbers).min(where=numbers != 0, initial=1.0) < 2.0**-1000
        ):
            self.shift = 0  # halves of subnormal numbers are rounded
        self.X = np.ldexp(numbers, -self.shift)
        self.doubt = float(np.ldexp(doubt, -self.shift))
        self.values: Array = np.linalg.svd(shortened(self.X), compute_uv=False)
        self.fro = float(np.sqrt(np.sum(np.square(self.X).ravel())))  # pairwise sums: 1e-15

    def down(self, x: Any) -> Any:
        """Bring what the library said of the stored numbers into these units."""
        return np.ldexp(np.asarray(x, dtype=np.float64), -self.shift)

    @property
    def quantum(self) -> float:
        """Return the spacing of float64 where the stored numbers are near the end of its range.

        A bound grows there by at most 3/2 of it: by half, for the rounding of the value, and by
        less than one, since it is rounded up.
        """
        return float(np.ldexp(1.0, max(-1074 - self.shift, -1074)))

    @cached_property
    def precise(self) -> Array:
        """The values to about 1e-18 sigma_1, by Jacobi rotations in extended precision."""
        if np.finfo(np.longdouble).eps > 1e-18:
            return self.values
        A = self.X if self.shape[0] >= self.shape[1] else self.X.T
        V = np.linalg.svd(A, full_matrices=False)[2].T.astype(np.longdouble)
        V = V @ (3 * np.eye(len(V)) - V.T @ V) / 2
        return jacobi(A.astype(np.longdouble) @ V)

    def beyond(self, s: Array, errors: Array) -> tuple[Array, Array]:
        """|s - sigma| of the k values, and by how much each is outside its error: <= 0 is right."""
        k = len(s)
        off = np.abs(s - self.values[:k])
        within = errors + self.quantum + self.doubt
        outside = off - within
        if np.any(outside > 0) and np.max(outside) <= DOUBTFUL * max(self.values[0], 1e-300):
            off = np.abs(s.astype(np.longdouble) - self.precise[:k]).astype(np.float64)
            outside = off - within
        return off, outside


def product_of_rows(X: Any, Y: Any) -> Any:
    """X^T Y as sums of 512 rows, and a tree of these: no long sum has roundings of one sign."""
    parts = [X[i : i + 512].T @ Y[i : i + 512] for i in range(0, len(X), 512)]
    return np.sum(np.stack(parts, axis=-1), axis=-1)


def shortened(X: Array) -> Array:
    """Return a matrix of the same values and not many rows: triangles of strips, by QR.

    Of 260,970 equal rows LAPACK's first value is off by 4e-12; of strips it is as for few rows.
    """
    strip = max(4096, 8 * min(X.shape))
    A = X if X.shape[0] >= X.shape[1] else X.T
    if len(A) < 2 * strip:
        return X
    while len(A) >= 2 * strip:
        A = np.vstack([np.linalg.qr(A[i : i + strip], "r") for i in range(0, len(A), strip)])
    return A


def jacobi(W: NDArray[Any], sweeps: int = 6) -> Array:
    """The singular values of W (m, n), m >= n, by one-sided Jacobi rotations, n/2 at a time."""
    n = W.shape[1]
    order = np.arange(n + n % 2)  # a pair with the number n is skipped
    W = W.T.copy()
    for _ in range(sweeps):
        largest = 0.0
        for _ in range(len(order) - 1):
            half = len(order) // 2
            i, j = order[:half], order[half:][::-1]
            real = (i < n) & (j < n)
            largest = max(largest, _rotate(W, i[real], j[real]))
            order = np.r_[order[0], np.roll(order[1:], 1)]
        if largest < 1e-18:
            break
    norms = np.sqrt(np.sum(W * W, axis=1))
    return np.sort(norms)[::-1]


def _rotate(W: NDArray[Any], i: NDArray[np.intp], j: NDArray[np.intp]) -> float:
    """Make rows i and j orthogonal, pair by pair; the largest cosine that was found."""
    x, y = W[i], W[j]
    a, b, c = (np.sum(p * q, axis=1) for p, q in ((x, x), (y, y), (x, y)))
    size = np.sqrt(a * b)
    turned = np.abs(c) > 1e-19 * size
    if not turned.any():
        return 0.0
    zeta = np.where(turned, (b - a) / np.where(turned, 2 * c, 1), 0)
    t = np.where(zeta >= 0, 1, -1) / (np.abs(zeta) + np.sqrt(1 + zeta * zeta))
    t = np.where(turned, t, 0)
    cosine = 1 / np.sqrt(1 + t * t)
    sine = cosine * t
    W[i], W[j] = (
        cosine[:, None] * x - sine[:, None] * y,
        sine[:, None] * x + cosine[:, None] * y,
    )
    counted = size > 1e-36 * np.max(a + b)
    return float(np.max(np.abs(c[counted]) / size[counted], initial=0.0))
