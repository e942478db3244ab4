# SPDX-License-Identifier: BSD-3-Clause
"""The norm of A - B C for thin factors B (m, k) and C (k, n), with a bound on its error.

||A - B C||_F^2 = ||A||_F^2 - 2 <A C^T, B> + <B^T B, C C^T>. All terms are sums in float64. If the
difference is small compared with ||A||_F^2, most digits cancel. The squares of the entries of
A - B C are then summed instead, panel by panel.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.options import CallOptions
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import images
from sigmascope.solvers.moments import check_finite, element_moments
from sigmascope.spectra import Measure
from sigmascope.spectra.statistics.measures import ROUNDING
from sigmascope.spectra.units import exponent_of, scaled

Array = NDArray[np.float64]

_UNIT = 2.0**-53

_DIGITS = 1e-6
"""Relative error of the norm above which the entries are summed."""

_ENTRIES = 1 << 20
"""Entries of a panel of A - B C."""


def finite_norm(a: Matrix, call: CallOptions, what: str) -> float:
    """Compute ||A||_F in one pass; NonFiniteError, which names `what`, unless A is finite."""
    moments = element_moments(a, call, histogram=False)
    check_finite(moments, what)
    return moments.fro_norm


def product_error(columns: int) -> float:
    """Bound the error of A X in float64, relative to ||A||_F ||X||_F, by the additions per sum."""
    return (_core.product_additions(columns) + 4) * _UNIT


def squared(norm: float, Y: Array, B: Array, C: Array) -> tuple[float, float]:
    """Compute ||A - B C||_F^2 and a bound on its error, from ||A||_F and Y = A C^T.

    The bound covers the rounding of `norm`, of Y and of the sums here, with their worst signs.
    """
    gram = C @ C.T - np.eye(len(C))  # k x k, only rounding if the rows are orthonormal
    b2 = float(np.linalg.norm(B)) ** 2
    cross = float(np.sum((B - 2.0 * Y) * B))
    value = norm**2 + cross + float(np.sum((B.T @ B) * gram))
    m, n = len(B), C.shape[1]
    size_c = float(np.linalg.norm(C))
    size_y = float(np.linalg.norm(Y))
    error = 2 * ROUNDING * norm**2
    error += 2 * product_error(n) * norm * size_c * math.sqrt(b2)
    error += 64 * _UNIT * (b2 + 2 * size_y * math.sqrt(b2))
    error += b2 * ((n + 2) * _UNIT * size_c**2 + (m + 2) * _UNIT * float(np.linalg.norm(gram)))
    return value, error


def pairwise_norm(x: Array) -> float:
    """Return the Frobenius norm by pairwise sums, to within :data:`ROUNDING` for any row count.

    A library's norm of 10^6 equal numbers is off by 6000 roundings.
    """
    return math.sqrt(float(np.sum(np.square(x))))


def by_entries(a: Matrix, B: Array, C: Array, norm: float, threads: int | None) -> Measure:
    """Sum the squares of the entries of A - B C, in one read of A and 2 m n k operations."""
    m, n = a.shape
    height = max(_ENTRIES // n, 1)
    count = resolve_threads(threads)
    parts = []
    for i in range(0, m, height):
        rest = a[i : i + height].native.decode_f64(count) - B[i : i + height] @ C
        parts.append(pairwise_norm(rest))
    value = math.hypot(*parts)
    size = norm + float(np.linalg.norm(B) * np.linalg.norm(C))
    error = (len(C) + 4) * _UNIT * size + ROUNDING * value
    return Measure(value, error, "exact")


def root(value2: float, error2: float) -> Measure:
    """Return the square root of a number that is not negative, with its error."""
    high = math.sqrt(max(value2 + error2, 0.0))
    value = math.sqrt(max(value2, 0.0))
    low = math.sqrt(max(value2 - error2, 0.0))
    return Measure(value, max(high - value, value - low), "exact")


def remaining(
    a: Matrix, norm: float, factors: tuple[Array, Array], Y: Array, threads: int | None
) -> tuple[Measure, int]:
    """Compute ||A - B C||_F of factors (B, C), with Y = A C^T and the known ||A||_F.

    Also return the number of further reads of A, 0 or 1.
    """
    B, C = factors
    measure = root(*squared(norm, Y, B, C))
    if measure.error <= _DIGITS * measure.value or a.device != "cpu":
        return measure, 0
    exact = by_entries(a, B, C, norm, threads)
    return (exact if exact.error < measure.error else measure), 1


def remaining_of(a: Matrix, norm: float, product: LowRank, **options: Any) -> tuple[Measure, int]:
    """Compute ||A - s B C||_F of any product, from a known ||A||_F, in one or two passes over A.

    Also return the number of passes. Rows of C are scaled to norm 1, and columns of B likewise.
    Then only A - s B C itself cancels. Options as for :func:`sigmascope.solvers.change.change`.

    Raises
    ------
    MemoryLimitError
        If A C^T does not fit into memory_limit.
    """
    B, C = (np.asarray(factor, dtype=np.float64) for factor in (product.B, product.A))
    unit = exponent_of(norm)
    sizes = np.linalg.norm(C, axis=1)
    sizes = np.where(sizes > 0.0, sizes, 1.0)
    C = C / sizes[:, None]
    B = scaled(B * (product.scale * sizes), -unit)
    a, norm = (a * 2.0**-unit, scaled(norm, -unit)) if unit else (a, norm)
    Y = images(a, np.ascontiguousarray(C.T), **options)
    measure, reads = remaining(a, norm, (B, C), Y, options.get("num_threads"))
    # Three roundings of each entry of the factors here.
    rounding = 4 * _UNIT * float(np.linalg.norm(B)) * math.sqrt(len(C))
    return replace(measure, error=measure.error + rounding).scaled(unit), 1 + reads
