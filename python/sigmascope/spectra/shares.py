# SPDX-License-Identifier: BSD-3-Clause
"""Schatten norms and effective ranks from a density: of all values, and above a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from . import staircase
from .deflation import CONVERGED
from .measure import Measure
from .quadrature import Function, Quadrature

Array = NDArray[np.float64]
Estimator = Callable[..., Measure]
"""Estimator of a function of traces: `Density._measure`.

Arguments are the function, its gradient, and the functions of lambda whose traces it takes.
"""


def entropy_term(x: Array) -> Array:
    """Return x ln x, with 0 ln 0 = 0."""
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)))


def schatten(measure: Estimator, scale: float, p: float) -> Measure:
    """Estimate (sum sigma^p)^(1/p), p > 0; `scale` as for :func:`rank`, not 0."""
    norm = measure(
        lambda t: max(t, 0.0) ** (1 / p),
        lambda t: (max(t, 1e-300) ** (1 / p - 1) / p,),
        lambda x: (x / scale**2) ** (p / 2),
    )
    return Measure(scale * norm.value, scale * norm.error, "density")


def rank(measure: Estimator, scale: float, share: Function) -> Measure:
    """Estimate exp(entropy of sigma / sum sigma), with each value weighted by share(lambda).

    `scale` is any sigma of the order of magnitude of the largest one.
    """

    def of_traces(s: float, e: float) -> float:
        return s * math.exp(-e / s) if s > 0 else 0.0

    def slope(s: float, e: float) -> tuple[float, float]:
        if s <= 0:
            return 0.0, 0.0
        r = of_traces(s, e)
        return r * (1.0 / s + e / s**2), -r / s

    return measure(
        of_traces,
        slope,
        lambda x: share(x) * (np.sqrt(x) / scale),
        lambda x: share(x) * entropy_term(np.sqrt(x) / scale),
    )


def rank_above(
    q: Quadrature, measure: Estimator, scale: float, x: float, count: Measure
) -> Measure:
    """Estimate the effective rank of the values above x (sigma); `count` is their number."""
    cut = np.asarray(x)

    def step(y: Array) -> Array:
        return np.asarray(np.sqrt(y) > x, dtype=np.float64)

    if staircase.resolves(q, cut):
        effective = rank(measure, scale, step)
        return Measure(effective.value, effective.error + CONVERGED**2 * effective.value, "density")
    low, high = staircase.stair_around(q, cut)

    def slope(y: Array) -> Array:
        return staircase.ramp(y, low, high)

    # The same choice as for the count, so that the rank does not exceed the count.
    share = step if staircase.counts_at_gaps(q, cut[None])[2][0] else slope
    effective = rank(measure, scale, share)
    total = measure(lambda s: s, lambda s: (1.0,), lambda y: share(y) * np.sqrt(y))
    # One more value at x, which is r times the mean of those above, adds r (1 - ln r) <= 1.
    r = min(max(effective.value, 1.0) * x / total.value, 1.0) if total.value > 0 else 1.0
    error = effective.error + (r * (1.0 - math.log(r)) * count.error if r > 0 else 0.0)
    return Measure(max(effective.value, 0.0), error, "density")
