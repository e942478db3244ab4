# SPDX-License-Identifier: BSD-3-Clause
"""Errors of a density whose nodes may have moved: by their residuals, by rounding or to a matrix.

The rules are made by hand, so that each of these is the only one.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.support.rules_by_hand import MANY, crowds, density_of, edge, line

from sigmascope.spectra import Density, Difference


def two_converged(rho: float = 0.0, resolution: float = 0.0) -> Density:
    """Return the density of 8 and 4 (sigma), which have converged, and of eight smaller values."""
    nodes, counts = [64, 16, 4, 0], [1, 1, 4, 4]
    return density_of(nodes, counts, rho=[rho, 0, 4, 4], resolution=resolution)


def of_near(density: Density, spectral: float, frobenius: float, scale: float = 1.0) -> Density:
    return density.of_near(scale * density.fro_norm, Difference(spectral, frobenius))


@pytest.mark.parametrize(
    ("density", "below", "above"),
    [
        pytest.param(
            two_converged(rho=0.1),
            8 - math.sqrt(64 - 0.2 * math.sqrt(2)),
            math.sqrt(64 + 0.2 * math.sqrt(2)) - 8,
            id="by its residual",
        ),
        pytest.param(
            two_converged(resolution=2.0**-10),
            8 - math.sqrt(64 - 2.0**-4),
            math.sqrt(64 + 2.0**-4) - 8,
            id="by rounding",
        ),
        pytest.param(of_near(two_converged(), 0.1, 0.1), 0.1, 0.1, id="to another matrix"),
    ],
)
def test_a_converged_node_is_in_doubt_where_it_may_have_moved(
    density: Density, below: float, above: float
) -> None:
    """A count within its reach may be off by one, and beyond it by what the node may hide."""
    for end in (8 - 0.9 * below, 8 + 0.9 * above):
        assert 1 <= density.count_above(end).error < 1.1
    for end in (8 - 1.1 * below, 8 + 1.1 * above):
        assert density.count_above(end).error < 0.5


def test_a_trace_may_be_off_by_the_way_of_each_node_and_by_what_others_make_up_for() -> None:
    """Converged nodes may move by the spectral norm, the 8 others by the Frobenius norm over 3.

    The others' sigmas rise by half of what their lambdas do, so that 4, moved by 1/2 (4 in lambda),
    costs 2 - 1/2; four of 2, moved by 1/4 (1 in lambda), 4 - 2 - 1; four of 0, 4/8.
    """
    near = of_near(edge(0.0), 0.5, 0.75)
    assert near.nuclear_norm().error == pytest.approx(1.5 + 1 + 0.5, rel=1e-9)


def test_a_quantile_of_a_whole_space_may_be_off_to_either_side() -> None:
    """Rounding by 6 / 16 of 4 may move 1 to 0; another matrix may have 1/2 instead of 0."""
    rounded = density_of([4, 1], [1, 1], resolution=2.0**-4)
    assert rounded.quantile(0.0).error == pytest.approx(1)
    near = of_near(density_of([4, 0], [1, 1]), 0.5, 0.5)
    assert near.quantile(0.0).error == pytest.approx(0.5)


def test_a_quantile_in_a_gap_may_be_on_either_side() -> None:
    """Where half a count leaves the side open, the error reaches the farther one."""
    for above in (11.8, 12.2):
        quantile = crowds().quantile(1 - above / 24)
        assert 1 < quantile.value < 3
        farther = max(3 - quantile.value, quantile.value - 1)
        assert farther > 1.01
        assert quantile.error == pytest.approx(farther, rel=1e-9)


def test_a_count_in_a_gap_may_be_off_by_a_hundredth_of_converged_vectors() -> None:
    """One of 10 (sigma) is 96 from the cut in lambda, where its residual may be 1."""
    nodes, counts = np.repeat([100.0, 9.0, 1.0], [1, 3, 3]), np.repeat([1.0, 4.0], [1, 6])
    count = density_of(nodes, counts, rho=np.zeros(7)).count_above(2.0)
    assert count.value == pytest.approx(13)
    assert count.error == pytest.approx(1 / 96 + 0.5, rel=1e-9)


def test_values_of_the_first_step_may_be_a_cluster() -> None:
    """A quarter of half the way to the end of the bracket counts, twice where no node is beyond.

    The bracket ends two nodes on: at 2 nodes for 12.5, at 0 and 3 for 11, where 1.5 are counted.
    """
    beyond = line().count_above(12.5)
    assert beyond.value == 0
    assert beyond.error / MANY == pytest.approx((1 / 4 + 1 / 4) * 2 / 2, abs=1e-3)
    before = line().count_above(11.0)
    assert before.value / MANY == pytest.approx(1.5, abs=1e-3)
    assert before.error / MANY == pytest.approx(1 / 4 * 1.5 / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("nodes", "counts", "rho", "resolved"),
    [
        pytest.param([16, 4, 0], [1, 4, 4], [0, 11, 0], 1, id="other values are below"),
        pytest.param([16, 4, 0], [1, 4, 4], [0, 13, 0], 0, id="another value may be above"),
        pytest.param([16, 4, 1, 0], [1, 1, 1, 6], [0, 0, 0, 0], 2, id="the last two are of many"),
        pytest.param([16, 4, 1, 0], [12, 1, 1, 1], [0, 0, 0, 0], 0, id="the first is of many"),
    ],
)
def test_only_nodes_that_stand_for_one_value_converge(
    nodes: list[float], counts: list[float], rho: list[float], resolved: int
) -> None:
    """Others count by their weights, as two probes tell them."""
    assert len(density_of(nodes, counts, rho=rho).quadrature.converged) == resolved


def test_several_hidden_values_may_be_expected() -> None:
    """Four nodes that hide a value with the chance 1/3 each: the root of their sum is the error."""
    nodes, counts = [64, 62.5, 61, 59.5, 49, 4, 0], [1, 1, 1, 1, 1, 4, 4]
    count = density_of(nodes, counts, rho=[0.5, 0.5, 0.5, 0.5, 0, 4, 4]).count_above(7.4)
    assert count.value == 4
    assert count.error == pytest.approx(math.sqrt(4 / 3), rel=1e-9)


def test_a_converged_node_may_share_the_residual_of_its_neighbour() -> None:
    """Three probes: the next node does not limit the gap, which reaches to 4 + 4."""
    density = density_of([64, 63, 4, 0], [1, 1, 4, 4], rho=[0.1, 0.2, 4, 4], probes=3)
    bounds = density.quadrature.convergence_bounds
    assert bounds == pytest.approx([2 * (0.1**2 + 0.2**2) / (64 - 8)], rel=1e-9)


def test_errors_grow_with_a_matrix() -> None:
    """A norm of twice the size is that of sigmas of twice the size, errors included."""
    hinge, rounded = edge(1 / 16), density_of([4, 1], [1, 1], resolution=2.0**-20)
    twice = [of_near(density, 0.0, 0.0, scale=2.0) for density in (hinge, rounded)]
    for even in (0.0, 0.25):  # what is linear in lambda has no error, whatever the size
        error = twice[0].moment(lambda x, a=even: a * x + 256 * np.maximum(x - 64, 0.0)).error
        assert error == pytest.approx(1, rel=1e-9)
    assert twice[1].moment(lambda x: x / 4).error == pytest.approx(
        rounded.moment(lambda x: x).error, rel=1e-9
    )
    reach = of_near(two_converged(rho=0.1), 0.0, 0.0, scale=2.0)
    assert reach.count_above(2 * math.sqrt(64.25)).error >= 1
    parts = of_near(crowds(rho=0.3), 0.0, 0.0, scale=2.0)
    assert parts.count_above(4.0).error == pytest.approx(crowds(rho=0.3).count_above(2.0).error)
