# SPDX-License-Identifier: BSD-3-Clause
"""Errors of quantiles beside a gap of the singular values, in closed form.

The rules are made by hand but for the last test: 16 nodes (sigma), each of which stands for as many
values. Their sigmas fall by 1 from node to node, but for one gap.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.rules_by_hand import MANY, density_of, noise_of_ramp

import sigmascope as ss

Array = NDArray[np.float64]

NODE = 6
"""The node at which quantiles are estimated, with six nodes above it."""

GAP = 6.0


def sigmas_with_gap(steps: int) -> Array:
    """Return 16 sigmas of which the one that is `steps` nodes below `NODE` begins after a gap."""
    sigmas = 30.0 - np.arange(16.0)
    sigmas[NODE + steps :] -= GAP - 1.0
    return sigmas


def error_at_node(sigmas: Array, per_node: float) -> float:
    density = density_of(sigmas**2, np.full(16, per_node))
    return density.quantile(1 - (NODE + 0.5) / 16).error


@pytest.mark.parametrize(("steps", "times"), [(2, 2), (3, 4), (4, 4), (6, None)])
def test_a_gap_within_two_or_four_errors_of_a_position_enlarges_the_error(
    steps: int, times: int | None
) -> None:
    """Two values per node put the position in doubt by a little more than a node.

    The change of sigma over two and over four errors, divided by two and by four, is a gap where
    it exceeds 3/2 of the change over one error. A gap further than four errors does not count.
    """
    sigmas = sigmas_with_gap(steps)
    noise = noise_of_ramp(sigmas, sigmas[NODE + 1], sigmas[NODE - 1], per_node=2.0)
    place = (noise + 0.5) / 2.0  # in nodes
    if times is None:
        assert steps > 4 * place
        gap = 0.0
    else:
        assert steps / times <= place < 2 * steps / times
        gap = (times * place + GAP - 1.0) / times - 1.5 * place
    assert error_at_node(sigmas, per_node=2.0) == pytest.approx(place + gap, rel=1e-9)


@pytest.mark.parametrize("below", [2.0, 5.5, 6.5, 7.0])
def test_a_window_over_a_gap_has_the_difference_to_its_node_as_an_error(below: float) -> None:
    """Three quarters of the difference between the mean of the window and the node count.

    A quarter of the window lies beyond the gap. Where the stair after the gap, `below`, is nearly
    as wide, the node may lie within a slope, and the excess of the stair at the gap limits the
    error. The spread of the three windows, 0, 1/4 and 1/3 of the gap, always counts by a quarter.
    """
    sigmas = sigmas_with_gap(1)
    sigmas[NODE + 3 :] -= below - 2.0
    difference, spread = (GAP - 1.0) / 4.0, (GAP - 1.0) / 3.0
    excess = max(GAP + 1.0 - max(below, 2.0), 0.0)
    expected = max(spread / 4.0, min(0.75 * difference, excess))
    assert error_at_node(sigmas, MANY) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("probes", [8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_each_of_two_gaps_is_decided_by_its_own_count(probes: int, seed: int) -> None:
    levels = np.concatenate(
        [np.linspace(10.0, 9.0, 300), np.linspace(5.0, 4.5, 400), np.linspace(1.0, 0.9, 324)]
    )
    places = np.concatenate([np.arange(200, 400, 5), np.arange(600, 800, 5)])
    density = ss.spectral_density(np.diag(levels), passes=8, probes=probes, seed=seed)
    sigma, error = density.quantiles(1.0 - (places + 0.5) / len(levels))
    assert np.all(np.abs(sigma - levels[places]) <= 2.0 * error)
