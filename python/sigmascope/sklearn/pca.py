# SPDX-License-Identifier: BSD-3-Clause
"""Principal component analysis as an estimator for scikit-learn."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sigmascope.errors import ConvergenceWarning
from sigmascope.extension import explaining_keywords
from sigmascope.streaming import GramAccumulator, PrincipalComponents

from .components import Components

Array = NDArray[np.float64]

_WARNED = 1e-6
"""A warning is given if the error of a variance, relative to the largest, exceeds this."""
_FINE = 1e-9
"""Up to this error, rows at hand are not read again to subtract their means."""


class PCA(Components):
    """Principal components of rows that come in batches, with the error of every number.

    :class:`sigmascope.streaming.GramAccumulator` accumulates the rows. The result is exact except
    for rounding, for any number of batches. Merging workers does not change a bit.

    Parameters
    ----------
    n_components : int, float or None
        Components to keep. None keeps all min(n_samples, n_features). A float between 0 and 1 keeps
        the components that reach that share of the variance.
    whiten : bool
        Whether to divide scores by their standard deviations. If True, a component whose variance
        is not above its error is refused.
    shift : (n_features,) array-like, optional
        Rough means. They preserve digits where means are much larger than deviations. Estimators
        merge only if their shifts are equal. The exact means are removed in any case. :meth:`fit`
        does not need it: where digits are lost, it reads the rows again and subtracts their means.

    Attributes
    ----------
    components_, explained_variance_, explained_variance_ratio_, singular_values_, mean_
        As in scikit-learn.
    components_error_
        (n_components_,) bound on the sine of the angle to the exact component.
    explained_variance_error_, explained_variance_ratio_error_, singular_values_error_, mean_error_
        Bounds on the errors of the attributes with these names.
    noise_variance_, noise_variance_error_
        Mean of the omitted variances, and its error.
    n_components_, n_samples_seen_, n_features_in_, feature_names_in_
        As in scikit-learn.
    accumulator_ : GramAccumulator
        The sums; its `save` writes them to a file.
    result_ : PrincipalComponents
        All of the above.

    Notes
    -----
    Memory: 8 n_features^2 bytes between batches, 54 n_features^2 during the decomposition that
    ends every call of :meth:`fit`, :meth:`partial_fit` and :meth:`merge`.

    Warns
    -----
    ConvergenceWarning
        The error of a variance exceeds 1e-6 of the largest variance; `shift` reduces it. Only
        :meth:`partial_fit` and :meth:`merge` warn, since :meth:`fit` removes the means first.

    Examples
    --------
    >>> import numpy as np
    >>> from sigmascope.sklearn import PCA
    >>> X = np.random.default_rng(0).standard_normal((300, 5)) * [9, 5, 3, 2, 1] + 7
    >>> first, second = PCA(2).fit(X[:200]), PCA(2).fit(X[200:])
    >>> pca = first.merge(second)
    >>> np.allclose(pca.explained_variance_, np.linalg.eigvalsh(np.cov(X.T))[:2:-1])
    True
    >>> pca.transform(X).shape, bool(pca.explained_variance_error_[0] < 1e-10)
    ((300, 2), True)
    """

    @explaining_keywords
    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        whiten: bool = False,
        shift: ArrayLike | None = None,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.shift = shift

    def fit(self, X: Any, y: None = None) -> Self:
        """Compute the components of rows X (n_samples, n_features), and forget others.

        Takes two passes if means exceed a few hundred times the deviations. `accumulator_` still
        holds the unchanged rows, so estimators can be merged.
        """
        self._check_n_components()
        rows = self._add(X, reset=True)
        result = self._components_of(self.accumulator_)
        errors, values = result.explained_variance_errors, result.explained_variance
        if self.shift is None and not errors[0] <= _FINE * values[0]:
            about_means = GramAccumulator(rows.shape[1], center=result.mean)
            result = self._components_of(about_means.update(rows))
        return self._published(result)

    def partial_fit(self, X: Any, y: None = None) -> Self:
        """Add rows to the rows of earlier calls.

        The components are computed as soon as there are n_components rows, and at least two.
        """
        self._check_n_components()
        self._add(X, reset=not hasattr(self, "accumulator_"))
        least = self.n_components if isinstance(self.n_components, Integral) else 2
        if self.n_samples_seen_ < max(int(least), 2):
            return self
        return self._published(self._components_of(self.accumulator_))

    def merge(self, other: PCA) -> Self:
        """Add the rows of another estimator without changing it; ValueError if shifts differ.

        No bit depends on the order of merges.
        """
        check_is_fitted(self, "accumulator_")
        check_is_fitted(other, "accumulator_")
        self.accumulator_.merge(other.accumulator_)
        self.n_samples_seen_ = self.accumulator_.rows
        return self._published(self._components_of(self.accumulator_))

    def transform(self, X: Any) -> Array:
        """Return the scores (n_samples, n_components_) of rows."""
        check_is_fitted(self, "components_")
        return self.result_.transform(self._rows(X), whiten=self.whiten)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the rows (n_samples, n_features) of scores (n_samples, n_components_)."""
        check_is_fitted(self, "components_")
        return self.result_.inverse_transform(np.asarray(X), whiten=self.whiten)

    def get_covariance(self) -> Array:
        """Return the covariance of the model: `PrincipalComponents.covariance`.

        It is the covariance of the rows, with and without `whiten`.
        """
        check_is_fitted(self, "components_")
        return self.result_.covariance()

    def get_precision(self) -> Array:
        """Return the inverse of the covariance: `PrincipalComponents.precision`."""
        check_is_fitted(self, "components_")
        return self.result_.precision()

    def score_samples(self, X: Any) -> Array:
        """Return ln p(x) of each row: `PrincipalComponents.log_likelihood`.

        ValueError if the least variance of the model is not above its error, for example with as
        many components as rows.
        """
        check_is_fitted(self, "components_")
        return self.result_.log_likelihood(self._rows(X))

    def score(self, X: Any, y: None = None) -> float:
        """Return the mean of :meth:`score_samples`."""
        return float(np.mean(self.score_samples(X)))

    def _check_n_components(self) -> None:
        wanted = self.n_components
        if wanted is None or (isinstance(wanted, Integral) and wanted >= 1):
            return
        if isinstance(wanted, Integral) or not (isinstance(wanted, Real) and 0 < wanted < 1):
            raise ValueError(
                f"n_components = {wanted!r} must be an integer of at least 1, a share of the "
                "variance between 0 and 1, or None"
            )

    def _add(self, X: Any, reset: bool) -> Any:
        """Add rows to the sums, and return the added rows."""
        X = self._rows(X, reset=reset)
        if reset:
            center = True if self.shift is None else np.asarray(self.shift, dtype=np.float64)
            self.accumulator_ = GramAccumulator(X.shape[1], center=center)
        self.accumulator_.update(X)
        self.n_samples_seen_ = self.accumulator_.rows
        return X

    def _components_of(self, sums: GramAccumulator) -> PrincipalComponents:
        """Return the components that `n_components` requests."""
        wanted = self.n_components
        if isinstance(wanted, Integral):
            return sums.pca(int(wanted))
        every = sums.pca()
        if wanted is None:
            return every
        below = np.cumsum(every.explained_variance_ratio) < wanted
        most = len(every.components)  # rounding may keep the sum of all below the share
        return sums.pca(min(1 + int(np.sum(below)), most))

    def _published(self, pca: PrincipalComponents) -> Self:
        """Set the attributes of scikit-learn, and warn about large errors."""
        self._publish(pca)
        if pca.explained_variance_errors[0] > _WARNED * pca.explained_variance[0] > 0:
            warnings.warn(
                f"variances have an error of {pca.explained_variance_errors[0]:.2g}, the largest "
                f"is {pca.explained_variance[0]:.2g}: pass rough means as `shift` to reduce it",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _publish(self, pca: PrincipalComponents) -> None:
        self.result_ = pca
        self.components_ = pca.components
        self.components_error_ = pca.components_errors
        self.explained_variance_ = pca.explained_variance
        self.explained_variance_error_ = pca.explained_variance_errors
        self.explained_variance_ratio_ = pca.explained_variance_ratio
        self.explained_variance_ratio_error_ = pca.explained_variance_ratio_errors
        self.singular_values_ = pca.singular_values
        self.singular_values_error_ = pca.singular_values_errors
        self.noise_variance_ = pca.noise_variance
        self.noise_variance_error_ = pca.noise_variance_error
        self.mean_ = pca.mean
        self.mean_error_ = pca.mean_errors
        self.n_components_ = len(pca.components)
