# SPDX-License-Identifier: BSD-3-Clause
"""Principal components of rows, with the error of every number."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope._host.keywords import public
from sigmascope.errors import ConvergenceWarning
from sigmascope.matrices.arrays import real_array

from .gaussian_model import GaussianModel

Array = NDArray[np.float64]

_LOOSE = 1e-6
"""Relative error of the least variance of a model above which there is a warning."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PrincipalComponents:
    """The first k principal components of rows x: eigenvectors of their sample covariance.

    Attributes
    ----------
    components
        (k, n) orthonormal rows, by descending variance. In each row the entry of largest magnitude
        is positive.
    components_errors
        (k,) bound on the sine of the angle between a component and the exact one. It is 1 if the
        gap between a variance and its neighbours does not exceed its error.
    explained_variance, explained_variance_errors
        (k,) eigenvalues of the covariance, with the divisor rows - 1, and their error bounds.
    explained_variance_ratio, explained_variance_ratio_errors
        (k,) shares of the total variance; NaN with infinite errors if the total is not resolved.
    singular_values, singular_values_errors
        (k,) singular values of the centred rows, and their error bounds.
    total_variance, total_variance_error
        Sum of the variances of all columns.
    noise_variance, noise_variance_error
        Mean of the remaining min(rows, n) - k variances; 0 if nothing remains.
    mean, mean_errors
        (n,) column means, and bounds on their errors.
    rows
        Number of rows.
    notes
        Remarks on the result.

    See Also
    --------
    GramAccumulator.pca, Sketch.pca : The methods that return this.

    Notes
    -----
    Errors bound the distance from the exact result for the given rows: rounding and, for a
    `Sketch`, what it has missed. They do not say how well the rows sample a population.
    """

    components: Array
    components_errors: Array
    explained_variance: Array
    explained_variance_errors: Array
    explained_variance_ratio: Array
    explained_variance_ratio_errors: Array
    singular_values: Array
    singular_values_errors: Array
    total_variance: float
    total_variance_error: float
    noise_variance: float
    noise_variance_error: float
    mean: Array
    mean_errors: Array
    rows: int
    notes: tuple[str, ...] = ()

    @public
    def transform(self, rows: ArrayLike, *, whiten: bool = False) -> Array:
        """Return the scores (any, k) of rows (any, n): (rows - mean) V, in float64.

        With `whiten`, each column is divided by its standard deviation, as :meth:`whitening` does.

        Examples
        --------
        >>> import numpy as np, sigmascope as ss
        >>> rows = np.random.default_rng(0).standard_normal((300, 5)) * [9, 5, 3, 2, 1]
        >>> pca = ss.streaming.GramAccumulator(5, center=True).update(rows).pca(2)
        >>> scores = pca.transform(rows, whiten=True)
        >>> np.allclose(np.cov(scores.T), np.eye(2))
        True
        """
        basis = self.whitening() if whiten else self.components
        return np.asarray((self._of_width(rows, len(self.mean)) - self.mean) @ basis.T)

    @public
    def inverse_transform(self, scores: ArrayLike, *, whiten: bool = False) -> Array:
        """Return the rows (any, n) in the span of the components with these scores (any, k).

        Pass `whiten=True` if the scores are whitened.
        """
        T = self._of_width(scores, len(self.components))
        if whiten:
            T = T * self._deviations()
        return np.asarray(T @ self.components + self.mean)

    def whitening(self) -> Array:
        """Return the matrix (k, n) that maps centred rows to scores of unit variance.

        Raises
        ------
        ValueError
            If a variance does not exceed its error. Its reciprocal is then unknown.
        """
        return np.asarray(self.components / self._deviations()[:, None])

    def _deviations(self) -> Array:
        resolved = self.explained_variance > self.explained_variance_errors
        if not resolved.all():
            i = int(np.argmin(resolved))
            value, error = self.explained_variance[i], self.explained_variance_errors[i]
            raise ValueError(
                f"the variance of component {i} is {value:.3g} ± {error:.3g}, too "
                f"uncertain to divide by: whiten at most {i} components"
            )
        return np.sqrt(self.explained_variance)

    def covariance(self) -> Array:
        """Return the covariance (n, n) of the model of probabilistic PCA (Tipping & Bishop 1999).

        Along each component the variance is `explained_variance`; in every direction orthogonal to
        the components it is `noise_variance`. Each of these numbers has an error bound; the matrix
        as a whole does not.
        """
        return self._model().covariance()

    def precision(self) -> Array:
        """Return the inverse (n, n) of :meth:`covariance`.

        Raises and warns as :meth:`log_likelihood`.
        """
        self._require_definite()
        return self._model().precision()

    @public
    def log_likelihood(self, rows: ArrayLike) -> Array:
        """Return ln p(x) (any,) of each row x of (any, n), by the model of :meth:`covariance`.

        Raises
        ------
        ValueError
            If the noise variance, or the last variance if there are n components, does not exceed
            its error: the covariance may be singular. This happens if k >= rows, or if a `Sketch`
            has missed too much.

        Warns
        -----
        ConvergenceWarning
            If the error of that variance exceeds 1e-6 of it. ln p(x) contains its logarithm n - k
            times, and the squared distance from the components divided by it.

        Notes
        -----
        Memory: four arrays as large as the rows in float64. The covariance is not formed.

        Examples
        --------
        >>> import numpy as np, sigmascope as ss
        >>> rows = np.random.default_rng(0).standard_normal((4000, 5)) * [3, 1, 1, 1, 1]
        >>> pca = ss.streaming.GramAccumulator(5, center=True).update(rows).pca(1)
        >>> entropy = np.log(3) + 5 / 2 * np.log(2 * np.pi * np.e)
        >>> bool(abs(pca.log_likelihood(rows).mean() + entropy) < 0.1)
        True
        """
        self._require_definite()
        return self._model().log_likelihood(self._of_width(rows, len(self.mean)))

    def _model(self) -> GaussianModel:
        """Return the model. Errors may put a variance below the noise; it is then raised to it."""
        variances = np.maximum(self.explained_variance, self.noise_variance)
        return GaussianModel(self.components, variances, self.noise_variance, self.mean)

    def _require_definite(self) -> None:
        """Raise ValueError if the least variance of the model is not above its error."""
        k, n = self.components.shape
        what, value, error = "noise variance", self.noise_variance, self.noise_variance_error
        if k == n:
            what = f"variance of component {k - 1}"
            value, error = self.explained_variance[-1], self.explained_variance_errors[-1]
        message = f"the {what} is {value:.3g} ± {error:.3g}"
        if value <= error:
            raise ValueError(f"{message}: the covariance may be singular; keep fewer components")
        if error > _LOOSE * value:
            warnings.warn(
                f"{message}: the precision and the likelihood are as uncertain",
                ConvergenceWarning,
                stacklevel=4,
            )

    @staticmethod
    def _of_width(rows: Any, width: int) -> Array:
        array = np.asarray(real_array(rows), dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != width:
            raise ValueError(f"rows must have shape (any, {width}), not {array.shape}")
        return array

    def __repr__(self) -> str:
        """Return the shape, and the share of the variance."""
        k, n = self.components.shape
        share, error = self.explained_variance_ratio.sum(), self.explained_variance_ratio_errors
        return (
            f"PrincipalComponents({k} of {n} columns, {self.rows} rows, "
            f"{share:.4g} ± {error.sum():.1g} of the variance)"
        )
