# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of statistics, in a case where no other term hides it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.reference import block_krylov

from sigmascope.spectra import Density, Known, Measure
from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import (
    MatrixNorms,
    alpha_weighted,
    bulk,
    correlation_traps,
    effective_rank,
    fit_power_law,
    log_alpha_norm,
    marchenko_pastur,
    measures_from_density,
    measures_from_top,
    measures_from_values,
    mp_edge,
    randomized_distance,
    wasserstein,
)

Array = NDArray[np.float64]

FLOOR = 2.0**-48
"""Least error of a measure, relative to it."""


def measures(values: list[float], errors: dict[int, float]) -> dict[str, Measure]:
    """Return the measures of a square matrix of which a few values have errors."""
    s = np.array(values)
    return measures_from_values(
        s, off_by(len(s), errors), MatrixNorms((len(s), len(s)), float(np.linalg.norm(s)))
    )


def off_by(count: int, errors: dict[int, float]) -> Array:
    every = np.zeros(count)
    every[list(errors)] = list(errors.values())
    return every


def complete(values: list[float], error: float = 0.0) -> Known:
    return Known(len(values), np.array(values), np.full(len(values), error))


# ------------------------------------------------------------------------- ranks and shares


def test_ratios_to_the_norm_have_its_rounding_besides_that_of_the_value() -> None:
    """A value off by half the floor moves its square by the floor, and so may the norm."""
    result = measures([2.0, 1.0, 1.0, 1.0], {0: FLOOR})
    for name in ("stable_rank", "concentration_1"):
        relative = result[name].error / result[name].value
        assert 1.99 * FLOOR <= relative <= 2.01 * FLOOR, name


def test_a_share_of_the_energy_has_the_squares_of_errors() -> None:
    """A largest value of 1 that is 1.5 has 9/16 of the energy, not 1/4."""
    values = measures_from_top([1.0], [0.5], MatrixNorms((4, 4), 2.0))["concentration_1"]
    assert values.error == pytest.approx(9 / 16 - 1 / 4, rel=1e-12, abs=0)


@pytest.mark.parametrize("count", [1, 4, 12])
def test_a_rank_by_entropy_has_the_rounding_of_logarithms(count: int) -> None:
    """It is three times the least error of a measure."""
    values = measures([1.0] * count + [0.0] * 4, {})["effective_rank"]
    assert values.value == pytest.approx(count, rel=1e-15)
    assert values.error == pytest.approx(1e-14 * count, rel=1e-6, abs=0)


@pytest.mark.parametrize(
    "function",
    [
        sst.effective_rank,
        sst.effective_rank_energy,
        sst.spectral_entropy,
        sst.participation_ratio,
        sst.nuclear_rank,
        sst.nuclear_norm,
        sst.spectral_norm,
        sst.condition,
    ],
    ids=lambda function: str(function.__name__),
)
def test_a_measure_of_all_values_moves_with_each_of_them(
    function: Callable[[Array], float],
) -> None:
    """The error is that of first order, which is exact for a small one."""
    values, error = [8.0, 4.0, 2.0, 1.0], 1e-6
    for place in range(4):
        result = measures(values, {place: error})[function.__name__]
        moved = abs(function(np.array(values) + off_by(4, {place: error})) - result.value)
        assert result.error == pytest.approx(moved, rel=1e-4, abs=1e-13)


@pytest.mark.parametrize("name", ["effective_rank_energy", "participation_ratio"])
def test_a_rank_of_the_energy_has_the_squares_of_errors(name: str) -> None:
    """The square of 8 +- 1 is 64 +- 17; its error of first order is 16."""
    one, small = (measures([8.0, 4.0, 2.0, 1.0], {0: e})[name].error for e in (1.0, 1e-6))
    assert one / small == pytest.approx(17 / 16e-6, rel=1e-4)


def test_a_condition_holds_at_the_ends_of_both_values() -> None:
    """The values are 4 and 2, and 4.5 or 1.5 where they are off by 1/2."""
    for errors, end in (({0: 0.5}, 4.5 / 2), ({1: 0.5}, 4 / 1.5), ({0: 0.5, 1: 0.5}, 3.0)):
        values = measures([4.0, 2.0], errors)["condition"]
        assert values.error == pytest.approx(end - 2, rel=1e-12, abs=0)


# -------------------------------------------------------------------------------- the bulk


@pytest.mark.parametrize(("factor", "name"), [(2.0, "200"), (2.86, "286"), (4.0, "400")])
def test_a_shoulder_has_the_values_that_an_uncertain_median_leaves_undecided(
    factor: float, name: str
) -> None:
    """One value is 2 % above the threshold, and the median is known to 5 %."""
    values = [1.02 * factor] + [1.0] * 11
    for size, error in ((0.05, 1), (0.0, 0)):
        result = measures(values, {5: size, 6: size})[f"shoulder_{name}"]
        assert (result.value, result.error) == (1, error)


