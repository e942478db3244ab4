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
"""Relative error of the least variance of a model above which a warning tells it."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class PrincipalComponents:
    """The k first principal components of rows x: eigenvectors of their sample covariance.

    Attributes
    ----------
    components
        (k, n) orthonormal rows, by descending variance; the entry of largest magnitude of each is
        positive.
    components_errors
        (k,) bound on the sine of the angle between a component and the exact one. It is 1 where
        the variance is not separated from its neighbours by more than its error.
    explained_variance, explained_variance_errors
        (k,) eigenvalues of the covariance, with the divisor rows - 1, and their error bounds.
    explained_variance_ratio, explained_variance_ratio_errors
        (k,) shares of the total variance; NaN, with infinite errors, if that is not resolved.
    singular_values, singular_values_errors
        (k,) of the centred rows.
    total_variance, total_variance_error
        Sum of the variances of all columns.
    noise_variance, noise_variance_error
        Mean of the min(rows, n) - k variances that are left; 0 if there are none.
    mean, mean_errors
        (n,) column means, and bounds on their errors.
    rows
        Number of rows.
    notes
        Remarks on the result.

    See Also
    --------
    GramAccumulator.pca, Sketch.pca : Make them.

    Notes
    -----
    Errors are bounds on rounding and, for a `Sketch`, on what it has missed: the exact result is
    that of the rows as they were given. They say nothing on how well the rows sample a population.
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
        """Return the rows (any, n) with these scores (any, k), within the span of the components.

        `whiten` tells whether the scores are whitened.
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
            A variance is not above its error, so that its reciprocal is not known.
        """
        return np.asarray(self.components / self._deviations()[:, None])

    def _deviations(self) -> Array:
        resolved = self.explained_variance > self.explained_variance_errors
        if not resolved.all():
            i = int(np.argmin(resolved))
            value, error = self.explained_variance[i], self.explained_variance_errors[i]
            raise ValueError(
                f"the variance of component {i} is {value:.3g} ± {error:.3g}, which cannot be "
                f"divided by: whiten {i} components at most"
            )
        return np.sqrt(self.explained_variance)

    def covariance(self) -> Array:
        """Return the covariance (n, n) of the model of probabilistic PCA (Tipping & Bishop 1999).

        The variances are those of the components along these, and `noise_variance` along every
        direction orthogonal to them. The error is not bounded as a whole, but that of each of
        these numbers is.
        """
        return self._model().covariance()

    def precision(self) -> Array:
        """Return the inverse (n, n) of :meth:`covariance`; errors as of :meth:`log_likelihood`."""
        self._require_definite()
        return self._model().precision()

    @public
    def log_likelihood(self, rows: ArrayLike) -> Array:
        """Return ln p(x) of each row x of (any, n) by the model of :meth:`covariance`: (any,).

        Raises
        ------
        ValueError
            The noise variance, or the last variance if there are n components, is not above its
            error: the covariance may be singular. So it is if k >= rows, and where a `Sketch` has
            missed too much.

        Warns
        -----
        ConvergenceWarning
            The error of that variance is above 1e-6 of it. Its logarithm is in ln p(x) n - k times,
            and it divides the squared distance from the components.

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
        """Return the model; errors of variances may have put one below the mean of the others."""
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
                f"{message}: so are the precision and the likelihood",
                ConvergenceWarning,
                stacklevel=4,
            )

    @staticmethod
    def _of_width(rows: Any, width: int) -> Array:
        array = np.asarray(real_array(rows), dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != width:
            raise ValueError(f"an array of shape {array.shape}, not (any, {width})")
        return array

    def __repr__(self) -> str:
        """Return the shape, and the share of the variance."""
        k, n = self.components.shape
        share, error = self.explained_variance_ratio.sum(), self.explained_variance_ratio_errors
        return (
            f"PrincipalComponents({k} of {n} columns, {self.rows} rows, "
            f"{share:.4g} ± {error.sum():.1g} of the variance)"
        )
