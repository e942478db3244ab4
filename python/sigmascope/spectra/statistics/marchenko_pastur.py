# SPDX-License-Identifier: BSD-3-Clause
"""The Marchenko-Pastur law: the distribution of the singular values of pure noise, and its edge.

For an M x N matrix (M <= N) of independent entries of variance s^2, lambda / (N s^2) follows the
law with beta = M / N on [(1 - sqrt(beta))^2, (1 + sqrt(beta))^2]. The median of the law gives s
from the median singular value, which a few strong directions do not change (Gavish & Donoho 2014).
Every value above the edge s (sqrt(N) + sqrt(M)) then exceeds noise.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# With fewer singular values than this the median does not represent a bulk.
MIN_VALUES = 10
# 99 % quantile of the Tracy-Widom law of real noise (Johnstone 2001, table 1), in units of
# `tracy_widom_width`.
TRACY_WIDOM_99 = 2.02

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _fraction_above(theta: float, beta: float) -> float:
    """Return the mass of the law above 1 + beta + 2 sqrt(beta) cos(theta).

    In theta the density is (2/pi) sin^2 / (1 + beta + 2 sqrt(beta) cos). It lacks the square-root
    ends that make quadrature in lambda slow, and 64 Gauss points reach rounding.
    """
    t = theta * (_NODES + 1.0) / 2.0
    density = np.sin(t) ** 2 / (1.0 + beta + 2.0 * math.sqrt(beta) * np.cos(t))
    return float(theta / math.pi * (_WEIGHTS @ density))


def angles_of_noise(beta: float) -> tuple[Array, Array]:
    """Return sigma at 64 nodes of the law, 0 < beta <= 1, in units of s sqrt(N), and their weights.

    sum_i weight_i f(sigma_i) is the mean of a smooth f over the singular values of noise.
    """
    t = math.pi * (_NODES + 1.0) / 2.0
    x = 1.0 + beta + 2.0 * math.sqrt(beta) * np.cos(t)
    weights = _WEIGHTS * np.sin(t) ** 2 / x
    return np.sqrt(x), np.asarray(weights)


@lru_cache(maxsize=1024)
def marchenko_pastur_median(beta: float) -> float:
    """Return the median of the Marchenko-Pastur law, 0 < beta <= 1, in units of N s^2."""
    if not 0 < beta <= 1:
        raise ValueError(f"beta = M / N must be in (0, 1], not {beta}")
    low, high = 0.0, 2.5
    for _ in range(60):
        theta = (low + high) / 2.0
        low, high = (theta, high) if _fraction_above(theta, beta) < 0.5 else (low, theta)
    return 1.0 + beta + 2.0 * math.sqrt(beta) * math.cos((low + high) / 2.0)


def noise_scale(median_sigma: float, shape: tuple[int, int]) -> float:
    """Estimate the standard deviation of the noise entries, from the median singular value."""
    M, N = min(shape), max(shape)
    return median_sigma / math.sqrt(N * marchenko_pastur_median(M / N))


def mp_edge(median_sigma: float, shape: tuple[int, int]) -> float:
    """Return the largest sigma that noise of this median reaches as M, N grow. Unit sigma."""
    return noise_scale(median_sigma, shape) * (math.sqrt(min(shape)) + math.sqrt(max(shape)))


def mp_lower_edge(median_sigma: float, shape: tuple[int, int]) -> float:
    """Return the least sigma that noise of this median reaches as M, N grow. Unit sigma."""
    return noise_scale(median_sigma, shape) * (math.sqrt(max(shape)) - math.sqrt(min(shape)))


def lower_edge_width(median_sigma: float, shape: tuple[int, int]) -> float:
    """Return the scale of the fluctuation of noise's least sigma about its edge. Unit sigma.

    It mirrors :func:`tracy_widom_width` (Feldheim & Sodin 2010). It is 0 for square shapes, whose
    least values do not end at an edge.
    """
    M, N = min(shape), max(shape)
    return noise_scale(median_sigma, shape) * math.cbrt(1 / math.sqrt(M) - 1 / math.sqrt(N)) / 2.0


def tracy_widom_width(median_sigma: float, shape: tuple[int, int]) -> float:
    """Return the scale of the fluctuation of noise's largest sigma about the edge. Unit sigma.

    Johnstone 2001: (lambda_1 - edge^2) / (2 edge width) follows the Tracy-Widom law, whose 99 %
    quantile is 2.02.
    """
    M, N = min(shape), max(shape)
    return noise_scale(median_sigma, shape) * math.cbrt(1 / math.sqrt(N) + 1 / math.sqrt(M)) / 2.0
