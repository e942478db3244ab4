# SPDX-License-Identifier: BSD-3-Clause
"""Removal of the column means from sums of products: principal components and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra.components import oriented, shares, sine_bounds
from sigmascope.spectra.units import scaled

from .principal_components import PrincipalComponents

Array = NDArray[np.float64]

_LARGE_MEAN = 1e4
"""Ratio of squared means to squared deviations above which a note advises how to keep digits."""


class Centred(NamedTuple):
    """Sums over rows minus a shift, in units of 2^unit, and the rounding errors of centring."""

    sums: Array
    """Column sums, (n,)."""
    rows: int
    squares: float
    """Sum of the squares of all entries."""
    rounding: float
    """Relative error of sums of products of one sign."""
    shift: Array | float
    unit: int

    @property
    def of_mean(self) -> float:
        """Return rows ||mean||^2, the norm of the matrix that centring subtracts."""
        return float(self.sums @ self.sums) / self.rows

    @property
    def error(self) -> float:
        """Return a bound on the error of the centred A^T A that comes from the means."""
        return 3 * self.rounding * self.of_mean

    @property
    def total(self) -> float:
        """Return the sum of squares of the centred rows, the trace of their A^T A."""
        return max(self.squares - self.of_mean, 0.0)

    @property
    def total_error(self) -> float:
        """Return a bound on the error of `total`."""
        return self.rounding * self.squares + self.error

    @property
    def notes(self) -> tuple[str, ...]:
        """Return remarks: on the number of rows, and on means that cost digits."""
        rows = (f"{self.rows} rows accumulated",)
        if self.of_mean <= _LARGE_MEAN * self.total:
            return rows
        note = f"the means are {np.sqrt(self.of_mean / max(self.total, 1e-300)):.1g} times"
        if self.total <= self.total_error:
            note = "no variance is resolved, since the means are at least 1e6 times"
        return (*rows, f"{note} the deviations: pass rough means as `center` to keep more digits")

    def mean(self) -> Array:
        """Return the column means of the rows themselves."""
        return np.asarray(scaled(self.sums / self.rows, self.unit) + self.shift)

    def mean_errors(self, root_mean_squares: Array | float) -> Array:
        """Bound the errors of the means by the root mean square of each column."""
        of_sums = scaled(self.rounding * np.asarray(root_mean_squares), self.unit)
        return np.asarray(of_sums + 2.0**-52 * np.abs(self.mean()))


@dataclass(frozen=True, slots=True, eq=False)
class CentredSpectrum:
    """Eigenvalues and eigenvectors of the centred A^T A, in the units of `sums`.

    Attributes
    ----------
    values
        (k or more,) descending. Values after the k-th show its distance from the others.
    vectors
        (n, k)
    error
        Bound on the norm of the error of the centred A^T A, and so on the error of every value.
    """

    sums: Centred
    values: Array
    vectors: Array
    error: float

    def components(
        self, root_mean_squares: Array | float, notes: tuple[str, ...] = ()
    ) -> PrincipalComponents:
        """Return the k principal components, with further notes."""
        sums, (n, k) = self.sums, self.vectors.shape
        values = self.values[:k]
        ratio, ratio_errors = shares(values, self.error, sums.total, sums.total_error)
        singular = np.sqrt(values)
        lowest = np.sqrt(np.maximum(values - self.error, 0.0))
        bounds = np.maximum(np.sqrt(values + self.error) - singular, singular - lowest)
        left = max(sums.total - float(values.sum()), 0.0)
        rest = min(sums.rows, n) - k

        def variance(x: Any) -> Any:
            return scaled(x / (sums.rows - 1), 2 * sums.unit)

        def mean_of_rest(x: float) -> float:
            return float(variance(x / rest)) if rest else 0.0

        return PrincipalComponents(
            components=oriented(np.ascontiguousarray(self.vectors.T)),
            components_errors=self._sines(),
            explained_variance=variance(values),
            explained_variance_errors=variance(np.full(k, self.error)),
            explained_variance_ratio=ratio,
            explained_variance_ratio_errors=ratio_errors,
            singular_values=scaled(singular, sums.unit),
            singular_values_errors=scaled(bounds, sums.unit),
            total_variance=float(variance(sums.total)),
            total_variance_error=float(variance(sums.total_error)),
            noise_variance=mean_of_rest(left),
            noise_variance_error=mean_of_rest(sums.total_error + k * self.error),
            mean=sums.mean(),
            mean_errors=sums.mean_errors(root_mean_squares),
            rows=sums.rows,
            notes=sums.notes + notes,
        )

    def _sines(self) -> Array:
        """Bound the sines of the angles between the vectors and the exact ones."""
        n, k = self.vectors.shape
        unknown = [0.0] if len(self.values) == k < n else []  # is at most the error
        every = np.concatenate([self.values, unknown])
        return sine_bounds(every, np.full(len(every), self.error), np.full(k, self.error))
