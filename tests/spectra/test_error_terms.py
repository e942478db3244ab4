# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of a density, in a case where no other term hides it.

The rules are made by hand. Two distinct nodes leave nothing to chance, since n and the norm fix
both weights; equal rules have no bias; nodes that are known exactly have no rounding; and beside
counts of many values neither half a count nor the noise of probes matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.rules_by_hand import LINE, MANY, crowds, density_of, edge, line, noise_of_ramp

from sigmascope.spectra import Density

Array = NDArray[np.float64]

EPS = 2.0**-52


def squares(x: Array) -> Array:
    return x**2


def error_of_trace(density: Density, f: Callable[[Array], Array]) -> float:
    return float(density.quadrature.traces(f)[1])


BOTH = pytest.mark.parametrize(
    "error_of",
    [error_of_trace, lambda density, f: density.moment(f).error],
    ids=["traces", "estimates"],
)
"""Errors of traces for counts, and of the same traces as parts of an estimate."""


@BOTH
def test_a_trace_may_be_off_by_what_chance_leaves(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """A line explains a third of 0, 1, 0; the rest has the squares 2/3, twelve times."""
    density = density_of([2, 1, 0], [12, 12, 12], probes=4)
    error = error_of(density, lambda x: np.where(x == 1, 1.0, 0.0))
    assert error == pytest.approx(math.sqrt(2 * 12 * (2 / 3) / (4 - 2)), rel=1e-9)


@BOTH
def test_a_trace_may_be_off_by_the_spread_of_the_probes(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """Probes that differ by 12 in the middle node spread by 2/3 of that: more than theory has."""
    nodes, weights = np.array([2.0, 1.0, 0.0]), np.full((3, 4), 12.0)
    weights[1] += [12, -12, 12, -12]
    rule = nodes, weights
    density = Density.from_quadrature(36, 36.0, *rule, *rule, 1e3 * nodes, resolution=0.0)
    error = error_of(density, lambda x: np.where(x == 1, 1.0, 0.0))
    assert error == pytest.approx(math.sqrt(8.0**2 * 4 / 3 / (4 - 2)), rel=1e-9)


@BOTH
def test_a_trace_may_be_off_by_a_quarter_of_the_difference_of_the_rules(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """Two values each of 1 and 3, or of 0 and 4: their squares add up to 20 or to 32."""
    density = density_of([3, 1], [2, 2], radau=[4, 0])
    assert density.moment(squares).value == pytest.approx((2 * 20 + 32) / 3)
    assert error_of(density, squares) == pytest.approx((32 - 20) / 4, rel=1e-9)


@BOTH
def test_an_eigenvalue_may_be_above_its_converged_node(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """A residual of 1/16 beside a gap of 8 moves it by 2 / 16^2 / 8, where f has a corner.

    A value that the node hides costs nothing: f is a straight line up to the node.
    """
    density = edge(1 / 16)
    error = error_of(density, lambda x: x + 1024 * np.maximum(x - 16, 0.0))
    assert error == pytest.approx(1, rel=1e-9)


@BOTH
def test_a_converged_node_may_hide_a_value(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """A chance as rare as three deviates is a standard error of a third of a value."""
    density = edge(12 * math.erfc(3 / math.sqrt(2)))
    error = error_of(density, lambda x: np.where(x > 10, 1.0, 0.0))
    assert error == pytest.approx(1 / 3, rel=1e-9)


@BOTH
def test_rounding_moves_nodes_and_the_larger_ones_further(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    """The largest node moves by 21 resolutions, one of a quarter of it by 6."""
    density = density_of([4, 1], [1, 1], resolution=2.0**-20)
    assert density.exact
    error = error_of(density, lambda x: x)
    assert error == pytest.approx((21 + 6) * 4 * 2.0**-20, rel=1e-6)


@BOTH
def test_a_sum_has_its_own_rounding(
    error_of: Callable[[Density, Callable[[Array], Array]], float],
) -> None:
    density = density_of([4, 1], [1, 1])
    assert density.exact
    assert error_of(density, squares) == pytest.approx(16 * EPS * 17, rel=1e-9, abs=0)


def test_an_estimate_names_its_terms() -> None:
    """Bias keeps its sign; convergence and hidden values are one part."""
    biased = density_of([3, 1], [2, 2], radau=[4, 0]).moment(squares).estimate
    assert biased is not None
    assert biased.bias == pytest.approx(-3)
    assert biased.rounding == pytest.approx(16 * EPS * 24, abs=0)
    assert biased.sampling + biased.convergence < 1e-9


@pytest.mark.parametrize("part", ["bias", "convergence"])
@pytest.mark.parametrize(
    ("one", "other", "left"),
    [
        pytest.param(5.0, 4.0, 1.0 + 0.1 * 5.0, id="similar"),
        pytest.param(4.0, 4.0, 0.1 * 4.0, id="equal"),
        pytest.param(4.0, 0.0, 4.0, id="one of them"),
    ],
)
def test_a_tenth_of_a_common_error_remains_in_a_difference(
    part: str, one: float, other: float, left: float
) -> None:
    """The rest cancels; in no case is more left than both errors."""
    estimate = density_of([4, 1], [1, 1]).moment(squares).estimate
    assert estimate is not None
    certain = replace(
        estimate, sampling=0.0, bias=0.0, convergence=0.0, rounding=0.0, probes=np.zeros(16)
    )
    first, second = (
        replace(certain, bias=error) if part == "bias" else replace(certain, convergence=error)
        for error in (one, other)
    )
    for a, b in ((first, second), (second, first)):
        assert a.minus(b) == pytest.approx((0.0, left), rel=1e-12)


def test_the_noise_that_two_estimates_do_not_share_remains_in_their_difference() -> None:
    """Half of the probes deviate by 3 more, half by 3 less: the mean of 18 by 3 / 4."""
    estimate = density_of([4, 1], [1, 1]).moment(squares).estimate
    assert estimate is not None
    certain = replace(estimate, rounding=0.0, sampling=5.0, probes=np.arange(18.0))
    noise = math.sqrt(17 / 18) * np.tile([3.0, -3.0], 9)
    other = replace(certain, probes=certain.probes + noise)
    assert certain.minus(other) == pytest.approx((0.0, 3 / 4), rel=1e-9)
    assert certain.minus(replace(other, rounding=1.0))[1] == pytest.approx(3 / 4 + 1)
    assert replace(certain, rounding=1.0).minus(other)[1] == pytest.approx(3 / 4 + 1)


def test_nodes_that_rounding_may_have_split_do_not_converge() -> None:
    """Ten resolutions are the limit; beyond it, both nodes count as one value each."""
    resolution = 2.0**-20
    for apart, resolved in ((8, 0), (12, 2)):
        nodes = [1, 1 - apart * resolution, 0.25, 0]
        density = density_of(nodes, [1, 1, 4, 4], rho=[0, 0, 0.5, 0.5], resolution=resolution)
        assert len(density.quadrature.converged) == resolved


def test_a_count_may_miss_a_value_that_others_hide() -> None:
    """The first of two nodes hides one as rarely as three deviates; no node is near 5."""
    rho = 48 * math.erfc(3 / math.sqrt(2))
    density = density_of([64, 16, 4, 0], [1, 1, 4, 4], rho=[rho, 0.0, 4.0, 4.0])
    count = density.count_above(5.0)
    assert count.value == 1
    assert count.error == pytest.approx(1 / 3, rel=1e-9)


def test_a_count_is_an_integer() -> None:
    """Half a count is left of ten and a half values."""
    counts = np.repeat([3.5, 4.5], 3)
    density = density_of(np.repeat([9.0, 1.0], 3), counts, rho=np.zeros(6))
    count = density.count_above(2.0)
    assert count.value == pytest.approx(10.5)
    assert count.error == pytest.approx(0.5, abs=1e-9)


def test_a_count_in_a_gap_may_be_off_by_the_rules() -> None:
    """Twelve values exceed 2 by one rule, 96 / 15 by the other."""
    error = crowds(radau=(16, 1)).count_above(2.0).error
    assert error == pytest.approx((12 - 6.4) / 4 + 0.5, rel=1e-9)


def test_a_count_in_a_gap_may_be_off_by_parts_of_vectors() -> None:
    """The nodes have the distances 5 and 3 from the cut, and stand for 12 values each."""
    error = crowds(rho=0.3).count_above(2.0).error
    assert error == pytest.approx(12 * 0.3 / 5 + 12 * 0.3 / 3 + 0.5, rel=1e-9)


def test_a_count_in_a_gap_may_be_off_by_nodes_that_rounding_moved_towards_it() -> None:
    """The nodes 9 and 1 move by 21 and 29/9 of 9 resolutions; the distances 5 and 3 shrink.

    In the step itself they move nothing, but in the line that explains it: 1/8 per lambda.
    """
    resolution = 2.0**-10
    far, near = 21 * 9 * resolution, 29 * resolution
    parts = 12 * 0.3 / (5 - far) + 12 * 0.3 / (3 - near)
    error = crowds(rho=0.3, resolution=resolution).count_above(2.0).error
    assert error == pytest.approx(parts + 12 * (far + near) / 8 + 0.5, rel=1e-9)


def test_a_count_within_a_line_may_be_off_by_chance() -> None:
    """The ramp is symmetric about a node, so that no smoothing matters."""
    count = line(4.0).count_above(6.0)
    assert count.value == pytest.approx(4 * 6.5)
    assert count.error == pytest.approx(noise_of_ramp(LINE, 5.0, 7.0, per_node=4.0) + 0.5, rel=1e-6)


def test_a_count_within_a_line_may_be_off_by_the_width_of_its_ramp() -> None:
    """A quarter past a node, the ramp of 3/4 of a stair counts a third of it; the others, 1/4."""
    count = line().count_above(6.25)
    assert count.value / MANY == pytest.approx(6.25)
    assert count.error / MANY == pytest.approx((1 / 3 - 1 / 4) / 4, abs=1e-3)


def test_a_count_within_the_last_stair_may_be_off_by_its_places() -> None:
    """A quarter of 3/8 of a node, beside the 3/4 of half a node between the ramp and the nodes."""
    count = line().count_above(1.0)
    assert count.error / MANY == pytest.approx(0.75 * 0.5 + 0.25 * 0.375, abs=1e-3)


def test_a_count_at_a_node_that_rounding_may_move_is_in_doubt() -> None:
    """Half of what the node stands for; exactly known nodes leave no error here."""
    assert line().count_above(6.0).error < 1e-3 * MANY
    error = line(resolution=1e-12).count_above(6.0).error
    assert error / MANY == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("above", "below"), [(1, 16), (16, 1)], ids=["below", "above"])
def test_a_count_among_uneven_values_may_be_off_by_half_its_bracket(above: int, below: int) -> None:
    """Nodes for one part and, beyond 6.5, for 16: two on each side bound the count."""
    counts = np.where(LINE > 6.5, above, below) * MANY
    count = density_of(LINE**2, counts).count_above(6.5)
    value, error = count.value / MANY, count.error / MANY
    least, most = 4 * above, 6 * above + 2 * below
    assert least <= value <= most
    assert error == pytest.approx(max(most - value, value - least) / 2, abs=1e-3)


def test_an_energy_rank_is_an_integer() -> None:
    """Six of twelve equal values hold half of their energy, whatever the rest is."""
    rank = crowds().energy_rank(0.45)
    assert rank.value == 6
    assert rank.error == pytest.approx(0.5, abs=1e-9)


def test_an_energy_rank_may_be_off_by_the_corner_that_a_stair_cuts() -> None:
    """The chord from 6 to 14 values lies 90 - (54 + 110) / 2 below the curve at 10 values of 9."""
    rank = crowds().energy_rank(0.75)
    assert rank.value == 10
    assert rank.error == pytest.approx(0.4 * 8 / 9 + 0.5, rel=1e-9)


def test_an_energy_rank_may_be_off_by_the_rules() -> None:
    """Values of 9 or of 16 hold an energy of 18; both rules differ in the hinge at 12.5, too."""
    rank = crowds(radau=(16, 1)).energy_rank(0.15)
    of_hinge = (16 / 12.5 - 1) * 6.4 / 4
    assert rank.error == pytest.approx(of_hinge + (18 / 9 - 18 / 16) / 4 + 0.5, rel=1e-9)


def test_an_energy_rank_in_the_last_stair_may_be_off_by_what_its_nodes_hide() -> None:
    """Twelve values hold 76 of 80. Even from 5 on, the last eight bend by 4 (1 - 4/8) (5 - 1)."""
    rank = density_of([9.0, 9.0, 1.0, 1.0], np.full(4, 4.0)).energy_rank(0.95)
    assert rank.value == math.ceil(12 - 0.2 * 8)
    assert rank.error == pytest.approx(0.15 * 8 + 0.5, rel=1e-9)


def quantile_error(density: Density, above: float) -> float:
    """Return the error of the sigma that this many values exceed."""
    return density.quantile(1 - above / density.n).error


def test_a_quantile_may_be_off_by_its_count_and_half_a_place() -> None:
    """A line falls by 1 / 4 per value; it is symmetric about the node."""
    density = line(4.0)
    assert density.quantile(1 - 4 * 6.5 / density.n).value == pytest.approx(6)
    error = quantile_error(density, 4 * 6.5)
    assert error == pytest.approx((noise_of_ramp(LINE, 5.0, 7.0, per_node=4.0) + 0.5) / 4, rel=1e-6)


def test_a_quantile_near_an_end_may_be_off_by_the_cut_window_and_by_a_gap() -> None:
    """Half a node is cut off, and a half of that counts, which is 1/8 by the slope at the end.

    The nodes are twice as steep there: 1/4, less the 3/2 of 1/8 that even values explain.
    """
    error = quantile_error(line(), 11.5 * MANY)
    assert error == pytest.approx(1 / 8 + (1 / 4 - 3 / 2 / 8), abs=1e-3)


def test_a_quantile_on_a_curve_may_be_off_by_the_width_of_its_window() -> None:
    """Means of one to three squares exceed the middle one by 0, 1/2 and 2/3."""
    error = quantile_error(line(sigmas=LINE**2), 6.5 * MANY)
    assert error == pytest.approx(2 / 3 / 4, abs=0.01)


CROWD = 0.01 * np.arange(5.0, 0.0, -1.0)


@pytest.mark.parametrize(
    ("sigmas", "above"),
    [
        pytest.param(np.r_[LINE[:7], CROWD + 5.94], 5.5, id="below"),
        pytest.param(np.r_[CROWD + 12, LINE[1:8]], 5.5, id="above"),
    ],
)
def test_a_quantile_beside_a_crowd_may_be_off_by_half_its_bracket(
    sigmas: Array, above: float
) -> None:
    """Values fall by 1 up to the crowd, which is 1 away: the other side ends 2 away."""
    error = quantile_error(line(sigmas=sigmas), above * MANY)
    assert error == pytest.approx(2 / 2, abs=0.01)


def test_a_quantile_is_known_to_the_resolution_of_its_square() -> None:
    """Values that are 0 may be as large as the root of what rounding leaves of 9."""
    density = density_of(np.repeat([9.0, 0.0], 3), np.full(6, 4.0), resolution=2.0**-10)
    assert density.quantile(0.25).value == 0
    assert density.quantile(0.25).error == pytest.approx(3 * 2.0**-5, rel=1e-9)


def test_a_rank_above_a_value_of_a_whole_space_may_be_off_by_its_convergence() -> None:
    """A vector that has converged to 1 % leaves 1 % of 1 % to others."""
    rank = density_of([4, 4, 1], [1, 1, 1]).effective_rank_above(1.5)
    assert rank.value == pytest.approx(2)
    assert rank.error == pytest.approx(1e-4 * 2, rel=1e-6)


@pytest.mark.parametrize("radau", [None, (16, 1)], ids=["equal rules", "unequal rules"])
def test_a_rank_above_a_value_may_be_off_by_the_count_and_by_itself(
    radau: tuple[int, int] | None,
) -> None:
    """One more value at 2 adds r (1 - ln r), with r its ratio to the mean of the others."""
    density = crowds(radau)
    many, sigma = (12.0, 3.0) if radau is None else (6.4, 4.0)
    value, total = (2 * 12 + many) / 3, (2 * 12 * 3.0 + many * sigma) / 3
    rank, count = density.effective_rank_above(2.0), density.count_above(2.0)
    assert rank.value == pytest.approx(value)
    r = value * 2 / total
    more = r * (1 - math.log(r)) * ((12 - many) / 4 + 0.5)
    assert count.error == pytest.approx((12 - many) / 4 + 0.5)
    assert rank.error == pytest.approx((12 - many) / 4 + more, rel=1e-9)
