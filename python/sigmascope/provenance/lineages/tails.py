# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities that permuted blocks are at least as similar: a certified bound, and a sharp value.

Under the null hypothesis T = Σ_b tr C_b is one of (m!)^blocks equally likely values. Then

- log p ≤ K(s) - s T for every s ≥ 0 (Markov's inequality), which is the *certified* bound. K is the
  same for all permutations, so the bound falls with T and is a valid p-value for any s;
- the saddle-point formula of Lugannani and Rice gives the *sharp* value.

References
----------
Lugannani & Rice, Saddle point approximation for the distribution of the sum of independent random
variables, 1980. Lehmann & Romano, Testing Statistical Hypotheses, section 15.2, 2005.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, lgamma, log, log1p, pi, sqrt
from typing import NamedTuple

import numpy as np

from .blocks import Doubles, centre_blocks, effect_size, variance_of
from .permanents import Cumulants, cumulants, largest_tilt

LN10 = log(10)

ROUNDING = 1e-11
"""Allowance for the rounding of K and s T, for each block: 8 rows of errors below 1e-13."""


@dataclass(frozen=True, slots=True)
class BlockTest:
    """The test of one stack of blocks.

    Attributes
    ----------
    blocks, size : int
        Number of blocks, and things in a block.
    z : float
        Standardised statistic. It is not evidence: the p-values are.
    rho : float
        Effect size: the mean cosine in place minus that of other things in the block.
    log10_p : float
        Certified bound on the p-value.
    log10_p_sharp : float
        Saddle-point value of the p-value. It equals the bound where there is no saddle point.
    log10_floor : float
        The least p-value that the group of permutations can give.
    """

    blocks: int
    size: int
    z: float
    rho: float
    log10_p: float
    log10_p_sharp: float
    log10_floor: float

    @property
    def things(self) -> int:
        """Number of things in all blocks."""
        return self.blocks * self.size


class _Saddle(NamedTuple):
    """A point s with K'(s) ≈ T, in units of the deviation of T."""

    s: float
    at: Cumulants
    best: float
    """Least K(s) - s T over the visited s ≥ 0; at most 0."""
    converged: bool


def assess_blocks(similarities: Doubles, views: int = 1, rho: float | None = None) -> BlockTest:
    """Test whether things in place are more similar than permuted things.

    Parameters
    ----------
    similarities : array (blocks, m, m)
        C[b, i, j] is the similarity of thing i of one model and thing j of the other.
    views : int
        Number of cosines that are summed in C, for the effect size.
    rho : float, optional
        The effect size, if already known: that of pooled blocks cannot be read from them.

    Examples
    --------
    >>> import numpy as np
    >>> test = assess_blocks(np.eye(8)[None])
    >>> round(10**test.log10_floor * 40320, 9)
    1.0
    """
    blocks, size, _ = similarities.shape
    rho = effect_size(similarities, views) if rho is None else rho
    floor = -blocks * lgamma(size + 1)
    centred = centre_blocks(similarities)
    variance = variance_of(centred) if blocks and size > 1 else 0.0
    if not variance > 0 or not np.isfinite(variance):
        return BlockTest(blocks, size, 0.0, rho, 0.0, 0.0, floor / LN10)
    centred /= sqrt(variance)
    z = float(np.trace(centred, axis1=1, axis2=2).sum())
    saddle = _find_saddle(centred, z)
    bound = min(max(saddle.best + blocks * ROUNDING, floor), 0.0)
    sharp = bound
    if saddle.converged:
        sharp = min(_lugannani_rice(centred, saddle, z), bound if z > 0 else 0.0)
        sharp = max(sharp, floor)
    return BlockTest(blocks, size, z, rho, bound / LN10, sharp / LN10, floor / LN10)


def _find_saddle(blocks: Doubles, z: float) -> _Saddle:
    """Minimise the convex K(s) - s z by Newton's method inside a bracket."""
    limit = largest_tilt(blocks)
    low, high = (0.0, limit) if z >= 0 else (-limit, 0.0)
    s = min(max(z, low), high)
    best, at = 0.0, Cumulants(0.0, 0.0, 1.0)
    for _ in range(100):
        at = cumulants(blocks, s)
        slope = at.mean - z
        if s >= 0:
            best = min(best, at.value - s * z)
        decrement = slope**2 / at.variance if at.variance > 0 else 0.0
        if decrement < 1e-12:
            break
        if slope > 0:
            high = s
        else:
            low = s
        following = s - slope / at.variance
        if z > 0 and following > 2 * s:
            following = min(2 * s, high)
        elif z < 0 and following < 2 * s:
            following = max(2 * s, low)
        if not low < following < high:
            edge = high if slope < 0 else low
            following = edge if abs(edge) == limit else (low + high) / 2
        if following == s:
            break
        s = following
    # without variance under the tilted law there is no saddle: T is at the edge of its support
    converged = s**2 * at.variance > 1e-3 or abs(z) < 0.1
    return _Saddle(s, at, best, converged and abs(at.mean - z) <= 1e-4 * sqrt(at.variance))


def _lugannani_rice(blocks: Doubles, saddle: _Saddle, z: float) -> float:
    """Return the logarithm of the saddle-point value of P(T ≥ z)."""
    s, at = saddle.s, saddle.at
    depth = max(s * z - at.value, 0.0)
    w = np.copysign(sqrt(2 * depth), s)
    if abs(w) < 0.05:  # 1/u - 1/w tends to minus a sixth of the skewness
        step = 0.05
        skewness = cumulants(blocks, step).variance - cumulants(blocks, -step).variance
        difference = -skewness / (2 * step) / 6
    else:
        difference = 1 / (s * sqrt(at.variance)) - 1 / w
    if w < 5:
        density = exp(-w * w / 2) / sqrt(2 * pi)
        p = 0.5 * erfc(w / sqrt(2)) + density * difference
        return log(min(max(p, 1e-300), 1.0))
    tail = log_normal_tail(w)
    correction = exp(-w * w / 2 - log(2 * pi) / 2 - tail) * difference
    return tail + log1p(max(correction, -1 + 1e-12))


def log_normal_tail(w: float) -> float:
    """Return log P(Z ≥ w) of a normal variable, also where the probability underflows."""
    if w < 30:
        return log(0.5 * erfc(w / sqrt(2)))
    square = w * w  # the first omitted term of the series is below 105 / w⁸ = 2e-10
    series = log1p(-1 / square + 3 / square**2 - 15 / square**3)
    return -square / 2 - log(w * sqrt(2 * pi)) + series
