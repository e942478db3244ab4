# SPDX-License-Identifier: BSD-3-Clause
"""Curves of a row: its spectrum by rank and as a density, and the curves of noise and chance.

A row has the k largest singular values and, at efforts other than "top", quantiles of all values.
Joined, they are one curve from rank 1 to the last. This module uses only NumPy. A row is a plain
record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._words.rows import Row, full_rank

_TRACY_WIDOM_MEAN = -1.2065335746
"""Mean of the Tracy-Widom distribution for real matrices."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Singular values by rank.

    Attributes
    ----------
    ranks
        (n,) ascending, from 1; quantiles have fractional ranks.
    sigma, errors
        (n,) descending singular values and their errors.
    full
        Number of singular values: min(rows, columns), or r of an adapter whose r values are known.
    complete
        True if the curve reaches the smallest value, so that it has a density.
    """

    ranks: Array
    sigma: Array
    errors: Array
    full: int
    complete: bool


def curve_of(row: Row, side: str = "") -> Curve | None:
    """Join the largest values and the quantiles of a row; None if it has no values.

    Parameters
    ----------
    row : dict
        Row of a scan or of a comparison; columns may be missing.
    side : str
        "before", "after", "delta" or "projected" for a comparison, "" for a scan.
    """
    prefix = f"{side}_" if side else ""
    top = _numbers(row.get(f"{prefix}top"))
    if len(top) == 0 or not row.get("rows") or not row.get("columns"):
        return None
    errors = _numbers(row.get(f"{prefix}top_errors"), len(top))
    full = min(row["rows"], row["columns"])
    if len(top) >= (rank := full_rank(row, prefix)):  # the other values of a product are zero
        top, errors, full = top[:rank], errors[:rank], rank
    ranks = np.arange(1.0, len(top) + 1.0)
    quantiles = _numbers(row.get(f"{prefix}quantiles"))
    complete = len(quantiles) > 1 or len(top) >= full
    if len(quantiles) > 1 and len(top) < full:
        quantile_errors = _numbers(row.get(f"{prefix}quantile_errors"), len(quantiles))
        places = full - np.linspace(0.0, 1.0, len(quantiles)) * (full - 1)
        below = (places > len(top))[::-1]
        ranks = np.append(ranks, places[::-1][below])
        top = np.append(top, quantiles[::-1][below])
        errors = np.append(errors, quantile_errors[::-1][below])
    # An estimated quantile may exceed the last of the largest values by its error.
    return Curve(ranks, np.minimum.accumulate(np.maximum(top, 0.0)), errors, full, complete)


def _numbers(values: Any, count: int = 0) -> Array:
    if values is None:
        return np.zeros(count)
    return np.array([0.0 if v is None else v for v in values], dtype=np.float64)


def thinned(curve: Curve, most: int) -> Curve:
    """Keep about `most` points of a curve, equally spaced on a logarithmic axis of ranks."""
    count = len(curve.ranks)
    if count <= most:
        return curve
    grid = np.geomspace(1.0, curve.ranks[-1], most)
    at = np.unique(np.searchsorted(curve.ranks, grid - 1e-9).clip(0, count - 1))
    return Curve(curve.ranks[at], curve.sigma[at], curve.errors[at], curve.full, curve.complete)


def histogram(curve: Curve, edges: Array) -> Array:
    """Return the mean density of the singular values in each of n intervals.

    Density times width is the fraction of all values in an interval.

    Parameters
    ----------
    curve : Curve
        A complete curve.
    edges : (n + 1,)
        Ends of the intervals, ascending.
    """
    below = 1.0 - (curve.ranks - 0.5) / curve.full
    sigma = np.append(curve.sigma[::-1], curve.sigma[0])
    share = np.append(below[::-1], 1.0)
    # For equal values np.interp takes the last, as a step of a distribution function requires.
    at = np.interp(edges, sigma, share, left=0.0, right=1.0)
    density: Array = np.diff(at) / np.diff(edges)
    return density


@dataclass(frozen=True, slots=True)
class Density:
    """The density of a complete curve for a drawing, from 0 to the end of the axis.

    Attributes
    ----------
    end
        End of the axis: twice the noise edge, or a little above 98 % of the values.
    shares
        (n,) fractions of all values in each of n bars of equal width.
    error
        Largest error of a fraction.
    beyond, beyond_error
        Number of values greater than `end`, and its error.
    above
        The largest values, which the row has one by one, between the noise edge and `end`.
    """

    end: float
    shares: Array
    error: float
    beyond: int
    beyond_error: int
    above: Array

    @property
    def edges(self) -> Array:
        """Ends of the bars, (n + 1,)."""
        return np.linspace(0.0, self.end, len(self.shares) + 1)


def density_of(curve: Curve, edge: float | None) -> Density:
    """Return the density of a complete curve; `edge` is the noise edge, if there is one."""
    place = np.searchsorted(curve.ranks, 0.02 * curve.full).clip(max=len(curve.sigma) - 1)
    usual = 1.08 * float(curve.sigma[place])
    end = min(1.04 * float(curve.sigma[0]), 2.0 * edge if edge else usual) or 1.0
    edges = np.linspace(0.0, end, min(32, max(8, round(1.5 * curve.full**0.5))) + 1)
    shares = histogram(curve, edges) * np.diff(edges)
    counts, errors = counts_above(curve, edges)
    single = curve.sigma[curve.ranks == np.round(curve.ranks)]
    above = single[(single > edge) & (single <= end)] if edge else single[:0]
    worst = float(np.max(errors[1:] + errors[:-1])) / curve.full
    return Density(end, shares, worst, round(counts[-1]), math.ceil(errors[-1]), above)


def counts_above(curve: Curve, x: Array) -> tuple[Array, Array]:
    """Return how many values of a complete curve exceed each x, and the errors of these counts.

    A count is exact if the curve has every value near x and no error reaches x. Between two
    quantiles the count is interpolated, and its error covers all counts that they allow.
    """
    low, high = _brackets(curve, curve.sigma, x)
    least, _ = _brackets(curve, np.minimum.accumulate(curve.sigma - curve.errors), x)
    _, most = _brackets(curve, np.minimum.accumulate(curve.sigma + curve.errors), x)
    place = np.interp(x, curve.sigma[::-1], curve.ranks[::-1]) - 0.5
    counts = np.asarray(np.rint(np.clip(place, low, high)), dtype=np.float64)
    errors: Array = np.maximum(most - counts, counts - least)
    return counts, errors


def _brackets(curve: Curve, sigma: Array, x: Array) -> tuple[Array, Array]:
    """Return the smallest and largest number of values above each x that a curve allows."""
    before = np.concatenate([[0.0], np.floor(curve.ranks)])
    after = np.append(np.ceil(curve.ranks) - 1.0, curve.full)
    place = np.searchsorted(-sigma, -x, side="left")
    return before[place], np.maximum(before[place], after[place])


def noise_of(edge: float, shape: tuple[int, int]) -> float:
    """Return the standard deviation of the entries of noise whose spectrum ends at an edge."""
    return edge / (math.sqrt(shape[0]) + math.sqrt(shape[1]))


def marchenko_pastur(sigma: Array, edge: float, shape: tuple[int, int]) -> Array:
    """Return the density of the singular values of pure noise whose spectrum ends at an edge.

    In x = sigma^2 / (N s^2) the density is sqrt((b - x)(x - a)) / (2 pi beta x); in sigma it is
    that times 2 sigma / (N s^2).
    """
    M, N = min(shape), max(shape)
    beta, scale = M / N, N * noise_of(edge, shape) ** 2
    low, high = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2
    x = np.asarray(sigma) ** 2 / scale
    inside = np.sqrt(np.maximum((high - x) * (x - low), 0.0))
    root = np.maximum(np.sqrt(x), 1e-12)
    density: Array = inside / (math.pi * beta * root * math.sqrt(scale))
    return density


@lru_cache(maxsize=256)
def noise_rank(measure: str, shape: tuple[int, int]) -> float:
    """Return the effective or the stable rank of a large matrix of pure noise.

    They follow from the law of Marchenko and Pastur. The stable rank is
    M N / (sqrt(M) + sqrt(N))^2; the effective rank is M E[sigma] exp(-E[sigma ln sigma] / E[sigma])
    with means over the density.
    """
    M, N = min(shape), max(shape)
    if measure == "stable_rank":
        return M * N / (math.sqrt(M) + math.sqrt(N)) ** 2
    sigma = (np.arange(4000) + 0.5) / 4000
    weights = marchenko_pastur(sigma, 1.0, shape)
    weights /= weights.sum()
    mean = float(weights @ sigma)
    return M * mean * math.exp(-float(weights @ (sigma * np.log(sigma))) / mean)


def least_random_angle(k: int, dimension: int) -> float | None:
    """Approximate the mean of the least principal angle of two random k-dimensional subspaces.

    The squared cosine of this angle is the largest root of a Jacobi ensemble, whose logit has a
    Tracy-Widom distribution (Johnstone 2008, theorem 1). From 16 dimensions on the result is within
    three degrees of the mean, also for k = 1. It is in radians, and None for k > dimension / 2,
    where two subspaces always intersect.
    """
    if 2 * k > dimension:
        return None
    gamma = 2.0 * math.asin(math.sqrt((k - 0.5) / (dimension - 1)))
    if gamma > 0.5 * math.pi - 1e-9:
        return 0.0
    scale = math.sin(2.0 * gamma) ** 2 * math.sin(gamma) ** 2
    width = (16.0 / ((dimension - 1) ** 2 * scale)) ** (1.0 / 3.0)
    logit = 2.0 * math.log(math.tan(gamma)) + _TRACY_WIDOM_MEAN * width
    return math.acos(math.sqrt(1.0 / (1.0 + math.exp(-logit))))
