# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of the elements, rows and columns of a matrix, and its outlier channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sigmascope._distributions import wilson_hilferty

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Moments:
    """Statistics of the entries, rows and columns of a matrix, from one pass.

    Attributes
    ----------
    shape, count, zeros, nan, inf
        (m, n), and the numbers of entries, exact zeros, NaNs and infinities.
    first_nonfinite
        (row, column) of the first NaN or infinity in row order, or None.
    min, max, mean, std, skewness, kurtosis
        Over the finite entries; kurtosis is 3 for a Gaussian.
    fro_norm, abs_max
        Frobenius norm and largest magnitude, over the finite entries.
    row_norms, column_norms
        Euclidean norms, (m,) and (n,). `row_norms` is None if a stream did not keep them.
    histogram
        Number of occurrences of each code: 65536 or 256 counts for 16- and 8-bit dtypes, else None.
    passes, seconds
        Reads of A (1), and wall time.
    """

    shape: tuple[int, int]
    count: int
    zeros: int
    nan: int
    inf: int
    first_nonfinite: tuple[int, int] | None
    min: float
    max: float
    mean: float
    std: float
    skewness: float
    kurtosis: float
    fro_norm: float
    abs_max: float
    row_norms: Array | None
    column_norms: Array
    histogram: NDArray[np.int64] | None
    passes: int
    seconds: float

    def outlier_rows(self, threshold: float | None = None) -> NDArray[np.intp]:
        """Return the rows whose norm is far above the median: outlier channels.

        Parameters
        ----------
        threshold
            A row is an outlier if its norm exceeds the median by this number of robust standard
            deviations (1.4826 MAD). By default three conditions replace this: the norm exceeds the
            median by 6 deviations; it is at least twice the median; and, with the largest entry of
            the matrix left out, it exceeds the level that noise of the same number of rows and the
            same kurtosis exceeds in one matrix of a million.

        Returns
        -------
        (r,) int
            Indices, ascending.

        Raises
        ------
        ValueError
            If the row norms were not kept.
        """
        if self.row_norms is None:
            raise ValueError("the row norms were not kept; see MomentsAccumulator")
        return self._outliers(self.row_norms, self.shape[1], threshold)

    def outlier_columns(self, threshold: float | None = None) -> NDArray[np.intp]:
        """Return the columns whose norm is far above the median; see :meth:`outlier_rows`."""
        return self._outliers(self.column_norms, self.shape[0], threshold)

    def _outliers(self, norms: Array, entries: int, threshold: float | None) -> NDArray[np.intp]:
        """Return the indices of outliers among norms of rows or columns of ``entries`` numbers."""
        if len(norms) == 0:
            return np.zeros(0, dtype=np.intp)
        median = float(np.median(norms))
        if math.isinf(median):  # most norms are beyond float64, and none is farther out
            return np.zeros(0, dtype=np.intp)
        # 1.4826 MAD estimates the standard deviation of a Gaussian.
        spread = 1.4826 * float(np.median(np.abs(norms - median)))
        far = norms > median + (_ROBUST if threshold is None else threshold) * spread
        if threshold is None and median > 0:
            factors = norms / median
            rest = factors**2 - (self.abs_max / median) ** 2
            least = noise_maximum(len(norms), entries, self.kurtosis)
            far &= (factors >= _CHANNEL) & (rest > least)
        return np.flatnonzero(far)

    def __repr__(self) -> str:
        bad = f", {self.nan} NaN, {self.inf} Inf" if self.nan or self.inf else ""
        return (
            f"Moments({self.shape[0]} x {self.shape[1]}, mean {self.mean:.3g}, std {self.std:.3g}, "
            f"kurtosis {self.kurtosis:.3g}, ||A||_F = {self.fro_norm:.6g}{bad})"
        )


_ROBUST = 6.0
"""Least distance of the norm of an outlier channel from the median, in robust deviations."""

_CHANNEL = 2.0
"""Least ratio of the norm of an outlier channel to the median norm."""

_ONE_IN = 1e6
"""Number of matrices of noise among which one has an outlier channel."""


def noise_maximum(lines: int, entries: int, kurtosis: float) -> float:
    """Return the level that the largest squared norm of noise exceeds once in a million matrices.

    The level is in units of the mean squared norm. The sum of n squares of independent entries has
    the relative variance (kurtosis - 1) / n. Its distribution is approximately chi-squared with
    that variance (exactly, for Gaussian entries); the quantiles follow Wilson & Hilferty 1931.

    Parameters
    ----------
    lines, entries
        Number of rows (or columns), and number of entries in each.
    kurtosis
        Kurtosis of the entries, 3 for a Gaussian; values below 1 count as 1.
    """
    z = NormalDist().inv_cdf(1.0 - 1.0 / (_ONE_IN * lines))
    variance = max(kurtosis - 1.0, 0.0) / (9.0 * max(entries, 1))
    return max(wilson_hilferty(variance, z), 1.0)
