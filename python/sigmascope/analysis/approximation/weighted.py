# SPDX-License-Identifier: BSD-3-Clause
"""Approximations that are best for given activations: the least ||(A - L) S^(1/2)||_F.

Let S = C C^T, and U the k leading left singular vectors of A C. Then L = U U^T A satisfies
(A - L) C = A C - U U^T (A C), which is the least for a product of rank k (Eckart & Young 1936).
This needs neither an inverse of S nor a Cholesky factor. S may therefore be singular, with fewer
samples of activations than columns, or with dead inputs.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sigmascope.analysis.low_rank import LowRank
from sigmascope.errors import NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.change import images
from sigmascope.spectra import SVD, Measure
from sigmascope.spectra.statistics.measures import ROUNDING
from sigmascope.spectra.units import exponent_of

from .criteria import Criterion
from .remaining import finite_norm, pairwise_norm, product_error, remaining_of
from .result import LowRankApproximation
from .search import Settings, find

Array = NDArray[np.float64]

_UNIT = 2.0**-53

_NEGATIVE = 1e-6
"""Largest magnitude, relative to the largest eigenvalue, of a negative one due to rounding."""

_GRAM_ERROR = 4e-14
"""Error of eigenvalues of an accumulated Gram matrix, relative to the largest, up to n = 2048."""


@runtime_checkable
class Accumulated(Protocol):
    """A Gram matrix of rows that are seen once, as a GramAccumulator has it."""

    rows: int
    n_cols: int

    def svd(self, k: int) -> SVD:
        """Return the k largest singular values and right vectors of the rows."""


class Root(NamedTuple):
    """A matrix C (n, rank of S) with S = C C^T, except a part of 2-norm at most `lost`."""

    C: Array
    lost: float


def root_of(weight: Any, n: int) -> Root:
    """Return a factor of the matrix of second moments of activations, by its eigenvectors.

    Raises
    ------
    ValueError
        If it is not n x n, not symmetric, has an eigenvalue below zero, or is zero.
    NonFiniteError
        If it contains NaN or infinity.
    """
    if isinstance(weight, Accumulated):
        _check_order(weight.n_cols, weight.n_cols, n)
        svd = weight.svd(min(weight.rows, weight.n_cols))
        values, V = svd.s**2, np.asarray(svd.Vt, dtype=np.float64).T
        floor = _GRAM_ERROR * math.sqrt(max(n / 2048, 1.0)) * float(values[0])
    else:
        S = np.asarray(matrix(weight), dtype=np.float64)
        _check_order(S.shape[0], S.shape[1], n)
        values, V, floor = _eigenpairs(S)
    above = values > floor
    if not above.any():
        raise ValueError("the weight is zero: no activation was seen")
    return Root(np.ascontiguousarray(V[:, above] * np.sqrt(values[above])), 2 * floor)


def _check_order(rows: int, columns: int, n: int) -> None:
    if (rows, columns) != (n, n):
        raise ValueError(f"the weight is {rows} x {columns}, the matrix has {n} columns")


def _eigenpairs(S: Array) -> tuple[Array, Array, float]:
    """Return eigenvalues, eigenvectors, and the bound below which a value may be rounding."""
    if not np.isfinite(S).all():
        raise NonFiniteError("the weight holds NaN or infinity")
    size = float(np.abs(S).max(initial=0.0))
    skew = float(np.abs(S - S.T).max(initial=0.0))
    if skew > _NEGATIVE * size:
        raise ValueError(f"the weight is not symmetric: entries differ by {skew:.2g} of {size:.2g}")
    values, V = np.linalg.eigh((S + S.T) / 2)
    least, largest = float(values[0]), float(values[-1])
    if least < -_NEGATIVE * max(largest, 0.0) or largest < 0:
        raise ValueError(
            f"the weight has the eigenvalue {least:.3g} and is not X^T X (largest {largest:.3g})"
        )
    return values, V, max(-least, len(S) * 4 * _UNIT * largest)


def weighted(
    a: Matrix, weight: Any, criterion: Criterion, how: Settings, started: float
) -> LowRankApproximation:
    """Approximate a matrix with the least weighted error; arguments as for `low_rank`."""
    C, lost = root_of(weight, a.shape[1])
    norm = finite_norm(a, how.call, "the matrix")
    if exponent_of(norm):
        raise ValueError(f"||A||_F = {norm:.3g} is out of range for a weight; scale the matrix")
    AC = images(a, C, **how.options)  # m x rank of S
    seen = find(matrix(AC), criterion, how)
    k = min(max(seen.rank, 1), len(seen.projection.s))
    U = seen.projection.U[:, :k]
    X, s, Wt = np.linalg.svd(images(a.T, np.ascontiguousarray(U), **how.options).T, False)
    factors = LowRank(np.ascontiguousarray((U @ X) * s), np.ascontiguousarray(Wt))
    remaining, reads = remaining_of(a, norm, factors, **how.options)
    error = _weighted_error(AC, C, factors, norm, lost, remaining)
    size = pairwise_norm(AC)
    bound = remaining.value + remaining.error
    return LowRankApproximation(
        factors=factors,
        rank=k,
        s=s,
        errors=np.full(k, bound),
        remaining=remaining,
        least=0.0,
        spectral_bound=bound,
        spectral_evidence="the Frobenius norm of what remains",
        fro_norm=norm,
        criterion=criterion.words,
        met=criterion.allows(error.value + error.error, size),
        converged=seen.svd.converged,
        passes=3 + reads,
        method=f"{seen.svd.method}, weighted",
        precision=seen.svd.precision,
        seed=how.seed,
        seconds=time.perf_counter() - started,
        num_threads=how.call.threads,
        weighted=error,
        weighted_norm=size,
        notes=seen.svd.notes,
    )


def _weighted_error(
    AC: Array, C: Array, factors: LowRank, norm: float, lost: float, remaining: Measure
) -> Measure:
    """Sum the squares of (A - L) C, and bound the effect of rounding and of the lost part of S."""
    B, D = (np.asarray(x, dtype=np.float64) for x in (factors.B, factors.A))
    value = pairwise_norm(AC - B @ (D @ C))
    size_c, size_l = float(np.linalg.norm(C)), float(np.linalg.norm(B))
    rounding = ROUNDING * value + product_error(len(C)) * norm * size_c
    rounding += (len(C) + D.shape[0] + 4) * _UNIT * size_l * math.sqrt(len(D)) * size_c
    beyond = math.sqrt(lost) * (remaining.value + remaining.error)
    low = value - math.sqrt(max(value**2 - beyond**2, 0.0))
    high = math.hypot(value, beyond) - value
    return Measure(value, rounding + max(low, high), "exact")