def test_the_edge_has_the_relative_error_of_the_median() -> None:
    """One value is 2 % below the edge, and the median is known to 5 %."""
    edge = mp_edge(1.0, (12, 12))
    result = measures([0.98 * edge] + [1.0] * 11, {5: 0.05, 6: 0.05})
    assert result["mp_edge"].error == pytest.approx(0.05 * edge, rel=1e-12, abs=0)
    assert (result["mp_outliers"].value, result["mp_outliers"].error) == (0, 1)
    known = Known(12, np.array([0.98 * edge] + [1.0] * 11), off_by(12, {5: 0.05, 6: 0.05}))
    traps = correlation_traps([known, known], (12, 12))["correlation_traps"]
    assert (traps.value, traps.error) == (0, 1)


@pytest.mark.parametrize(("places", "terms"), [([0], 1), ([5, 6], 1), ([0, 5, 6], 2)])
@pytest.mark.parametrize("size", [2.0**-20, 0.2])
def test_a_soft_rank_may_be_off_by_the_median_and_by_the_largest_value(
    places: list[int], terms: int, size: float
) -> None:
    """A median that is off by four errors moves the square by four of its own."""
    values = measures([1.0] * 12, dict.fromkeys(places, size))["mp_softrank"]
    off = terms * size
    most = values.value * ((1 + 4 * off) ** 2 - 1) / 4
    assert values.error == pytest.approx(most, rel=1e-9, abs=0)


def test_a_value_that_is_not_certainly_above_the_edge_may_be_a_trap_in_every_permutation() -> None:
    """Without a difference between permutations, the errors of their counts remain."""
    edge = mp_edge(1.0, (12, 12))
    known = complete([1.01 * edge] + [1.0] * 11)
    values = correlation_traps([known, known], (12, 12))["correlation_traps"]
    assert (values.value, values.error) == (1.0, 1.0)


def test_the_rank_above_the_edge_moves_with_the_values() -> None:
    """Both values are far above the edge; only the first of them has an error."""
    values = measures([80.0, 40.0] + [1.0] * 10, {0: 1e-3})["effective_rank_above_edge"]
    moved = effective_rank([80.001, 40.0]) - values.value
    assert values.value == pytest.approx(effective_rank([80.0, 40.0]), rel=1e-12)
    assert values.error == pytest.approx(abs(moved), rel=1e-3, abs=0)


def test_the_rank_above_a_threshold_moves_with_undecided_values() -> None:
    """The third of three equal values may be below a threshold that is off by a little."""
    known, cut = complete([3.0, 3.0, 2.0, 1.0]), bulk.Cut(1.9, error=0.2)
    result = bulk.effective_rank_above(known, cut, bulk.count(known, cut))
    moved = effective_rank([3.0, 3.0, 2.0]) - effective_rank([3.0, 3.0])
    assert result.error == pytest.approx(moved, rel=1e-9, abs=0)


def density_of(A: Array, block: int, steps: int) -> Density:
    run = block_krylov(A, block, steps, 0)
    return Density.from_quadrature(
        min(A.shape), float(np.sum(A**2)), *run.gauss(), *run.radau(), run.residuals
    )


def test_a_count_by_a_density_has_the_error_of_the_density() -> None:
    """The threshold is known exactly."""
    A, values = ks.llm(60, 48, seed=5)
    density, x = density_of(A, 4, 3), float(values[20]) * 1.001
    known, cut = Known(48, values[:1], np.zeros(1), density), bulk.Cut(x)
    above = bulk.count(known, cut)
    rank = bulk.effective_rank_above(known, cut, above)
    for result, own in ((above, density.count_above(x)), (rank, density.effective_rank_above(x))):
        assert own.error > 0.1
        assert result.error == pytest.approx(own.error, rel=1e-9, abs=0)


def test_the_nuclear_rank_of_a_density_moves_with_its_nuclear_norm() -> None:
    """It is the square of that norm over ||A||_F, which is known."""
    A, values = ks.llm(60, 48, seed=5)
    norm = float(np.linalg.norm(A))
    measures = measures_from_density(
        density_of(A, 4, 3), values[:1], [0.0], MatrixNorms((60, 48), norm)
    )
    rank, nuclear = measures["nuclear_rank"], measures["nuclear_norm"]
    most = 2 * nuclear.value * nuclear.error / norm**2
    assert rank.error == pytest.approx(most, rel=1e-9, abs=0)


def test_a_count_by_a_density_has_the_values_within_the_error_of_the_threshold() -> None:
    """The density knows every value, so that only those in between are uncertain."""
    A, values = ks.polynomial(50, 32, seed=9)
    density = density_of(A, 8, 40)
    x = float(values[9] + values[10]) / 2
    known, cut = Known(32, values[:1], np.zeros(1), density), bulk.Cut(x, error=x - values[12])
    alone, ends = values[values > x], [(t, cut.ends(t)) for t in (1, 2, 4)]
    within = [(t, values[values > end]) for t, both in ends for end in both]
    above = bulk.count(known, cut)
    moved = max(abs(len(some) - len(alone)) / t for t, some in within)
    assert moved >= 2
    assert moved - 0.5 <= above.error <= moved + 1.5
    ranks = [(t, effective_rank(some) if len(some) else 0.0) for t, some in within]
    moved = max(abs(rank - effective_rank(alone)) / t for t, rank in ranks)
    rank = bulk.effective_rank_above(known, cut, above)
    assert rank.error == pytest.approx(moved, rel=2e-3, abs=0)


