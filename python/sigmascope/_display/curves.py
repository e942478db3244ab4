# SPDX-License-Identifier: BSD-3-Clause
"""The curves that are drawn of a row: its spectrum by rank and as a density, noise, and chance.

A row holds the k largest singular values and, where the effort allowed it, quantiles of all. Put
together they are one curve from rank 1 to the last. NumPy alone; a row is a plain record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TRACY_WIDOM_MEAN = -1.2065335746
"""Of the law for real matrices."""

Array = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Curve:
    """Singular values by rank.

    Attributes
    ----------
    ranks
        (n,) ascending, from 1; between whole numbers where they come from quantiles.
    sigma, errors
        (n,) descending singular values and their errors.
    full
        How many singular values there are: min(rows, columns).
    whole
        Whether the curve reaches the smallest one, so that it has a density.
    """

    ranks: Array
    sigma: Array
    errors: Array
    full: int
    whole: bool


def curve_of(row: Row, side: str = "") -> Curve | None:
    """Join the largest values and the quantiles of a row; None if it has no values.

    Parameters
    ----------
    row : dict
        Of a scan, or of a comparison, as far as it has columns.
    side : str
        "before", "after", "delta" or "projected" of a comparison.
    """
    prefix = f"{side}_" if side else ""
    top = _numbers(row.get(f"{prefix}top"))
    if len(top) == 0 or not row.get("rows") or not row.get("columns"):
        return None
    errors = _numbers(row.get(f"{prefix}top_errors"), len(top))
    full = min(row["rows"], row["columns"])
    ranks = np.arange(1.0, len(top) + 1.0)
    quantiles = _numbers(row.get(f"{prefix}quantiles"))
    whole = len(quantiles) > 1 or len(top) >= full
    if len(quantiles) > 1 and len(top) < full:
        wide = _numbers(row.get(f"{prefix}quantile_errors"), len(quantiles))
        places = full - np.linspace(0.0, 1.0, len(quantiles)) * (full - 1)
        below = (places > len(top))[::-1]
        ranks = np.append(ranks, places[::-1][below])
        top = np.append(top, quantiles[::-1][below])
        errors = np.append(errors, wide[::-1][below])
    # Estimates of quantiles may cross the last of the values by their error.
    return Curve(ranks, np.minimum.accumulate(np.maximum(top, 0.0)), errors, full, whole)


def _numbers(values: Any, count: int = 0) -> Array:
    if values is None:
        return np.zeros(count)
    return np.array([0.0 if v is None else v for v in values], dtype=np.float64)


def thinned(curve: Curve, most: int) -> Curve:
    """Keep the points that a logarithmic axis of ranks can tell apart, at most about `most`."""
    count = len(curve.ranks)
    if count <= most:
        return curve
    grid = np.geomspace(1.0, curve.ranks[-1], most)
    kept = np.unique(np.searchsorted(curve.ranks, grid - 1e-9).clip(0, count - 1))
    return Curve(curve.ranks[kept], curve.sigma[kept], curve.errors[kept], curve.full, curve.whole)


def histogram(curve: Curve, edges: Array) -> Array:
    """Return the density of the singular values between edges; it integrates to their share.

    Parameters
    ----------
    curve : Curve
        A whole one.
    edges : (n + 1,)
        Ascending.
    """
    below = 1.0 - (curve.ranks - 0.5) / curve.full
    sigma = np.append(curve.sigma[::-1], curve.sigma[0])
    share = np.append(below[::-1], 1.0)
    # Where values coincide, np.interp takes the last: a step, as a distribution function has.
    at = np.interp(edges, sigma, share, left=0.0, right=1.0)
    density: Array = np.diff(at) / np.diff(edges)
    return density


@dataclass(frozen=True, slots=True)
class Density:
    """The density of a whole curve as it is drawn, up to where the axis ends.

    Attributes
    ----------
    end
        Of the axis, which begins at 0: twice the noise edge, or a little more than most values.
    shares
        (n,) of the values between neighbouring edges of n equal bars.
    error
        The most that one of them may be off.
    beyond, beyond_error
        How many values are greater than `end`, and how far that may be off.
    above
        Those of the largest values, each known by itself, between the noise edge and `end`.
    """

    end: float
    shares: Array
    error: float
    beyond: int
    beyond_error: int
    above: Array

    @property
    def edges(self) -> Array:
        """(n + 1,) where the bars begin and end."""
        return np.linspace(0.0, self.end, len(self.shares) + 1)


def density_of(curve: Curve, edge: float | None) -> Density:
    """Return the density of a whole curve, beside noise that ends at an edge if there is one."""
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
    """Return how many values of a whole curve are greater than each x, and how far that may be off.

    Exact as far as the curve has every value and no error reaches over x. Between two quantiles the
    count is interpolated; it may be any that they allow.
    """
    low, high = _brackets(curve, curve.sigma, x)
    least, _ = _brackets(curve, np.minimum.accumulate(curve.sigma - curve.errors), x)
    _, most = _brackets(curve, np.minimum.accumulate(curve.sigma + curve.errors), x)
    place = np.interp(x, curve.sigma[::-1], curve.ranks[::-1]) - 0.5
    counts = np.asarray(np.rint(np.clip(place, low, high)), dtype=np.float64)
    errors: Array = np.maximum(most - counts, counts - least)
    return counts, errors


def _brackets(curve: Curve, sigma: Array, x: Array) -> tuple[Array, Array]:
    """The least and the greatest number of values above each x that the points of a curve allow."""
    before = np.concatenate([[0.0], np.floor(curve.ranks)])
    after = np.append(np.ceil(curve.ranks) - 1.0, curve.full)
    place = np.searchsorted(-sigma, -x, side="left")
    return before[place], np.maximum(before[place], after[place])


def noise_of(edge: float, shape: tuple[int, int]) -> float:
    """Return the standard deviation of the entries of noise that ends at an edge."""
    return edge / (math.sqrt(shape[0]) + math.sqrt(shape[1]))


def marchenko_pastur(sigma: Array, edge: float, shape: tuple[int, int]) -> Array:
    """Return the density of singular values of pure noise that ends at an edge.

    With x = sigma^2 / (N s^2) the law is sqrt((b - x)(x - a)) / (2 pi beta x), and in sigma that
    times 2 sigma / (N s^2).
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
    """Return the effective or the stable rank of large pure noise of a shape.

    With the law of Marchenko and Pastur: stable, M N / (sqrt(M) + sqrt(N))^2; effective,
    M E[sigma] exp(-E[sigma ln sigma] / E[sigma]) in terms of means over its density.
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
    """Return about the mean of the least principal angle of random k-dimensional subspaces.

    Its squared cosine is the largest root of a Jacobi ensemble, whose logit is distributed as Tracy
    and Widom's law (Johnstone 2008, theorem 1); within three degrees of the mean from 16 dimensions
    on, for a single direction too. In radians; None where the subspaces must meet, at
    k > dimension / 2.
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
