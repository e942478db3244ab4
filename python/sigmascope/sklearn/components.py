# SPDX-License-Identifier: BSD-3-Clause
"""The common base of component estimators: it checks rows and names components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data


class Components(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A transformer with orthonormal rows `components_` (n_components_, n_features)."""

    components_: NDArray[np.float64]

    @property
    def _n_features_out(self) -> int:
        """Return the number of components, for which feature names are generated."""
        return len(self.components_)

    def _rows(self, X: Any, *, reset: bool = False, sparse: bool = False) -> Any:
        """Return checked rows: float32 or float64, with the width of earlier rows.

        With `reset`, the estimator adopts their width and the names of their features.
        """
        accepted = ["csr", "csc"] if sparse else False
        dtypes = [np.float64, np.float32]
        return validate_data(self, X, accept_sparse=accepted, dtype=dtypes, reset=reset)