@pytest.mark.parametrize(("value", "count"), [(1.9, 0), (2.1, 1)])
def test_a_count_has_the_values_whose_errors_reach_over_the_threshold(
    value: float, count: int
) -> None:
    """The threshold is 2, and known."""
    for error, undecided in ((0.2, 1), (0.05, 0)):
        result = bulk.count(complete([value, 1.0], error), bulk.Cut(2.0))
        assert (result.value, result.error) == (count, undecided)


@pytest.mark.parametrize(
    ("value", "above", "error"),
    [(9.5, 0, 6), (10.5, 6, 6), (8.5, 0, 3), (11.5, 6, 3), (7, 0, 1.5), (13, 6, 1.5), (5, 0, 0)],
)
def test_values_within_four_standard_errors_of_a_threshold_are_undecided_in_part(
    value: float, above: int, error: float
) -> None:
    """Six values of 100 are at one place; within t = 1, 2 or 4 errors of 10 they count 6 / t."""
    known = Known(100, np.array([20.0] + [value] * 6 + [1.0]), np.zeros(8))
    result = bulk.count(known, bulk.Cut(10.0, error=1.0))
    assert (result.value, result.error) == (1 + above, error)


def test_a_value_that_noise_reaches_is_not_certainly_an_outlier() -> None:
    """All values are known; the first is 1 % above the edge."""
    edge = mp_edge(1.0, (12, 12))
    values = measures([1.01 * edge] + [1.0] * 11, {})["mp_outliers"]
    assert (values.value, values.error) == (1, 1)


@pytest.mark.parametrize("term", ["noise", "median", "outliers", "none"])
def test_a_value_below_the_lower_edge_is_not_certainly_there(term: str) -> None:
    """It is within the noise of that edge, or beyond it by a part of what the median may move.

    The median is uncertain, or three large values lift it.
    """
    shape = (24, 24000)
    lower = marchenko_pastur.mp_lower_edge(1.0, shape)
    noise = marchenko_pastur.TRACY_WIDOM_99 * marchenko_pastur.lower_edge_width(1.0, shape)
    least = lower - 0.5 * noise if term == "noise" else lower - noise - 1e-4
    large = [100.0] * 3 if term == "outliers" else []
    values = large + [1.0] * (13 - len(large)) + [1.0 - 1e-3 * i for i in range(1, 11)] + [least]
    off = off_by(24, {11: 1e-3, 12: 1e-3} if term == "median" else {})
    measures = measures_from_values(values, off, MatrixNorms(shape, float(np.linalg.norm(values))))
    below = measures["mp_lower_outliers"]
    assert (below.value, below.error) == (1, 0 if term == "none" else 1)


def test_power_laws_have_the_standard_error_of_alpha() -> None:
    """The derivatives by alpha are those of its products and powers."""
    values = 10.0 * np.arange(1, 41) ** -0.7
    fit, step = fit_power_law(values), 1e-6
    more = replace(fit, alpha=fit.alpha + step)
    result = measures(values.tolist(), {})
    assert fit.standard_error == pytest.approx((fit.alpha - 1) / math.sqrt(fit.tail), rel=1e-12)
    assert result["alpha"].error == pytest.approx(fit.standard_error, rel=1e-9)
    for name, function in (("alpha_weighted", alpha_weighted), ("log_alpha_norm", log_alpha_norm)):
        slope = abs(function(more, values) - function(fit, values)) / step
        assert result[name].error == pytest.approx(slope * fit.standard_error, rel=1e-4)


# ------------------------------------------------------------------------------- distances


@pytest.mark.parametrize(("first", "second"), [(0.25, 0.0), (0.0, 0.25)])
def test_a_distance_of_spectra_has_the_errors_of_both(first: float, second: float) -> None:
    """A density that knows every value has none."""
    n = 8
    ones = Known(n, np.ones(1), np.zeros(1), density_of(np.eye(n), 2, 3))
    one, two = complete([2.0] * n, first), complete([3.0] * n, second)
    assert wasserstein(one, two).error == 0.25
    result = wasserstein(complete([2.0] * n, 0.25), ones)
    turned = wasserstein(ones, complete([2.0] * n, 0.25))
    for each in (result, turned):
        assert each.value == pytest.approx(1.0, abs=1e-6)
        assert each.error == pytest.approx(0.25, rel=1e-5, abs=0)


def test_a_distance_from_permutations_has_the_errors_of_the_values_and_another_permutation() -> (
    None
):
    """Both permutations are at the same distance, on either side, and from each other at twice."""
    two, one, three = complete([2.0, 2.0], 0.25), complete([1.0, 1.0]), complete([3.0, 3.0])
    result = randomized_distance(two, [one, three])
    assert (result.value, result.error) == (1.0, 2.25)
    alike = randomized_distance(two, [one, one])
    assert (alike.value, alike.error) == (1.0, 0.25)
