# SPDX-License-Identifier: BSD-3-Clause
"""The normal distribution of probabilistic PCA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GaussianModel:
    """The distribution N(mean, V^T diag(variances) V + noise (I - V^T V)).

    These parameters have the greatest likelihood if `noise` is the mean of the n - k variances that
    are left out (Tipping & Bishop 1999, "Probabilistic principal component analysis"), except that
    the variances have the divisor rows - 1; theirs is rows.

    Attributes
    ----------
    components
        V, (k, n) orthonormal rows.
    variances
        (k,) variances along the components.
    noise
        Variance along every direction orthogonal to them; it has no effect if k = n.
    mean
        (n,)
    """

    components: Array
    variances: Array
    noise: float
    mean: Array

    def covariance(self) -> Array:
        """Return the covariance (n, n)."""
        return self._with_eigenvalues(self.variances, self.noise)

    def precision(self) -> Array:
        """Return the inverse (n, n) of the covariance; noise and variances are not zero."""
        rest = 1.0 / self.noise if self._has_noise else 0.0
        return self._with_eigenvalues(1.0 / self.variances, rest)

    def log_likelihood(self, rows: Array) -> Array:
        """Return ln p(x) for each row x; noise and variances are not zero.

        The part of a row outside the components is computed before it is squared, since the
        difference of two squares would lose digits.
        """
        k, n = self.components.shape
        centred = rows - self.mean
        scores = centred @ self.components.T
        distances = np.sum(scores**2 / self.variances, axis=1)
        log_determinant = float(np.sum(np.log(self.variances)))
        if self._has_noise:
            outside = centred - scores @ self.components
            distances += np.sum(outside**2, axis=1) / self.noise
            log_determinant += (n - k) * float(np.log(self.noise))
        return np.asarray(-0.5 * (n * np.log(2 * np.pi) + log_determinant + distances))

    @property
    def _has_noise(self) -> bool:
        """Tell whether there are directions orthogonal to the components."""
        k, n = self.components.shape
        return bool(k < n)

    def _with_eigenvalues(self, along: Array, orthogonal: float) -> Array:
        """Return the symmetric matrix with these eigenvalues along the components and elsewhere."""
        V = self.components
        rest = orthogonal if self._has_noise else 0.0
        matrix = (V.T * (along - rest)) @ V
        matrix[np.diag_indices_from(matrix)] += rest
        return np.asarray(matrix)
