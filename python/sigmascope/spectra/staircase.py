# SPDX-License-Identifier: BSD-3-Clause
"""Counts from the staircases of two quadrature rules.

A step function is the worst integrand for quadrature: the cumulative count of a rule of q steps is
a staircase of q stairs, each made of the b nodes of one step. So counts use ramps about one stair
wide, and quantiles are means over such a window. The spread over three window widths enters every
error.

All of this takes values to be evenly spread within a stair. Where the nodes show that they are not,
errors come from a bracket that assumes nothing (`bracket`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .deflation import CONVERGED, errors_of_one
from .quadrature import Quadrature
from .rule import Array, Rule

# Window widths, in nodes per probe. The answer uses the middle one.
WIDTHS = (0.75, 1.0, 1.5)
# Fraction of the uncertainty within the first and the last stair that counts as error of a count.
END = 0.25
# Ratio of the slopes of stairs up to which values count as even, and the excess over that ratio at
# which nothing is known about their positions.
EVEN, UNEVEN = 2.0, 6.0


class Staircase:
    """The converged run and one rule as cumulative counts against sigma.

    Methods take positions and widths as arrays, and return arrays of the same shape.
    """

    def __init__(self, converged: Array, rule: Rule) -> None:
        stands_for = np.maximum(rule.calibrated, 0.0)
        weights = np.concatenate([np.ones(len(converged)), stands_for])
        self.lambdas = np.concatenate([converged, rule.nodes])
        self.roots = np.sqrt(self.lambdas)
        self.singles = len(converged)
        self.probes = rule.weights.shape[1]
        self.count = np.concatenate([[0.0], np.cumsum(weights)])
        self.middles = (self.count[1:] + self.count[:-1]) / 2.0
        self.sigma = np.concatenate([[0.0], np.cumsum(weights * self.roots)])
        self.energy = np.concatenate([[0.0], np.cumsum(weights * self.lambdas)])

    def half_stair(self, above: Array, width: float) -> Array:
        """Return half the number of values that the width * b nodes around a position stand for."""
        nodes = int(width * self.probes)
        position = np.searchsorted(self.count, above)
        low = np.maximum(position - nodes // 2, self.singles)
        high = np.minimum(low + nodes, len(self.count) - 1)
        low = np.maximum(high - nodes, self.singles)
        return np.asarray((self.count[high] - self.count[low]) / 2.0)

    def half_window(self, above: Array, width: float) -> Array:
        """Return `half_stair`, limited to the distance to the nearer end."""
        room = np.minimum(np.abs(above - self.singles), np.abs(self.count[-1] - above))
        return np.asarray(np.maximum(np.minimum(self.half_stair(above, width), room), 0.5))

    def mean_sigma(self, above: Array, half: Array) -> Array:
        """Return the mean of the sigmas whose position is within ``half`` of ``above``."""
        high = np.minimum(above + half, self.count[-1])
        low = np.minimum(np.maximum(above - half, 0.0), high - 0.5)
        last, first = (np.interp(end, self.count, self.sigma) for end in (high, low))
        return np.asarray((last - first) / (high - low))

    def node_sigma(self, above: Array) -> Array:
        """Return sigma at a position, by linear interpolation between nodes."""
        return np.asarray(np.interp(above, self.middles, self.roots))

    def raw_count(self, x: Array) -> Array:
        """Return the count above x, by linear interpolation between nodes."""
        return np.asarray(np.interp(-x, -self.roots, self.middles))


@lru_cache(maxsize=8)  # the measures of one density share them
def staircases(q: Quadrature) -> tuple[Staircase, Staircase]:
    """Return the staircases of the Gauss rule and of the Gauss-Radau rule."""
    return Staircase(q.converged, q.gauss), Staircase(q.converged, q.radau)


def resolves(q: Quadrature, x: Array) -> NDArray[np.bool_]:
    """Return whether every value that exceeds x (sigma) has converged: a step is then exact."""
    least = math.sqrt(q.converged[-1]) if len(q.converged) else math.inf
    return np.asarray(q.exhausted | (x >= least))


def ramp(lambdas: Array, low: Array, high: Array) -> Array:
    """Return 0 for sigma <= low, 1 for sigma >= high, and a straight line between them.

    The result is (..., d) for lambdas (d,) and ends (...,).
    """
    first, last = low[..., None], high[..., None]
    return np.asarray(np.clip((np.sqrt(lambdas) - first) / (last - first), 0.0, 1.0))


def stair_around(q: Quadrature, x: Array, width: float = 1.0) -> tuple[Array, Array]:
    """Return the ends (sigma) of a ramp about x with a width in stairs.

    On each side it reaches at most twice as far as the end of the window around x. One stair spans
    a gap; at the edge of the gap the ramp therefore does not extend far into the values there.
    """
    stairs = staircases(q)
    low, high, _ = neighbours(stairs, mean_of(s.raw_count(x) for s in stairs))
    least = 1e-9 * math.sqrt(q.fro2)
    half = np.maximum(high - low, least) / 2.0
    below, above = (np.minimum(half, np.maximum(2.0 * gap, least)) for gap in (x - low, high - x))
    return np.maximum(x - width * below, 0.0), x + width * above


def mean_of(both: Iterable[Array]) -> Array:
    """Return the mean of the results of the two rules."""
    one, other = both
    return np.asarray((one + other) / 2.0)


def neighbours(stairs: tuple[Staircase, Staircase], above: Array) -> tuple[Array, Array, Array]:
    """Return the sigmas half a window below and above a position, and the half window."""
    half = mean_of(s.half_window(above, 1.0) for s in stairs)
    low, high = np.minimum(above + half, stairs[0].count[-1]), np.maximum(above - half, 0.0)
    sigmas = [mean_of(s.mean_sigma(end, half / 2.0) for s in stairs) for end in (low, high)]
    return sigmas[0], sigmas[1], (low - high) / 2.0


def counts_above(q: Quadrature, x: Array) -> tuple[Array, Array]:
    """Estimate the number of values above each x (f,) (sigma), with errors.

    If all values above x have converged, the nodes are counted; each node that reaches x is an
    error of one. One node may stand, for some steps, for two values that are closer than this
    reach. The error is enlarged by the probability of that (`errors_of_one`).
    """
    exact, near, resolved = _counts_of_converged(q, x)
    if np.all(resolved):
        return exact, near
    value, error, _ = _estimated_counts(q, x)
    return np.where(resolved, exact, value), np.where(resolved, near, error)


def counts_at_gaps(q: Quadrature, x: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return `counts_above`, and whether a step is more accurate than a ramp at each x (f,).

    It is more accurate in a gap of the nodes.
    """
    exact, near, resolved = _counts_of_converged(q, x)
    value, error, stepped = _estimated_counts(q, x)
    return np.where(resolved, exact, value), np.where(resolved, near, error), stepped


