# SPDX-License-Identifier: BSD-3-Clause
"""Counts, quantiles and energy ranks from the staircases of two quadrature rules.

A step function is the worst integrand for quadrature: a rule of q steps is a staircase of q stairs,
each the b nodes of one step. So counts are taken through ramps about one stair wide, quantiles are
means over such a window, and energy ranks go through the Lorenz curve, whose corners are exact
minima over hinges. The spread over three window widths enters every error.
"""

from __future__ import annotations

import math

import numpy as np

from .quadrature import Array, Quadrature, Rule

# Window widths, in nodes per probe. The answer uses the middle one.
WIDTHS = (0.75, 1.0, 1.5)
# Share of the sag of a one-stair chord that is charged as error of an energy rank.
SAG = 0.4
# Share of what an end cuts off a window that is charged as error of a quantile.
CUT = 0.5


class Staircase:
    """One rule, after the converged run, as cumulative counts against sigma."""

    def __init__(self, converged: Array, rule: Rule) -> None:
        stands_for = np.maximum(rule.calibrated, 0.0)
        weights = np.concatenate([np.ones(len(converged)), stands_for])
        self.lambdas = np.concatenate([converged, rule.nodes])
        self.singles = len(converged)
        self.probes = rule.weights.shape[1]
        self.count = np.concatenate([[0.0], np.cumsum(weights)])
        self.sigma = np.concatenate([[0.0], np.cumsum(weights * np.sqrt(self.lambdas))])
        self.energy = np.concatenate([[0.0], np.cumsum(weights * self.lambdas)])

    def half_stair(self, above: float, width: float) -> float:
        """Return half the count that the width * b nodes around a position stand for."""
        nodes = int(width * self.probes)
        position = int(np.searchsorted(self.count, above))
        low = max(position - nodes // 2, self.singles)
        high = min(low + nodes, len(self.count) - 1)
        low = max(high - nodes, self.singles)
        return float(self.count[high] - self.count[low]) / 2.0

    def half_window(self, above: float, width: float) -> float:
        """Return the same, or what room there is to the ends."""
        to_ends = abs(above - self.singles), abs(float(self.count[-1]) - above)
        return max(min(self.half_stair(above, width), *to_ends), 0.5)

    def mean_sigma(self, above: float, half: float) -> float:
        """Return the mean of the sigmas whose rank lies within ``half`` of ``above``."""
        low, high = max(above - half, 0.0), min(above + half, float(self.count[-1]))
        low = min(low, high - 0.5)
        total = np.interp([low, high], self.count, self.sigma)
        return float(total[1] - total[0]) / (high - low)

    def node_sigma(self, above: float) -> float:
        """Read sigma at a position, straight from node to node."""
        middles = (self.count[1:] + self.count[:-1]) / 2.0
        return float(np.interp(above, middles, np.sqrt(self.lambdas)))

    def raw_count(self, x: float) -> float:
        """Read the count above x, straight from node to node."""
        middles = (self.count[1:] + self.count[:-1]) / 2.0
        return float(np.interp(-x, -np.sqrt(self.lambdas), middles))

    def sag(self, above: float) -> float:
        """Return the energy by which the Lorenz curve bulges over a chord one stair wide."""
        half = self.half_window(above, 1.0)
        ends = np.interp([above - half, above, above + half], self.count, self.energy)
        return float(ends[1] - (ends[0] + ends[2]) / 2.0)

    def energy_rank(self, target: float) -> tuple[float, float]:
        """Find the count that holds the energy ``target``, and the lambda of the node there."""
        target = min(target, float(self.energy[-1]))
        node = max(int(np.searchsorted(self.energy, target)) - 1, 0)
        return float(np.interp(target, self.energy, self.count)), float(self.lambdas[node])


def _staircases(q: Quadrature) -> tuple[Staircase, Staircase]:
    return Staircase(q.converged, q.gauss), Staircase(q.converged, q.radau)


def resolves(q: Quadrature, x: float) -> bool:
    """Whether every value that exceeds x (sigma) has converged, so that a step is exact."""
    return q.exhausted or bool(len(q.converged) and x >= math.sqrt(q.converged[-1]))


def ramp(lambdas: Array, low: float, high: float) -> Array:
    """Return 0 where sigma <= low, 1 where it is >= high, and a straight line between."""
    return np.asarray(np.clip((np.sqrt(lambdas) - low) / (high - low), 0.0, 1.0))


def _ramp(q: Quadrature, low: float, high: float) -> tuple[float, float]:
    """Count the sigmas that exceed low to high, by a ramp from 0 at low to 1 at high."""
    return q.combine(lambda t: t, lambda t: (1.0,), lambda x: ramp(x, low, high))


def stair_around(q: Quadrature, x: float, width: float = 1.0) -> tuple[float, float]:
    """Return the ends (sigma) of a ramp about x, so many stairs wide.

    At the edge of a gap it goes no farther into the values there than it must: a stair reaches
    from one side of the gap to the other.
    """
    stairs = _staircases(q)
    low, high, _ = _neighbours(stairs, float(np.mean([s.raw_count(x) for s in stairs])))
    least = 1e-9 * math.sqrt(q.fro2)
    half = max(high - low, least) / 2.0
    below, above = (min(half, max(2.0 * gap, least)) for gap in (x - low, high - x))
    return max(x - width * below, 0.0), x + width * above


def _neighbours(stairs: tuple[Staircase, Staircase], above: float) -> tuple[float, float, float]:
    """Return the sigmas half a window below and above a position, and half the window."""
    half = float(np.mean([s.half_window(above, 1.0) for s in stairs]))
    n = float(stairs[0].count[-1])
    low, high = min(above + half, n), max(above - half, 0.0)
    sigmas = [[s.mean_sigma(x, half / 2.0) for s in stairs] for x in (low, high)]
    return float(np.mean(sigmas[0])), float(np.mean(sigmas[1])), (low - high) / 2.0


def quantile(q: Quadrature, above: float) -> tuple[float, float]:
    """Estimate the sigma that ``above`` of the n values exceed; return it and its error."""
    stairs = _staircases(q)
    seen = np.array(
        [[s.mean_sigma(above, s.half_window(above, width)) for s in stairs] for width in WIDTHS]
    )
    value = float(seen[1].mean())
    raw = float(np.mean([s.node_sigma(above) for s in stairs]))
    smoothing = max(float(np.ptp(seen)) / 4.0, 0.75 * abs(value - raw))
    low, high, half = _neighbours(stairs, above)
    slope = (high - low) / max(2.0 * half, 1.0)
    count_error = _ramp(q, low, high)[1] if high > low else 0.0
    # Near an end there is no room for a window, and a stair has no steps inside.
    cut = float(np.mean([s.half_stair(above, 1.0) - s.half_window(above, 1.0) for s in stairs]))
    # Half a count either way: a quantile of a finite set is only known to its neighbours.
    return value, slope * (count_error + CUT * max(cut, 0.0) + 0.5) + smoothing


def count_above(q: Quadrature, x: float) -> tuple[float, float]:
    """Estimate how many values exceed x (sigma); return the count and its error."""
    singles = np.sqrt(q.converged)
    if resolves(q, x):
        near = np.abs(q.converged - x**2) <= q.resolution
        return float(np.sum(singles > x)), float(np.sum(near))
    raw = float(np.mean([s.raw_count(x) for s in _staircases(q)]))
    counts = [_ramp(q, *stair_around(q, x, width)) for width in WIDTHS]
    values = [value for value, _ in counts]
    smoothing = max((max(values) - min(values)) / 4.0, 0.75 * abs(values[1] - raw))
    value = min(max(values[1], float(len(singles))), float(q.n))
    return value, counts[1][1] + smoothing + 0.5


def energy_rank(q: Quadrature, share: float) -> tuple[float, float]:
    """Estimate the least k whose k largest lambdas hold ``share`` of ||A||_F^2, and its error.

    The k largest hold min over x of k x + tr (lambda - x)_+, so k is a maximum over x of a hinge
    trace; at that x the error of k is the error of the trace over x.
    """
    target = share * q.fro2
    held = np.cumsum(q.converged)
    k = int(np.searchsorted(held, target)) + 1
    if k <= len(held):
        close = np.abs(held[max(k - 2, 0) : k] - target).min() < 1e-3 * q.converged[k - 1]
        return float(k), float(close)
    if q.exhausted:
        return float(q.n), 0.0
    stairs = _staircases(q)
    (gauss, level_g), (radau, level_r) = (s.energy_rank(target) for s in stairs)
    level = (level_g + level_r) / 2.0
    _, error = q.combine(lambda t: t, lambda t: (1.0,), lambda x: np.maximum(x / level - 1.0, 0.0))
    rank = (2.0 * gauss + radau) / 3.0
    sag = float(np.mean([s.sag(rank) for s in stairs])) / level
    # Half a count for the rounding up to an integer.
    error += abs(gauss - radau) / 4.0 + SAG * sag + 0.5
    return float(min(math.ceil(rank - 1e-9), q.n)), error
