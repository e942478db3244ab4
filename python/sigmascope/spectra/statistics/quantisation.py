# SPDX-License-Identifier: BSD-3-Clause
"""Measures of the error E = W' - W of a quantised matrix W', against noise of the same size.

The noise has independent entries of mean 0. Its profile consists of the expected norms of its rows
and columns. It follows from the steps of the format, and is even if these are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Measure

Array = NDArray[np.float64]

LEAST_FACTOR = 1.25
"""Least ratio of error to noise along a direction that counts as hurt."""

DEVIATIONS = 5.0
"""Standard deviations of noise above which an error along a direction is not chance."""


class Profile(NamedTuple):
    """Expected norms of the rows (m,) and of the columns (n,) of noise, in one unit."""

    rows: Array
    columns: Array

    @classmethod
    def even(cls, shape: tuple[int, int]) -> Self:
        """Return the profile of noise of one variance."""
        m, n = shape
        return cls(np.full(m, math.sqrt(n)), np.full(n, math.sqrt(m)))

    @property
    def norm(self) -> float:
        """Frobenius norm of the noise."""
        return float(np.linalg.norm(self.rows))


def effective_bits(relative_error: Measure) -> Measure:
    """Return log2(||W||_F / ||E||_F) for a relative error ||E||_F / ||W||_F that is not 0.

    Independent Gaussian weights need at least this number of bits each for this error,
    R(D) = log2(sigma^2 / D) / 2 (Shannon 1959; Cover & Thomas 2006, theorem 10.3.2). It is also the
    signal-to-quantisation-noise ratio in dB over 6.02.
    """
    value, error = relative_error.value, relative_error.error
    return Measure(-math.log2(value), error / value / math.log(2), relative_error.basis)


def error_edge(profile: Profile, size: float) -> float:
    """Return the largest singular value that large noise of Frobenius norm `size` would have.

    This assumes that variances are products a_i b_j, with the sums over rows and columns of the
    profile. Squared singular values are then within an interval that ends at the least value over
    w > 0 of w / (x y), where w = sum of a_i x / (1 - a_i x) = sum of b_j y / (1 - b_j y) (Couillet
    & Hachem 2014, the separable covariance model). For an even profile that is the edge of
    Marchenko and Pastur, deviation * (sqrt(m) + sqrt(n)).
    """
    norm = profile.norm
    if norm == 0 or size == 0:
        return 0.0
    a, b = ((x[x > 0] / norm) ** 2 for x in profile)  # each sums to 1

    def end(logit: float) -> float:
        x = 1 / (float(a.max()) * (1 + math.exp(-logit)))
        w = float(np.sum(a * x / (1 - a * x)))
        return w / (x * _solution(b, w))

    return size * math.sqrt(_least(end, -_LOGITS, _LOGITS))


_LOGITS = 30.0
"""Range of log(p / (1 - p)) in which the edge is sought, p = x max(a)."""


def _solution(b: Array, w: float) -> float:
    """Return the y in (0, 1 / max(b)) with sum of b_j y / (1 - b_j y) = w > 0, by bisection."""
    low, high = 0.0, 1 / float(b.max())
    for _ in range(60):
        y = (low + high) / 2
        low, high = (y, high) if np.sum(b * y / (1 - b * y)) < w else (low, y)
    return (low + high) / 2


def _least(f: Callable[[float], float], low: float, high: float) -> float:
    """Return the least value of a function that has one minimum, by golden sections."""
    ratio = (math.sqrt(5) - 1) / 2
    one, two = high - ratio * (high - low), low + ratio * (high - low)
    at_one, at_two = f(one), f(two)
    for _ in range(40):
        if at_one < at_two:
            high, two, at_two = two, one, at_one
            one = high - ratio * (high - low)
            at_one = f(one)
        else:
            low, one, at_one = one, two, at_two
            two = low + ratio * (high - low)
            at_two = f(two)
    return min(at_one, at_two)


def direction_noise(profile: Profile, size: float, V: NDArray[np.floating]) -> Array:
    """Return the expected norm of E v for each column v of V (n, k) and noise E of this size.

    E|E v|^2 is the sum of column_j^2 v_j^2.
    """
    norm = profile.norm
    if norm == 0:
        return np.zeros(V.shape[1])
    return np.asarray(np.sqrt((profile.columns / norm * size) ** 2 @ V.astype(np.float64) ** 2))


def hurt_directions(errors: Array, noise: Array, profile: Profile) -> list[int]:
    """Return the directions, counted from 1, whose errors exceed noise in size and exceed chance.

    For noise, |E v|^2 is a sum of m squares with the variances of the rows. The ratio of |E v| to
    its expected norm has the deviation 1 / sqrt(2 m'), where m' is the effective number of rows.
    """
    squares = profile.rows**2
    fourth = float(squares @ squares)
    if fourth == 0:
        return []
    effective = float(squares.sum()) ** 2 / fourth
    most = max(LEAST_FACTOR, 1 + DEVIATIONS / math.sqrt(2 * effective))
    return [int(i) + 1 for i in np.flatnonzero(errors > most * noise)]
