# SPDX-License-Identifier: BSD-3-Clause
"""Singular values and vectors of s B A, in float64, from matrices of order r.

With B = Q_B R_B and A^T = Q_A R_A, the product is Q_B (s R_B R_A^T) Q_A^T. Its singular values are
those of the r x r core, and zeros. The m x n entries are never computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import SVD, SingularValues
from sigmascope.spectra.units import USUAL, scaled

from . import error_free

Array = NDArray[np.float64]

METHOD = "low-rank product, exact"


def needed_bytes(m: int, n: int, r: int, *, vectors: bool = False) -> int:
    """Return the bytes of `values_of` or `svd_of`: both factors, and their QR or their slices."""
    factors, slices = (m + n) * r, (2**13 + 24 * r) * r
    both = 5 * factors + slices if vectors else factors + max(2 * factors, slices)
    return 8 * (both + 4 * min(m, n))


def _in_units(B: Array, A: Array, scale: float) -> tuple[Array, Array, float, int]:
    """Return B, A and s times powers of two, which is exact; the product is in units of 2^unit."""
    exponents = [math.frexp(float(np.abs(x).max(initial=0.0)))[1] for x in (B, A)]
    s, unit = math.frexp(scale)
    if sum(map(abs, exponents)) + abs(unit) <= USUAL:
        return B, A, scale, 0
    B, A = (scaled(x, -e) for x, e in zip((B, A), exponents, strict=True))
    return B, A, s, unit + sum(exponents)


def svd_of(B: Array, A: Array, scale: float, k: int | None) -> SVD:
    """Compute the k largest singular triplets, by default all min(m, n, r) that may be nonzero.

    Parameters
    ----------
    B, A : (m, r), (r, n)
    scale : s
    k : at most min(m, n, r) are returned
    """
    began = time.perf_counter()
    B, A, scale, unit = _in_units(B, A, scale)
    Q_B, R_B = np.linalg.qr(B)  # m x q, q x r
    Q_A, R_A = np.linalg.qr(A.T)  # n x p, p x r
    X, s, Yt = np.linalg.svd(scale * (R_B @ R_A.T), full_matrices=False)
    cancels = _cancels(R_B, R_A, scale, s)
    s, norm = _with_norm(B, A, scale, s, cancels)
    k = len(s) if k is None else min(k, len(s))
    U, V, s = Q_B @ X[:, :k], Q_A @ Yt[:k].T, s[:k]
    defects = error_free.defects if cancels else _defects
    left, right = defects(B, A, scale, V, U, s), defects(A.T, B.T, scale, U, V, s)
    rank = B.shape[1]
    return SVD(
        U=U,
        s=s,
        Vt=V.T,
        residuals=np.maximum(left, right),
        errors=np.full(k, _rounding(R_B, R_A, scale, len(B) + A.shape[1])),
        converged=True,
        passes=1,
        block=rank,
        columns=rank,
        precision="float64",
        method=METHOD,
        seed=0,
        seconds=time.perf_counter() - began,
        num_threads=1,
        fro_norm=norm,
    ).scaled(unit)


class Triangle(NamedTuple):
    """R of X = Q R, whose backward error is at most that of reflections, gamma_(mr) ||X||_F.

    Instead, or besides, the singular values of every product R Y may differ from those of X Y by
    the share `relative`.
    """

    R: Array
    relative: float = 0.0


def triangle(X: Array) -> Triangle:
    """Return R of X = Q R."""
    return Triangle(np.asarray(np.linalg.qr(X, mode="r")))


_WELL_CONDITIONED = 32
"""Largest mean of the squared singular values over the least, for which R comes from X^T X."""


def triangle_by_blocks(X: Array) -> Triangle:
    """Return R of X = Q R: of X^T X if X is well conditioned, else by reflections of blocks.

    The product X^T X takes a fifth of the time of reflections. With R^T R = X^T X + E, the squared
    singular values of R Y are those of X Y times factors between 1 - f and 1 + f, where f =
    ||E||_2 ||R^-1||_2^2 (Ostrowski 1959: x^T X^T X x lies between these shares of |R x|^2). The
    sums give ||E||_F <= gamma_m ||X||_F^2, and Cholesky's method gamma_(r+1) ||R||_F^2 (Higham
    2002, theorem 10.3). The least eigenvalue of X^T X, less its own error, bounds ||R^-1||_2^2.

    Blocks of rows fit into a core's cache; their reflections have no larger bound on rounding than
    those of the whole.
    """
    m, rank = X.shape
    with np.errstate(over="ignore", invalid="ignore"):
        gram = X.T @ X
    size2 = float(np.trace(gram))
    if 2.0**-900 < size2 < 2.0**900:
        lost = 1.25 * (m + 4 * rank) * 2.0**-53 * size2
        least = float(np.linalg.eigvalsh(gram)[0]) - 2 * lost
        if least * rank * _WELL_CONDITIONED >= size2:
            R = np.asarray(np.linalg.cholesky(gram).T)
            return Triangle(R, lost / least)
    size = max(512, 4 * rank)
    count = m // size
    if count < 2:
        return triangle(X)
    blocks = np.linalg.qr(X[: count * size].reshape(count, size, rank), mode="r")
    return triangle(np.concatenate([*blocks, X[count * size :]]))


def values_of(
    B: Array, A: Array, scale: float, r_of: Callable[[Array], Triangle] = triangle
) -> tuple[SingularValues, int]:
    """Compute all min(m, n) singular values in units of 2^unit, and that exponent.

    Values beyond the r-th are exactly 0. `r_of` is `triangle` or `triangle_by_blocks`.
    """
    began = time.perf_counter()
    B, A, scale, unit = _in_units(B, A, scale)
    m, n = len(B), A.shape[1]
    (R_B, of_B), (R_A, of_A) = (r_of(x) for x in (B, A.T))
    s = np.asarray(np.linalg.svd(scale * (R_B @ R_A.T), compute_uv=False), dtype=np.float64)
    s, norm = _with_norm(B, A, scale, s, _cancels(R_B, R_A, scale, s))
    values, errors = np.zeros((2, min(m, n)))
    values[: len(s)] = s
    errors[: len(s)] = _rounding(R_B, R_A, scale, m + n) + (of_B + of_A) * float(s[0])
    singular_values = SingularValues(
        values=values,
        errors=errors,
        floor=float(errors[0]),
        method=METHOD,
        precision="float64",
        passes=1,
        seconds=time.perf_counter() - began,
        num_threads=1,
        fro_norm=norm,
    )
    return singular_values, unit


def _cancels(R_B: Array, R_A: Array, scale: float, s: Array) -> bool:
    """Return whether the product is too small, compared with its terms, to measure in float64.

    ||B||_F ||A||_F / ||B A||_F is sqrt(r) for random factors, and 1 for parallel ones.
    """
    size = abs(scale) * float(np.linalg.norm(R_B) * np.linalg.norm(R_A))
    return size > 2 * math.sqrt(R_B.shape[1]) * _norm(s)


def _with_norm(B: Array, A: Array, scale: float, s: Array, cancels: bool) -> tuple[Array, float]:
    """Return the values and ||s B A||_F; values with a larger norm are shrunk to this norm.

    The true values lie in the ball of this norm, and a projection to it does not move values away
    from them. A bound on the 2-norm of the errors therefore remains valid.
    """
    norm_of_s = _norm(s)
    if not cancels:
        return s, norm_of_s
    norm = error_free.fro_norm(B, A, scale)
    return (s * (norm / norm_of_s) if norm_of_s > norm else s), norm


def _norm(s: Array) -> float:
    """Return ||s|| of values, descending, whose squares may underflow."""
    largest = float(s[0]) if len(s) else 0.0
    return largest * float(np.linalg.norm(s / largest)) if largest else 0.0


def _defects(B: Array, A: Array, scale: float, v: Array, u: Array, s: Array) -> Array:
    """Compute the norms of s_B B A v - s u, column by column."""
    return np.asarray(np.linalg.norm(scale * (B @ (A @ v)) - u * s, axis=0))


def _rounding(R_B: Array, R_A: Array, scale: float, extent: int) -> float:
    """Bound the rounding: gamma_(mr) of each factorisation (Higham 2002, theorem 19.4)."""
    rank = R_B.shape[1]
    steps = rank * (extent + 12 * rank)
    size = abs(scale) * float(np.linalg.norm(R_B) * np.linalg.norm(R_A))
    return float(steps * 2.0**-53 * size)
