# SPDX-License-Identifier: BSD-3-Clause
"""Deflation: the nodes of a block Lanczos run that count as one singular value each."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .rule import Array

# A node is converged when its residual is below this fraction of its value.
CONVERGED = 0.01
# Weights that exceed the number of nodes by this many standard deviations reveal copies of a
# multiple value that the block has missed.
MISSED_COPIES = 4.0
# Largest distance that rounding may put between copies of one value, in units of the resolution.
ROUNDED = 10.0


def converged_run(nodes: Array, weights: Array, rho: Array, resolution: float) -> int:
    """Count the leading nodes that are converged singular values, one each.

    A block of b columns holds at most b copies of a multiple value. It represents values that are
    closer together than their residuals by b nodes. If b nodes form such a cluster, only their
    weights tell how many values they stand for, and the run ends. The run also ends at weights that
    indicate more than one value per node: the weights of c single values sum to chi^2 with c b
    degrees of freedom over b (Wilson & Hilferty 1931).
    """
    d, b = weights.shape
    good = (
        (rho < CONVERGED * nodes) & (nodes > 0) & ~_clustered(nodes, rho, b, ROUNDED * resolution)
    )
    run = d if good.all() else int(np.argmin(good))
    # The first copies of a value to converge are the strongest in the probes. Until the others have
    # converged, only the weights count all copies.
    unsure = float(np.max(nodes[run:] + rho[run:], initial=0.0))
    run = int(np.searchsorted(-nodes[:run], -unsure))
    # With fewer nodes than values, some nodes stand for several: at least those of the last block.
    run = max(min(run, d - b), 0)
    degrees = b * np.arange(1, run + 1)
    ratio = np.cumsum(weights[:run].sum(axis=1)) / degrees
    spread = 2.0 / (9.0 * degrees)
    missed = np.flatnonzero((np.cbrt(ratio) - 1.0 + spread) / np.sqrt(spread) > MISSED_COPIES)
    return int(missed[0]) if len(missed) else run


def convergence_bounds(nodes: Array, rho: Array, run: int, b: int) -> Array:
    """Bound how far each node of a converged run may be below its eigenvalue (lambda).

    To first order the distance is R^2 / gap. R^2 is the sum of the squared residuals of the node
    and of its nearest nodes, fewer than b - 1 of them. gap is the distance to the other nodes, less
    their residuals. The bound is twice the least R^2 / gap over all numbers of nearest nodes, and
    at most the node's own residual.
    """
    bounds = rho[:run].copy()
    most = max(b - 1, 1)
    for i in range(run):
        others = np.argsort(np.abs(nodes - nodes[i]), kind="stable")
        others = others[others != i]
        away = np.abs(nodes[others] - nodes[i]) - rho[others]
        gap = np.append(np.minimum.accumulate(away[::-1])[::-1], math.inf)[:most]
        squares = np.append(rho[i] ** 2, rho[others] ** 2).cumsum()[:most]
        usable = gap[: len(squares)] > 0
        first_order = squares[usable] / gap[: len(squares)][usable]
        bounds[i] = min(bounds[i], 2.0 * float(first_order.min(initial=math.inf)))
    return bounds


def reach(rho: Array, b: int) -> Array:
    """Return the largest distance from nodes, of b probes, of a value in their Ritz vectors."""
    return 2.0 * math.sqrt(b) * rho


def hidden_chances(nodes: Array, rho: Array, run: int, b: int) -> Array:
    """Estimate for each converged node the probability that another value shares its Ritz vector.

    A block of b columns finds the second of two close values as soon as the first, unless the start
    has little of its vector in all columns except those that made the m nodes nearby. If the first
    has the residual rho and the next node is a gap away, little means a share of rho / gap. The
    probability that a Gaussian start has so little is (rho / gap)^(b - m).
    """
    chances = np.zeros(run)
    for i in range(run):
        away = np.sort(np.abs(nodes - nodes[i]))
        beyond = away[away > float(reach(rho[i : i + 1], b)[0])]
        if len(beyond) and rho[i] > 0:
            near = len(away) - len(beyond)
            chances[i] = (rho[i] / beyond[0]) ** max(b - near, 1)
    return chances


def errors_of_one(chances: Array) -> Array:
    """Return standard errors for which an error of one is as rare as each probability.

    A value above 0.3 may be an expected number; the error is then its root. Below 1e-15 the error
    is 0.
    """
    likely = ~(chances < 1e-15)
    rare = np.minimum(chances[likely], 0.3)
    deviates = np.array([NormalDist().inv_cdf(1.0 - chance / 2.0) for chance in rare])
    errors = np.zeros(chances.shape)
    errors[likely] = np.maximum(
        1.0 / deviates, np.where(rare >= 0.3, np.sqrt(chances[likely]), 0.0)
    )
    return errors


def _clustered(nodes: Array, rho: Array, b: int, rounding: float) -> NDArray[np.bool_]:
    """Return for each node (d,), descending, whether b nodes are within its uncertainty."""
    off = reach(rho, b) + rounding
    first = np.searchsorted(-nodes, -(nodes + off), side="left")
    last = np.searchsorted(-nodes, -(nodes - off), side="right")
    return np.asarray(last - first >= b)
