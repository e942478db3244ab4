# SPDX-License-Identifier: BSD-3-Clause
"""Densities of rules that are made by hand, whose nodes and weights are small known numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope.spectra import Density

Array = NDArray[np.float64]

MANY = 2.0**24
"""Number of values per node beside which half a count and sampling are small."""

LINE = np.arange(12.0, 0.0, -1.0)
"""Evenly spaced sigmas, one stair of two probes each time the value falls by 2."""


def density_of(
    nodes: ArrayLike,
    counts: ArrayLike,
    *,
    radau: ArrayLike | None = None,
    rho: ArrayLike | None = None,
    probes: int = 2,
    resolution: float = 0.0,
) -> Density:
    """Return the density of a rule with the given lambdas, each of which stands for some values.

    The probes agree. Without ``rho``, no node has converged. The weights of other ``radau`` nodes
    follow from n and the norm, which the rules have in common.
    """
    theta, number = np.asarray(nodes, float), np.asarray(counts, float)
    other = theta if radau is None else np.asarray(radau, float)
    weights = np.tile(number[:, None], probes)
    return Density.from_quadrature(
        round(number.sum()),
        float(number @ theta),
        theta,
        weights,
        other,
        weights if radau is None else np.ones((len(other), probes)),
        1e3 * theta if rho is None else rho,
        resolution=resolution,
    )


def line(per_node: float = MANY, sigmas: Array = LINE, resolution: float = 0.0) -> Density:
    """Return the density of two probes whose nodes are evenly spaced in sigma, or as given."""
    return density_of(sigmas**2, np.full(len(sigmas), per_node), resolution=resolution)


def crowds(
    radau: Sequence[float] | None = None, rho: float = 0.0, resolution: float = 0.0
) -> Density:
    """Return the density of 12 values of 3 and 12 of 1 (sigma), from two probes.

    Three nodes of each size are a cluster, which does not converge; as a staircase they are uneven.
    With another pair of ``radau`` lambdas, that rule counts (120 - 24 low) / (high - low) of the
    high ones.
    """
    nodes, other = np.repeat([9.0, 1.0], 3), None if radau is None else np.repeat(radau, 3)
    every = np.full(6, rho)
    return density_of(nodes, np.full(6, 4.0), radau=other, rho=every, resolution=resolution)


def edge(rho: float) -> Density:
    """Return the density of 4 and of eight values at 2 and 0 (sigma), of which 4 has converged."""
    return density_of([16, 4, 0], [1, 4, 4], rho=[rho, 4.0, 4.0])


def noise_of_ramp(sigmas: Array, low: float, high: float, per_node: float) -> float:
    """Return the standard error of the trace of a ramp from `low` to `high`, by two probes.

    A line in lambda, which n and the norm fix, leaves the residuals of a least-squares fit.
    """
    ramp = np.clip((sigmas - low) / (high - low), 0.0, 1.0)
    rest = ramp - np.polyval(np.polyfit(sigmas**2, ramp, 1), sigmas**2)
    return math.sqrt(2.0 * per_node * float(rest @ rest))
