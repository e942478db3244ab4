# SPDX-License-Identifier: BSD-3-Clause
"""Result types of the functions of :mod:`sigmascope`, each with its evidence.

Everything is frozen; arrays are float64 unless said otherwise. sigma means singular values,
lambda their squares.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sigmascope._display.text import at_most, with_error

from .units import beyond, scaled, scaled_errors

Array = NDArray[np.float64]


def _few(values: Array, errors: Array, count: int = 3) -> str:
    """Show the first values in brackets, with dots where there are more.

    Six digits where the error is below the last of them, else the value with its error.
    """
    shown = ", ".join(
        f"{v:.6g}" if e < 5e-7 * abs(v) else with_error(v, e)
        for v, e in zip(values[:count].tolist(), errors[:count].tolist(), strict=True)
    )
    return f"[{shown}{', ...' if len(values) > count else ''}]"


def _at_most(bound: float) -> str:
    """Show a bound with one digit, rounded up."""
    return f"{float(at_most(bound)):.1g}"


def state(converged: bool) -> str:
    """Return "converged" or "NOT converged"."""
    return "converged" if converged else "NOT converged"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SVD:
    """The top k singular triplets; unpacks as ``U, s, Vt``.

    Attributes
    ----------
    U, s, Vt
        Left vectors (m, k) or None, values (k,) descending (sigma), right vectors (k, n) or None.
        Vectors of an array on a GPU are arrays of its library there (:func:`sigmascope.svds`);
        all others, and everything else, are NumPy's.
    residuals
        (k,) max(||A v - sigma u||, ||A^T u - sigma v||), sigma units.
    errors
        (k,) bound on |s_i - sigma_i|, sigma units.
    converged
        True if the residuals (with vectors) or the errors (without) are within the tolerance,
        before they are rounded to subnormal numbers (a note says so). An error bound may be larger
        than a residual: it also covers values that may be missing above one that is not yet
        separated from the rest.
    passes, block, columns
        Reads of A; width of the Krylov block; columns of the basis at the end.
    precision, method, seed, seconds, num_threads, notes
        How the result was computed, and remarks on it.
    fro_norm
        ||A||_F, exact to rounding; NaN from a LinearSketch, which can only estimate it.
    """

    U: NDArray[np.floating] | Any | None
    s: Array
    Vt: NDArray[np.floating] | Any | None
    residuals: Array
    errors: Array
    converged: bool
    passes: int
    block: int
    columns: int
    precision: str
    method: str
    seed: int
    seconds: float
    num_threads: int
    fro_norm: float
    notes: tuple[str, ...] = ()

    def scaled(self, exponent: int) -> SVD:
        """Return the triplets of the matrix times 2^exponent (:mod:`sigmascope.spectra.units`)."""
        if exponent == 0:
            return self
        return replace(
            self,
            s=scaled(self.s, exponent),
            residuals=scaled_errors(self.residuals, self.s, exponent),
            errors=scaled_errors(self.errors, self.s, exponent),
            fro_norm=scaled(self.fro_norm, exponent),
            notes=self.notes + beyond(exponent, self.fro_norm, float(self.s.max(initial=0.0))),
        )

    def __iter__(self) -> Iterator[NDArray[np.floating] | Any | None]:
        return iter((self.U, self.s, self.Vt))

    def __repr__(self) -> str:
        return (
            f"SVD(k = {len(self.s)}, sigma = {_few(self.s, self.errors)}, "
            f"error <= {_at_most(self.errors.max(initial=0.0))}, {state(self.converged)}, "
            f"{self.passes} passes, {self.precision}, {self.seconds:.2f} s)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SingularValues:
    """Every singular value of a matrix; behaves as the array of its values.

    Attributes
    ----------
    values, errors
        (p,) descending, and a bound on the error of each, p = min(m, n); sigma units.
    floor
        Rounding floor: below this sigma the method cannot tell a value from zero.
    method, precision, passes, seconds, num_threads, fro_norm, notes
        As for :class:`SVD`.
    """

    values: Array
    errors: Array
    floor: float
    method: str
    precision: str
    passes: int
    seconds: float
    num_threads: int
    fro_norm: float
    notes: tuple[str, ...] = ()

    def scaled(self, exponent: int) -> SingularValues:
        """Return the values of the matrix times 2^exponent (:mod:`sigmascope.spectra.units`)."""
        if exponent == 0:
            return self
        return replace(
            self,
            values=scaled(self.values, exponent),
            errors=scaled_errors(self.errors, self.values, exponent),
            floor=scaled_errors(self.floor, self.floor, exponent),
            fro_norm=scaled(self.fro_norm, exponent),
            notes=self.notes + beyond(exponent, self.fro_norm),
        )

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int | slice | NDArray[np.intp]) -> Array | float:
        item: Array | float = self.values[index]
        return item

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())

    def __repr__(self) -> str:
        return (
            f"SingularValues({len(self)} values, sigma = {_few(self.values, self.errors)}, "
            f"floor {_at_most(self.floor)}, {self.method}, {self.precision}, {self.seconds:.2f} s)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Moments:
    """Elementwise, row and column statistics from one pass.

    Attributes
    ----------
    shape, count, zeros, nan, inf
        (m, n); numbers of entries, exact zeros, NaNs and infinities.
    first_nonfinite
        (row, column) of the first NaN or infinity in row order, or None.
    min, max, mean, std, skewness, kurtosis
        Over the finite entries; kurtosis is 3 for a Gaussian.
    fro_norm, abs_max
        Frobenius norm and largest magnitude, over the finite entries.
    row_norms, column_norms
        Euclidean norms, (m,) and (n,); row norms are None where a stream did not keep them.
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
            deviations (1.4826 MAD). By default it must exceed the median by 6 of them, and be at
            least twice the median; and, without the largest entry of the matrix, it must exceed
            what noise with as many rows and the same kurtosis reaches in one matrix of a million.

        Returns
        -------
        (r,) int
            Indices, ascending.

        Raises
        ------
        ValueError
            The row norms were not kept.
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
    the relative variance (kurtosis - 1) / n and approximately a chi-squared distribution of that
    variance (exactly, for Gaussian entries), whose quantiles follow Wilson & Hilferty 1931.

    Parameters
    ----------
    lines, entries
        Number of rows (or columns), and number of entries in each.
    kurtosis
        Kurtosis of the entries, 3 for a Gaussian; values below 1 count as 1.
    """
    z = NormalDist().inv_cdf(1.0 - 1.0 / (_ONE_IN * lines))
    a = max(kurtosis - 1.0, 0.0) / (9.0 * max(entries, 1))  # 2 / (9 degrees of freedom)
    return float(max(1.0 - a + z * math.sqrt(a), 1.0) ** 3)
