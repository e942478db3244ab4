# SPDX-License-Identifier: BSD-3-Clause
"""Which nodes of a block Lanczos run are singular values, counted once each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .rule import Array

# A node is converged when its residual is below this share of it.
CONVERGED = 0.01
# Weight of so many standard deviations above the count means copies that the block missed.
MISSED_COPIES = 4.0
# Of the resolution, how far apart rounding may have put copies of one value.
ROUNDED = 10.0


def converged_run(nodes: Array, weights: Array, rho: Array, resolution: float) -> int:
    """Count the leading nodes that are converged singular values, one each.

    A block of b columns holds b copies at most of a multiple value, and shares among b nodes what
    lies closer together than their residuals tell apart: where so many nodes crowd, how many
    values they stand for is in their weights alone, and the run ends. It also ends where those
    weights hold more than one each: of c single values they sum to chi^2 with c b degrees of
    freedom over b (Wilson & Hilferty 1931).
    """
    d, b = weights.shape
    good = (rho < CONVERGED * nodes) & (nodes > 0) & ~_crowded(nodes, rho, b, ROUNDED * resolution)
    run = d if good.all() else int(np.argmin(good))
    # Copies that have converged are those that the probes hold most of: where others have not, all
    # of them are told by their weights.
    unsure = float(np.max(nodes[run:] + rho[run:], initial=0.0))
    run = int(np.searchsorted(-nodes[:run], -unsure))
    # Of fewer nodes than values some stand for several: the last block, if no other.
    run = max(min(run, d - b), 0)
    degrees = b * np.arange(1, run + 1)
    ratio = np.cumsum(weights[:run].sum(axis=1)) / degrees
    spread = 2.0 / (9.0 * degrees)
    missed = np.flatnonzero((np.cbrt(ratio) - 1.0 + spread) / np.sqrt(spread) > MISSED_COPIES)
    return int(missed[0]) if len(missed) else run


def strays(nodes: Array, rho: Array, run: int, b: int) -> Array:
    """Bound how far each node of a converged run may be below its singular value (lambda).

    To first order R^2 / gap: R^2 the sum of the squared residuals of the node and of those nearest
    to it, fewer than b - 1, and gap the distance to the others, less their residuals. Twice the
    least of these, for any number of nearest; no more than the node's own residual.
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


def _crowded(nodes: Array, rho: Array, b: int, rounding: float) -> NDArray[np.bool_]:
    """Whether b of the nodes (d,), descending, are as near to each as it may be off, or nearer."""
    reach = 2.0 * math.sqrt(b) * rho + rounding
    first = np.searchsorted(-nodes, -(nodes + reach), side="left")
    last = np.searchsorted(-nodes, -(nodes - reach), side="right")
    return np.asarray(last - first >= b)
