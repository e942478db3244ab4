# SPDX-License-Identifier: BSD-3-Clause
"""Energy ranks from the Lorenz curves of two quadrature rules: energy against count.

The sum of the k largest lambdas is the minimum over x of k x + tr (lambda - x)_+, so that the
corners of the curve are exact for the nodes. Between them the curve is taken to be straight.
"""

from __future__ import annotations

import math

import numpy as np

from .quadrature import Quadrature
from .staircase import Staircase, staircases

# Fraction of the sag of a one-stair chord that counts as error of an energy rank.
SAG = 0.4
# Fractions of the bend of the last stair by which an energy rank is too large, and may be off.
BEND, BEND_ERROR = 0.2, 0.15


def energy_rank(q: Quadrature, share: float) -> tuple[float, float]:
    """Estimate the least k whose k largest lambdas have ``share`` of ||A||_F^2, and its error.

    k is a maximum over x of a hinge trace; at that x the error of k is the error of the trace
    divided by x.
    """
    target = share * q.fro2
    energy = np.cumsum(q.converged)
    k = int(np.searchsorted(energy, target)) + 1
    if k <= len(energy):
        close = np.abs(energy[max(k - 2, 0) : k] - target).min() < 1e-3 * q.converged[k - 1]
        return float(k), float(close)
    if q.exhausted:
        return float(q.n), 0.0
    stairs = staircases(q)
    (gauss, level_g), (radau, level_r) = (_crossing(s, target) for s in stairs)
    level = (level_g + level_r) / 2.0
    error = float(q.traces(lambda x: np.maximum(x / level - 1.0, 0.0))[1])
    rank = (2.0 * gauss + radau) / 3.0
    sag = float(np.mean([_sag(s, rank) for s in stairs])) / level
    bend = _bend(stairs[0], rank) / level
    # Half a count for the rounding up to an integer.
    error += abs(gauss - radau) / 4.0 + SAG * sag + BEND_ERROR * bend + 0.5
    return float(min(math.ceil(rank - BEND * bend - 1e-9), q.n)), error


def _crossing(s: Staircase, target: float) -> tuple[float, float]:
    """Return the count that holds the energy ``target``, and the lambda of the node there."""
    target = min(target, float(s.energy[-1]))
    node = max(int(np.searchsorted(s.energy, target)) - 1, 0)
    return float(np.interp(target, s.energy, s.count)), float(s.lambdas[node])


def _sag(s: Staircase, above: float) -> float:
    """Return the height of the Lorenz curve (energy) above a chord one stair wide."""
    half = float(s.half_window(np.asarray(above), 1.0))
    ends = np.interp([above - half, above, above + half], s.count, s.energy)
    return float(ends[1] - (ends[0] + ends[2]) / 2.0)


def _bend(s: Staircase, above: float) -> float:
    """Return how far a Lorenz curve that spreads the last stair evenly is above that stair's chord.

    The nodes of the last stair lie close together, whatever the values that they stand for. Even
    values begin half way to the node before, and have the same mean. It is 0 before that stair.
    """
    first = len(s.lambdas) - s.probes
    count, behind = s.count[-1] - s.count[first], s.count[-1] - above
    if first == 0 or not 0.0 < behind < count:
        return 0.0
    largest = (s.lambdas[first - 1] + s.lambdas[first]) / 2.0
    mean = (s.energy[-1] - s.energy[first]) / count
    return float(behind * (1.0 - behind / count) * (largest - mean))