def _counts_of_converged(q: Quadrature, x: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Count the converged values above x; with the error, and whether these are all values."""
    singles = np.sqrt(q.converged)
    exact = np.sum(singles > x[:, None], axis=1)
    least, most = np.maximum(x - q.distance.spectral, 0.0), x + q.distance.spectral
    near = np.sum(
        (q.converged + q.reach >= least[:, None] ** 2 - q.resolution)
        & (q.converged - q.reach <= most[:, None] ** 2 + q.resolution),
        axis=1,
    )
    hidden = np.append(0.0, np.cumsum(q.hidden))[exact]
    return exact.astype(np.float64), np.hypot(near, errors_of_one(hidden)), resolves(q, x)


def _estimated_counts(q: Quadrature, x: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Count the values above x by whichever of a ramp and a step is more accurate."""
    (by_ramps, ramp_error), (by_steps, step_error) = _through_ramps(q, x), _through_steps(q, x)
    stepped = step_error < ramp_error
    value = np.clip(np.where(stepped, by_steps, by_ramps), len(q.converged), q.n)
    # Half a count for the rounding to an integer.
    return value, np.minimum(ramp_error, step_error) + 0.5, stepped


def _through_ramps(q: Quadrature, x: Array) -> tuple[Array, Array]:
    """Count the values above x through ramps, for evenly spaced values; with the error."""
    stairs = staircases(q)
    raw = mean_of(s.raw_count(x) for s in stairs)
    low, high = np.stack([stair_around(q, x, width) for width in WIDTHS], axis=1)
    values, errors = q.traces(lambda y: ramp(y, low, high))
    smoothing = np.maximum(np.ptp(values, axis=0) / 4.0, 0.75 * np.abs(values[1] - raw))
    # The positions of the values within the last stair are unknown.
    half = mean_of(s.half_stair(raw, 1.0) for s in stairs)
    ends = np.stack([q.n - half, q.n - 3.0 * half])
    last, before = mean_of(s.mean_sigma(ends, half / 2.0) for s in stairs)
    width = np.maximum(before - last, 1e-9 * math.sqrt(q.fro2))
    left = np.maximum(half - np.abs(q.n - raw), 0.0) * np.clip((x - last) / width + 1.0, 0.0, 1.0)
    error = errors[1] + smoothing + END * left
    least, most, unresolved = bracket(q, x)
    value = np.clip(values[1], least, most)
    apart = np.maximum(most - value, value - least)
    places = np.searchsorted(-stairs[0].roots, -x)
    uneven = np.nan_to_num(np.clip((slope_ratios(q, places) - EVEN) / UNEVEN, 0.0, 1.0), nan=1.0)
    # A step has b nodes. Nothing shows whether the nodes of the first step are a cluster.
    first = places < stairs[0].singles + stairs[0].probes
    beyond = places <= stairs[0].singles
    uneven = np.maximum(uneven, END * first + END * beyond)
    return value, np.maximum(error, np.maximum(uneven * apart, unresolved) / 2.0)


def _through_steps(q: Quadrature, x: Array) -> tuple[Array, Array]:
    """Count the values above x through a step, for x in a gap of the nodes; with the error.

    A Ritz vector with residual rho, whose node has the distance d from x^2, has a component of
    norm less than rho / d in the singular vectors beyond x.
    """
    nodes, cut = np.concatenate([q.converged, q.gauss.nodes]), x[:, None] ** 2
    values, errors = q.traces(lambda y: np.where(y > cut, 1.0, 0.0))
    distance = np.abs(nodes - cut) - q.moved(nodes, 1.0) + nodes
    rho = np.concatenate([CONVERGED * q.converged, q.residuals])
    inside = rho < distance
    beyond = np.where(inside, rho / np.where(inside, distance, 1.0), 1.0)
    counts = np.concatenate([np.ones(len(q.converged)), np.maximum(q.gauss.calibrated, 0.0)])
    return values, errors + beyond @ counts


def bracket(q: Quadrature, x: Array) -> tuple[Array, Array, Array]:
    """Bound the number of values above each x (f,) (sigma), whatever their positions.

    The measure of a vector between two nodes of its Gauss rule of q steps is known up to the weight
    of one node on each side (Chebyshev, Markov, Stieltjes). A block of b probes shares its nodes:
    b of them are on each side. A node whose uncertainty reaches x may be on both sides. The third
    result is the number of values that such nodes stand for.
    """
    stairs = staircases(q)
    counts, nodes = stairs[0].count, stairs[0].lambdas
    cut = x[:, None] ** 2
    surely = np.sum(q.moved(nodes, -1.0) > cut, axis=1)
    perhaps = np.sum(q.moved(nodes, 1.0) > cut, axis=1)
    first = np.maximum(surely - stairs[0].probes, np.minimum(surely, stairs[0].singles))
    last = np.minimum(perhaps + stairs[0].probes, len(nodes))
    most = np.where(last == len(nodes), q.n, counts[last])
    return counts[first], most, counts[perhaps] - counts[surely]


def slope_ratios(q: Quadrature, places: NDArray[np.int64]) -> Array:
    """Return the ratio of the steepest to the flattest stair about each node of the Gauss rule.

    It compares the slopes (sigma per value) of all stairs, each of b nodes, that begin at most two
    stairs before the node and end at most two after it. If values are even, b nodes in a row have
    one width, even if the nodes of a step lie close together. It is NaN if fewer than b / 2 stairs
    can be compared.
    """
    stair = staircases(q)[0]
    b, end = stair.probes, len(stair.roots)
    starts = places[:, None] + np.arange(-2 * b, b + 1)
    valid = (starts >= stair.singles) & (starts < end - b)
    comparable = valid.sum(axis=1) >= max(b // 2, 2)
    if not np.any(comparable):
        return np.full(len(places), np.nan)
    starts = np.clip(starts, 0, end - b - 1)
    width = stair.roots[starts] - stair.roots[starts + b]
    slope = width / np.maximum(stair.middles[starts + b] - stair.middles[starts], 0.5)
    steepest = slope.max(axis=1, initial=0.0, where=valid)
    least = slope.min(axis=1, initial=np.inf, where=valid)
    ratios = np.where(least > 0.0, steepest / np.where(least > 0.0, least, 1.0), np.inf)
    return np.where(comparable, ratios, np.nan)
