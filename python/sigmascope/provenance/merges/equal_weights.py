# SPDX-License-Identifier: BSD-3-Clause
"""Weights that are the same for all donors of a tensor, as a mean of models has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .number_formats import Reals
from .weights import WeightSet

ROUNDING = 1e-13
"""More than the relative error of float64 in a row's sum."""


def equal_interval(weights: WeightSet, box: Reals) -> tuple[float, float] | None:
    """Return the interval of c if every donor has the weight c; None if no such c fits.

    The rows of a set say the same on the line of equal weights as all numbers of the tensor do, so
    they bound c from both sides. Rows are widened by the rounding of their sums.

    Parameters
    ----------
    weights
        The set of all weights of a tensor.
    box
        The interval of each weight, of shape (p, 2).
    """
    low, high = float(box[:, 0].max()), float(box[:, 1].min())
    rows = weights.rows
    if rows is not None and len(rows.t):
        a, size = rows.a.sum(axis=0), np.abs(rows.a).sum(axis=0)
        reach = max(abs(end) for end in (low, high, 1.0) if np.isfinite(end))
        b = rows.b + ROUNDING * (size * reach + np.abs(rows.t) + rows.b)
        live = np.abs(a) > ROUNDING * size
        if (np.abs(rows.t[~live]) > b[~live] + ROUNDING * size[~live] * reach).any():
            return None
        middle, half = rows.t[live] / a[live], b[live] / np.abs(a[live])
        low = max(low, float((middle - half).max(initial=-np.inf)))
        high = min(high, float((middle + half).min(initial=np.inf)))
    return (low, high) if low <= high else None


def expected_mean(gram: Sequence[Sequence[float]]) -> float | None:
    """Return the weight of each of k donors in a model stock; None if a donor changes nothing.

    A model stock is t times the mean change, with t = k x / (1 + (k - 1) x) and the mean cosine x
    of two changes (Jang et al., 2024).
    """
    products = np.array(gram)
    sizes = np.sqrt(np.diag(products))
    k = len(sizes)
    if k < 2 or not sizes.all():
        return None
    cosines = products / np.outer(sizes, sizes)
    mean = (float(cosines.sum()) - k) / (k * (k - 1))
    return mean / (1 + (k - 1) * mean) if abs(1 + (k - 1) * mean) > 1e-6 else None
