# SPDX-License-Identifier: BSD-3-Clause
"""Truncated singular value decomposition as an estimator for scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted, check_random_state

from sigmascope import svds
from sigmascope.extension import explaining_keywords
from sigmascope.extension.components import oriented, shares, sine_bounds
from sigmascope.results import SVD

from .components import Components
from .score_variances import column_statistics, score_variances

Array = NDArray[np.float64]


class TruncatedSVD(Components):
    """The leading right singular vectors of uncentred rows, with errors.

    The rows are dense or sparse; sparse rows remain sparse. :func:`sigmascope.svds` searches to a
    tolerance instead of running a fixed number of iterations.

    Parameters
    ----------
    n_components : int
        Components to keep: at most min(n_samples, n_features).
    tol : float
        Largest residual, relative to the largest singular value, as for :func:`sigmascope.svds`.
        The floor for rows in float32 is 96 units of roundoff.
    random_state : int, RandomState or None
        Seed of the search. None means 0, so fits agree to the bit. An instance of RandomState gives
        a new seed at every fit. For untrusted rows pass ``secrets.randbits(53)``.

    Attributes
    ----------
    components_, singular_values_, explained_variance_, explained_variance_ratio_
        As in scikit-learn: right singular vectors and values, the variances of the scores (with
        the divisor n_samples), and their shares of the total variance of all columns. The entry of
        largest magnitude in each component is positive.
    components_error_
        (n_components_,) bound on the sine of the angle to the exact component. It is 1 where a
        singular value is not separated from its neighbours by more than the residual.
    singular_values_error_, explained_variance_error_, explained_variance_ratio_error_
        Bounds on the distances from the numbers of the exact components.
    n_components_, n_features_in_, feature_names_in_
        As in scikit-learn.
    result_ : SVD
        The triplets, and one more than n_components if it exists, which gives the gap after the
        last component. The residuals are the evidence for all errors. The left vectors, which have
        n_samples entries, are not kept.

    See Also
    --------
    PCA : Centred rows, and rows in batches.
    sigmascope.streaming.GramAccumulator : Rows that are read once, without centring.
    sigmascope.streaming.Sketch : The same in less memory.

    Notes
    -----
    There is no `partial_fit`, since a search reads the rows once per step. For rows that can be
    read only once, `svd` of an accumulator gives singular values and right vectors with errors.

    Memory is that of :func:`sigmascope.svds`, and a copy of X in float64 for the variances.

    The errors rest on residuals and on the certificate of :func:`sigmascope.svds`, which fails in
    one case in a million.

    Warns
    -----
    ConvergenceWarning
        The tolerance was not reached; the errors are still valid.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sigmascope.sklearn import TruncatedSVD
    >>> dense = np.random.default_rng(0).poisson(0.2, (200, 40)) * 0.8 ** np.arange(40)
    >>> svd = TruncatedSVD(3).fit(sparse.csr_array(dense))
    >>> np.allclose(svd.singular_values_, np.linalg.svd(dense, compute_uv=False)[:3])
    True
    >>> svd.transform(dense).shape, bool(np.all(svd.singular_values_error_ < 1e-6))
    ((200, 3), True)
    """

    @explaining_keywords
    def __init__(
        self,
        n_components: int = 2,
        *,
        tol: float = 1e-6,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Compute the components of rows X (n_samples, n_features), an array or sparse matrix."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: None = None) -> Array:
        """Compute the components of rows, and return their scores (n_samples, n_components)."""
        X = self._rows(X, reset=True, sparse=True)
        k = self._count(X.shape)
        svd = svds(X, min(k + 1, *X.shape), tol=self.tol, seed=self._seed())
        V = np.asarray(svd.Vt, dtype=np.float64)[:k]
        self.components_ = oriented(V / np.linalg.norm(V, axis=1, keepdims=True))
        self.n_components_ = k
        scores = np.asarray(X @ self.components_.T)
        self._publish(svd, X, scores)
        return scores

    def transform(self, X: Any) -> Array:
        """Return the scores (n_samples, n_components_) of rows."""
        check_is_fitted(self, "components_")
        return np.asarray(self._rows(X, sparse=True) @ self.components_.T)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Return the rows (n_samples, n_features) of scores (n_samples, n_components_)."""
        check_is_fitted(self, "components_")
        T = check_array(X, dtype=[np.float64, np.float32])
        if T.shape[1] != len(self.components_):
            raise ValueError(f"scores of shape {T.shape}, not (any, {len(self.components_)})")
        return np.asarray(T @ self.components_)

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn: sparse rows are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _count(self, shape: tuple[int, int]) -> int:
        wanted = self.n_components
        if not isinstance(wanted, Integral) or wanted < 1:
            raise ValueError(f"n_components = {wanted!r} must be an integer of at least 1")
        if wanted > min(shape):
            raise ValueError(
                f"n_components = {wanted} exceeds the lesser of n_samples = {shape[0]} and "
                f"n_features = {shape[1]}"
            )
        return int(wanted)

    def _seed(self) -> int:
        state = self.random_state
        if state is None or isinstance(state, Integral):
            return int(state or 0)
        return int(check_random_state(state).randint(2**31 - 1))

    def _publish(self, svd: SVD, X: Any, scores: Array) -> None:
        k = self.n_components_
        s, errors = svd.s, svd.errors
        self.result_ = replace(svd, U=None)
        self.singular_values_, self.singular_values_error_ = s[:k], errors[:k]
        self.components_error_ = _sines(s, errors, svd.residuals[:k])
        columns = column_statistics(X)
        self.explained_variance_, self.explained_variance_error_ = score_variances(
            scores, columns, s[:k], errors[:k], self.components_error_
        )
        self.explained_variance_ratio_, self.explained_variance_ratio_error_ = shares(
            self.explained_variance_,
            self.explained_variance_error_,
            columns.total,
            columns.total_error,
        )


def _sines(s: Array, errors: Array, residuals: Array) -> Array:
    """Bound the sines of the angles of right vectors, by residuals of both sides.

    (u, v) / sqrt(2) is nearly an eigenvector of [0 A; A^T 0] with the residual r. Let c, c_u and
    c_v be the cosines of the angles of (u, v) / sqrt(2), of u and of v. Then c = (c_u + c_v) / 2,
    so 1 - c_v^2 <= 4 c (1 - c) <= 2 (1 - c^2): the sine of v is at most sqrt(2) times the sine of
    the pair. If there is no further value, the next one is 0, since [0 A; A^T 0] has the eigenvalue
    0 where A is not square.
    """
    last = [0.0] if len(s) == len(residuals) else []
    values, errors = np.concatenate([s, last]), np.concatenate([errors, last])
    sines = np.sqrt(2.0) * sine_bounds(values, errors, residuals)
    return np.asarray(np.minimum(sines, 1.0))
