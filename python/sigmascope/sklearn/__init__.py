# SPDX-License-Identifier: BSD-3-Clause
"""Estimators for scikit-learn, whose attributes come with errors (extra ``sklearn``)."""

from __future__ import annotations

try:
    from .pca import PCA
    from .truncated_svd import TruncatedSVD
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "sklearn":
        raise
    message = "sigmascope.sklearn needs scikit-learn: pip install 'sigmascope[sklearn]'"
    raise ImportError(message) from error

__all__ = ["PCA", "TruncatedSVD"]
