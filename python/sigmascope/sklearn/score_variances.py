# SPDX-License-Identifier: BSD-3-Clause
"""Variances of scores on singular vectors of uncentred rows, with errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

Array = NDArray[np.float64]

_ROUNDOFF = 2.0**-53


class ColumnStatistics(NamedTuple):
    """Means and variances of the columns of (rows, n)."""

    rows: int
    means: Array
    total: float
    """Sum of the variances of the columns, with the divisor rows."""

    @property
    def mean_square(self) -> float:
        """Return ||A||_F^2 / rows."""
        return self.total + float(self.means @ self.means)

    @property
    def total_error(self) -> float:
        """Bound the rounding error of `total`, from sums, differences and means."""
        sums = 2 * self.rows * _ROUNDOFF
        differences = 4 * _ROUNDOFF * float(np.sqrt(self.total * self.mean_square))
        return sums * self.total + differences + sums**2 * self.mean_square


def column_statistics(X: Any) -> ColumnStatistics:
    """Return the statistics of the columns of an array or of a sparse matrix, in float64."""
    if sparse.issparse(X):
        X = X.astype(np.float64)  # a copy, since the rows belong to the caller
        X.sum_duplicates()
        means, variances = mean_variance_axis(X, axis=0)
    else:
        means, variances = X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
    return ColumnStatistics(X.shape[0], np.asarray(means), float(np.sum(variances)))


def score_variances(
    scores: Array, columns: ColumnStatistics, s: Array, errors: Array, sines: Array
) -> tuple[Array, Array]:
    """Return the variances of k scores (rows, k), and bounds on their errors.

    Parameters
    ----------
    scores
        A V for k unit vectors v.
    s, errors
        (k,) singular values and bounds on their errors.
    sines
        (k,) bounds on the sines of the angles between v and the exact vectors.

    Notes
    -----
    The exact variance is (sigma^2 - rows (m^T v)^2) / rows, where m are the column means. The first
    term is compared with ||A v||^2 by the error of s; in the second, m^T v changes by at most
    ||m|| ||v - v'||, which is at most sqrt(2) ||m|| times the sine.
    """
    rows, n = columns.rows, len(columns.means)
    T = np.ascontiguousarray(scores.T)  # sums along contiguous rows are pairwise
    rounding = (n + 64) * _ROUNDOFF * np.sqrt(rows * columns.mean_square)
    lengths = np.linalg.norm(T, axis=1)
    of_squares = np.abs(lengths**2 - s**2) + errors * (2 * s + errors)
    of_squares += rounding * (2 * lengths + rounding)
    rotated = np.sqrt(2.0) * sines * np.linalg.norm(columns.means) + rounding / np.sqrt(rows)
    of_means = rotated * (2 * np.abs(T.mean(axis=1)) + rotated)
    return T.var(axis=1), of_squares / rows + of_means
