# SPDX-License-Identifier: BSD-3-Clause
"""Measures of one matrix as plain functions of its singular values.

``sigma`` is always the array of singular values (p,), descending; lambda = sigma^2. Unless it says
otherwise, a function needs all p = min(m, n) values, returns a float, and raises ValueError if the
measure is undefined (mostly: all values are zero). Ratios are computed from sigma / sigma_1. A
factor c > 0 of the matrix therefore does not change scale-free measures, not even by overflow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Values at or below this fraction of sigma_1 do not count in a numerical rank.
RANK_RTOL = 1e-6
# A share of the energy counts as reached if only rounding is missing.
TIE = 1e-12
# The least positive normal number, for the logarithm of a weight of 0.
TINY = 2.0**-1022


def checked(sigma: ArrayLike) -> Array:
    """Return sigma as float64; ValueError unless it is 1-D, finite, non-negative and descending."""
    s = np.asarray(sigma, dtype=np.float64)
    if s.ndim != 1 or len(s) == 0:
        raise ValueError(f"singular values must be a non-empty vector, not of shape {s.shape}")
    if s[-1] >= 0 and s[0] < math.inf and (s[:-1] >= s[1:]).all():  # no comparison with NaN is true
        return s
    if not np.all(np.isfinite(s)) or s.min() < 0:
        raise ValueError("singular values must be finite and >= 0")
    raise ValueError("singular values must be in descending order")


def relative(sigma: ArrayLike) -> Array:
    """Return sigma / sigma_1; ValueError if sigma_1 = 0."""
    s = checked(sigma)
    if s[0] == 0:
        raise ValueError("a zero matrix has no scale-free measures")
    return np.asarray(s / s[0])


def entropy(p: Array) -> float:
    """Return -sum p ln p of weights that sum to 1, with 0 ln 0 = 0."""
    return float(-(p * np.log(np.maximum(p, TINY))).sum())


def entropy_rank(weights: Array) -> float:
    """Return exp(entropy of weights / sum of weights) for weights (p,) whose sum is not 0."""
    return math.exp(entropy(weights / weights.sum()))


def entropy_rank_error(rank: float, weights: Array, errors: Array) -> float:
    """Bound, to first order, the error of :func:`entropy_rank` from errors (p,) of weights (p,).

    d entropy / d weight_i = -(ln p_i + entropy) / total, for p = weights / total.
    """
    total = weights.sum()
    # ln p is infinite at 0; for a weight below its error the value at the error is used.
    p = np.maximum(weights, np.maximum(errors, TINY)) / total
    slope = np.abs(np.log(p) + math.log(rank))
    return float(rank / total * (slope * errors).sum()) + 1e-14 * rank


def fro_norm(sigma: ArrayLike) -> float:
    """Return sqrt(sum lambda). Range [0, inf), unit sigma."""
    s = checked(sigma)
    return float(s[0] * np.linalg.norm(s / s[0])) if s[0] > 0 else 0.0


def spectral_norm(sigma: ArrayLike) -> float:
    """Return sigma_1, which needs only the top value. Unit sigma.

    WeightWatcher's column of this name is lambda_1.
    """
    return float(checked(sigma)[0])


def nuclear_norm(sigma: ArrayLike) -> float:
    """Return sum sigma. Range [0, inf), unit sigma."""
    return float(checked(sigma).sum())


def stable_rank(sigma: ArrayLike) -> float:
    """Return sum lambda / lambda_1. Range [1, p]."""
    return float(np.sum(relative(sigma) ** 2))


def effective_rank(sigma: ArrayLike) -> float:
    """Return exp of the entropy of sigma / sum sigma (Roy & Vetterli 2007). Range [1, p]."""
    return entropy_rank(relative(sigma))


def effective_rank_energy(sigma: ArrayLike) -> float:
    """Return exp of the entropy of lambda / sum lambda. Range [1, p].

    It is far below :func:`effective_rank` on most spectra; the two are never interchangeable.
    """
    return entropy_rank(relative(sigma) ** 2)


def spectral_entropy(sigma: ArrayLike) -> float:
    """Return ln(effective_rank) / ln p. Range [0, 1]; undefined for p = 1."""
    s = relative(sigma)
    if len(s) == 1:
        raise ValueError("spectral_entropy divides by ln min(m, n), which is 0 for a vector")
    return entropy(s / s.sum()) / math.log(len(s))


def participation_ratio(sigma: ArrayLike) -> float:
    """Return (sum lambda)^2 / sum lambda^2. Range [1, p]."""
    x = relative(sigma) ** 2
    return float(x.sum() ** 2 / np.sum(x**2))


def nuclear_rank(sigma: ArrayLike) -> float:
    """Return (sum sigma)^2 / sum lambda. Range [1, p]."""
    s = relative(sigma)
    return float(s.sum() ** 2 / np.sum(s**2))


def energy_rank(sigma: ArrayLike, q: float, fro: float | None = None) -> int:
    """Return the least k with sum_{i <= k} lambda >= q sum lambda, 0 < q <= 1.

    With ``fro`` = ||A||_F the top values are enough; ValueError when they do not reach q.
    """
    if not 0 < q <= 1:
        raise ValueError(f"q must be in (0, 1], not {q}")
    held = np.cumsum(relative(sigma) ** 2)
    total = held[-1] if fro is None else (fro / spectral_norm(sigma)) ** 2
    k = int(np.searchsorted(held, q * total * (1.0 - TIE))) + 1
    if k > len(held):
        raise ValueError(f"the top {len(held)} values hold less than {q} of the energy")
    return k


def concentration(sigma: ArrayLike, k: int, fro: float | None = None) -> float:
    """Return sum_{i <= k} lambda / sum lambda. Range (0, 1].

    With ``fro`` = ||A||_F the top k values are enough.
    """
    s = relative(sigma)
    if not 1 <= k <= len(s):
        raise ValueError(f"k = {k} must be between 1 and {len(s)}, the number of values")
    total = float(np.sum(s**2)) if fro is None else (fro / spectral_norm(sigma)) ** 2
    return min(float(np.sum(s[:k] ** 2)) / total, 1.0)


def numerical_rank(sigma: ArrayLike, rtol: float = RANK_RTOL, floor: float = 0.0) -> int:
    """Count the sigma that exceed both rtol sigma_1 and ``floor`` (sigma units)."""
    s = checked(sigma)
    return int(np.sum(s > max(rtol * s[0], floor)))


def condition(sigma: ArrayLike, floor: float = 0.0) -> float:
    """Return sigma_1 / sigma_p. Range [1, inf]; inf if sigma_p does not exceed ``floor``."""
    s = checked(sigma)
    return float(s[0] / s[-1]) if s[-1] > floor else math.inf
