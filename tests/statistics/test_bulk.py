# SPDX-License-Identifier: BSD-3-Clause
"""Outliers of the bulk, quantiles and distances: closed forms, and densities compared with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.noise_counts import clearly_above_noise
from tests.support.reference import block_krylov

from sigmascope.spectra import Density, Known, Measure
from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import MatrixNorms, measures_from_values


def exact(sigma, shape=None, errors=None, **options):
    sigma = np.asarray(sigma, dtype=float)
    shape = shape or (len(sigma), len(sigma))
    errors = np.zeros(len(sigma)) if errors is None else errors
    return measures_from_values(sigma, errors, MatrixNorms(shape, sst.fro_norm(sigma)), **options)


def density_of(A, block, steps, seed=0):
    run = block_krylov(A, block, steps, seed)
    gauss, radau = run.gauss(), run.radau()
    return Density.from_quadrature(
        min(A.shape), float(np.sum(A**2)), *gauss, *radau, run.residuals, seed=seed
    )


def everything(sigma, error=0.0):
    return Known(len(sigma), np.asarray(sigma), np.full(len(sigma), error))


# ---------------------------------------------------------------------------- the noise edge


def test_shoulders_count_multiples_of_the_median():
    # median 1: one value each just above 4, 2.86 and 2, and one just below 2
    sigma = np.r_[4.01, 2.87, 2.01, 1.99, np.ones(20)]
    measures = exact(sigma)
    counts = [measures[f"shoulder_{t}"].value for t in ("200", "286", "400")]
    assert counts == [3, 2, 1]
    assert [measures[f"shoulder_{t}"].error for t in ("200", "286", "400")] == [0, 0, 0]


def test_a_value_on_the_shoulder_is_not_above_it_and_its_error_says_so():
    sigma = np.r_[4.0, 2.86, 2.0, np.ones(20)]
    for c in (1.0, 1 / 3, 1e-9, 7e20):
        measures = exact(c * sigma)
        assert [measures[f"shoulder_{t}"].value for t in ("200", "286", "400")] == [2, 1, 0]
    measures = exact(sigma, errors=np.full(23, 1e-3))
    assert [measures[f"shoulder_{t}"].error for t in ("200", "286", "400")] == [1, 1, 1]


@pytest.mark.parametrize(("shape", "least"), [((300, 300), 2.86), ((300, 900), 2.0)])
def test_noise_has_no_shoulder_above_its_edge(shape, least):
    """(1 + sqrt(beta)) / sqrt(median) is 2.48 for a square matrix, 1.68 for one of 1 : 3."""
    _, sigma = ks.gaussian(*shape, seed=5)
    measures = exact(sigma, shape)
    for t in (2.0, 2.86, 4.0):
        assert (measures[f"shoulder_{100 * t:.0f}"].value > 0) == (t < least)


def test_effective_rank_above_the_edge_in_closed_form():
    """Noise of which the edge is known, and three values above it: exp of the entropy of these."""
    _, noise = ks.gaussian(200, 200, seed=1)
    sigma = np.r_[40.0, 20.0, 20.0, noise[:-3]]
    measures = exact(sigma)
    p = np.array([0.5, 0.25, 0.25])
    assert measures["mp_outliers"].value == 3
    rank = measures["effective_rank_above_edge"]
    assert_allclose(rank.value, math.exp(-np.sum(p * np.log(p))), rtol=1e-12)
    assert_allclose(rank.value, 2 * math.sqrt(2), rtol=1e-12)
    assert measures["effective_rank"].value > 80


def test_nothing_above_the_edge_has_rank_zero():
    sigma = np.linspace(1.5, 0.5, 50)  # edge: about 2.4 times the median
    measures = exact(sigma)
    assert measures["mp_outliers"].value == measures["effective_rank_above_edge"].value == 0
    assert measures["mp_outliers"].error == measures["effective_rank_above_edge"].error == 0


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(200, 200), (400, 200), (300, 900)])
def test_noise_alone_has_no_significant_outlier(shape):
    """mp_outliers - error counts what exceeds noise at 1 %: in 100 matrices, none or a few."""
    significant = []
    for seed in range(100):
        _, sigma = ks.gaussian(*shape, seed=seed)
        values = exact(sigma, shape)["mp_outliers"]
        assert values.value <= 4
        significant.append(values.value - values.error > 0)
    assert sum(significant) <= 5  # of 100 with probability 0.01 each: P(more) < 1e-3


@pytest.mark.parametrize("rank", [4, 16, 60])
@pytest.mark.parametrize("shape", [(240, 240), (240, 600)])
def test_planted_ranks_are_within_the_error(shape, rank):
    for seed in range(10):
        _, sigma = ks.planted(*shape, seed=seed, rank=rank, strength=2.0)
        measures = exact(sigma, shape)
        outliers = measures["mp_outliers"]
        assert abs(outliers.value - rank) <= max(outliers.error, 1)
        # what is planted reads as so many nearly equal values
        above = measures["effective_rank_above_edge"]
        assert abs(above.value - rank) <= max(above.error, 1) + 0.02 * rank


def test_the_error_sees_that_outliers_lift_the_edge():
    """80 of 200 values stand out: the others' edge is far below, with 10 values in between."""
    rng = np.random.default_rng(0)
    noise = np.linalg.svd(rng.standard_normal((200, 200)), compute_uv=False)[80:]
    sigma = np.r_[np.full(70, 100.0), np.linspace(30, 26, 10), noise]
    values = exact(np.sort(sigma)[::-1], (200, 200))["mp_outliers"]
    assert values.value - values.error <= 80 <= values.value + values.error


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(200, 800), (900, 300)])
def test_noise_alone_has_no_significant_value_below_its_edge(shape):
    significant = []
    for seed in range(100):
        _, sigma = ks.gaussian(*shape, seed=seed)
        values = exact(sigma, shape)["mp_lower_outliers"]
        assert values.value <= 4
        significant.append(values.value - values.error > 0)
    assert sum(significant) <= 5  # of 100 with probability 0.01 each: P(more) < 1e-3


def test_values_below_the_edge_are_counted():
    _, sigma = ks.gaussian(150, 900, seed=2)
    sigma[-7:] *= 0.3
    values = exact(np.sort(sigma)[::-1], (150, 900))["mp_lower_outliers"]
    assert abs(values.value - 7) <= values.error
    assert values.error <= 3


def test_square_noise_has_no_lower_edge():
    _, sigma = ks.gaussian(200, 200, seed=1)
    assert "mp_lower_outliers" not in exact(sigma)


def test_noise_has_a_clear_trap_in_one_matrix_of_a_hundred_at_most() -> None:
    shape, clear = (30, 120), 0
    for seed in range(400):
        known = everything(ks.gaussian(*shape, seed=seed)[1])
        traps = sst.correlation_traps([known, known], shape)["correlation_traps"]
        clear += traps.value - traps.error > 0
    assert clear <= 11  # of 400 with probability 0.01 each: P(more) < 1e-3


def test_the_error_of_traps_has_the_deviation_of_permutations() -> None:
    shape = (60, 80)
    noise = ks.gaussian(*shape, seed=1)[1]
    few, many = everything(noise), everything(np.r_[9.0, 8.0, 7.0, 6.0, noise[4:]])
    traps = sst.correlation_traps([few, many], shape)["correlation_traps"]
    assert traps.value == 2
    assert traps.error >= np.std([0.0, 4.0], ddof=1)


# ------------------------------------------------------------------------------- densities


MATRICES = {
    "spiked": lambda: ks.spiked(192, 192, seed=11),
    "tall": lambda: ks.spiked(400, 160, seed=12),
    "llm": lambda: ks.llm(240, 180, seed=13),
    "decaying": lambda: ks.polynomial(220, 160, seed=14, power=0.5),
}


@grid(name=list(MATRICES), setting=[(8, 8), (16, 5), (32, 4)])
def test_quantiles_of_a_density_cover_the_truth(name, setting):
    block, steps = setting
    A, sigma = MATRICES[name]()
    fractions = np.linspace(0, 1, 33)
    truth = np.quantile(sigma, fractions)
    misses, within = [], []
    for seed in range(7):
        known = Known(len(sigma), sigma[:12], np.zeros(12), density_of(A, block, steps, seed))
        result, errors = known.quantiles(fractions)
        assert np.all(errors >= 0)
        assert np.all(result <= sigma[0])
        assert result[-1] == sigma[0]
        miss = np.abs(result - truth)
        misses.append(np.max(miss / np.maximum(errors, 1e-12 * sigma[0])))
        within.append(np.mean(miss <= 2 * errors + 1e-12 * sigma[0]))
    assert np.mean(within) >= 0.9
    assert max(misses) <= 4


@pytest.mark.parametrize("name", MATRICES)
def test_effective_rank_above_covers_the_truth(name):
    A, sigma = MATRICES[name]()
    densities = [density_of(A, 16, 6, seed) for seed in range(10)]
    for x in (0.999 * sigma[3], np.quantile(sigma, 0.9), np.median(sigma)):
        truth = sst.effective_rank(sigma[sigma > x])
        for density in densities:
            result = density.effective_rank_above(float(x))
            assert abs(result.value - truth) <= 2 * result.error + 1e-9 * truth
            assert result.error <= 0.5 * truth + 2


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(2), id="two seeds"),
        pytest.param(range(2, 6), id="four more", marks=pytest.mark.slow),
    ],
)
@grid(shape=[(320, 320), (300, 500)], edges=[2.0, 5.0, 30.0])
def test_a_density_counts_what_stands_far_above_the_bulk(shape, edges, seeds):
    """The edge lies at one side of a gap: a window as wide as the gap would reach into the bulk."""
    A, sigma = ks.planted(*shape, seed=6, rank=16, strength=edges)
    for seed in seeds:
        density = density_of(A, 32, 5, seed)
        for k in (4, 24):
            measures = sst.measures_from_density(
                density, sigma[:k], np.zeros(k), sst.MatrixNorms(shape, np.linalg.norm(A))
            )
            assert abs(measures["mp_outliers"].value - 16) <= 1
            above = measures["effective_rank_above_edge"]
            assert abs(above.value - 16) <= 1


def test_effective_rank_above_everything_is_zero_and_above_nothing_is_all():
    A, sigma = ks.llm(120, 90, seed=2)
    density = density_of(A, 8, 5)
    assert density.effective_rank_above(1.01 * sigma[0]).value == 0
    whole, above = density.effective_rank(), density.effective_rank_above(0.0)
    assert abs(whole.value - above.value) <= whole.error + above.error


# ------------------------------------------------------------------------------- quantiles


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
@settings(max_examples=50, deadline=None)
def test_quantiles_are_those_of_numpy(values, fractions):
    sigma = np.sort(values)[::-1]
    known = everything(sigma, 0.25)
    result, errors = known.quantiles(fractions)
    alone = [known.quantile(fraction) for fraction in fractions]
    assert [one.value for one in alone] == result.tolist()
    assert [one.error for one in alone] == errors.tolist()
    assert_allclose(result, np.quantile(sigma, fractions), rtol=1e-12, atol=1e-12)
    assert_allclose(errors, 0.25)


def test_what_lies_among_the_largest_needs_no_density():
    sigma = np.arange(11.0)[::-1]
    known = Known(11, sigma[:4], np.full(4, 0.5))
    assert_allclose(known.quantiles([1.0, 0.8, 0.7])[0], [10, 8, 7])
    assert known.reaches(7.5)
    assert not known.reaches(7.0)
    with pytest.raises(ValueError, match=r"quantile 0\.69 of 11 values needs a density"):
        known.quantile(0.69)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        known.quantiles([1.5])


def test_no_quantile_exceeds_the_known_values_above_it() -> None:
    """Whatever the density says, which here knows of values twice as large."""
    A, sigma = ks.llm(120, 90, seed=2)
    known = Known(90, 0.5 * sigma[:12], np.zeros(12), density_of(A, 8, 5))
    result, _ = known.quantiles(np.linspace(0, 1, 90))  # a place each
    assert np.array_equal(result[-12:], 0.5 * sigma[11::-1])
    assert result[:-12].max() <= 0.5 * sigma[11]


def test_an_exhausted_density_gives_exact_quantiles():
    A, sigma = ks.gaussian(50, 32, seed=8)
    known = Known(32, sigma[:2], np.zeros(2), density_of(A, 8, 40))
    result, errors = known.quantiles(np.linspace(0, 1, 17))
    assert_allclose(result, np.quantile(sigma, np.linspace(0, 1, 17)), rtol=1e-6)
    assert np.all(errors < 1e-6)


@pytest.mark.parametrize(
    "shape",
    [(60, 60), *(pytest.param(each, marks=pytest.mark.slow) for each in ((160, 120), (40, 400)))],
)
def test_noise_is_clearly_above_its_edge_in_one_matrix_of_a_hundred_at_most(shape):
    """The largest value of a matrix exceeds the edge in about one of six."""
    above, clearly = 0, 0
    for seed in range(300):
        sigma = np.linalg.svd(np.random.default_rng(seed).standard_normal(shape), compute_uv=False)
        edge = Measure(sum(math.sqrt(extent) for extent in shape), 0.0, "spectrum")
        above += sigma[0] > edge.value
        clearly += clearly_above_noise(sigma, edge, shape) > 0
    assert above > 20
    assert clearly <= 8


def test_an_uncertain_edge_is_exceeded_by_twice_its_error():
    shape = (100, 100)
    noise = ks.gaussian(*shape, seed=3)[1]
    sigma = np.sort(np.r_[10.0, 3.2, 2.6, noise[3:]])[::-1]
    for error, count in ((0.0, 3), (0.35, 2), (0.6, 1)):
        edge = Measure(2.0, error, "density")
        assert clearly_above_noise(sigma, edge, shape) == count


def test_errors_of_the_values_raise_the_threshold_of_noise() -> None:
    """One value is 15 % above the edge; values off by a tenth of the median hide that."""
    shape = (100, 100)
    noise = ks.gaussian(*shape, seed=3)[1]
    edge = Measure(2.0, 0.0, "spectrum")
    sigma = np.r_[2.3, noise[1:]]
    for error, count in ((0.0, 1), (0.1 * float(np.median(noise)), 0)):
        assert clearly_above_noise(sigma, edge, shape, error) == count


# ------------------------------------------------------------------------------- distances


def test_wasserstein_in_closed_form():
    a, b = np.array([3.0, 1.0]), np.array([2.5, 1.25])
    assert sst.wasserstein(everything(a), everything(b)).value == (0.5 + 0.25) / 2
    shifted = sst.wasserstein(everything(a, 0.1), everything(a + 2.0, 0.2))
    assert_allclose((shifted.value, shifted.error), (2.0, 0.3))
    assert shifted.basis == "spectrum"
    with pytest.raises(ValueError, match="2 and 3 values"):
        sst.wasserstein(everything(a), everything(np.ones(3)))


positive = st.lists(st.floats(0, 10), min_size=5, max_size=5).map(lambda x: np.sort(x)[::-1])


@given(positive, positive, positive)
@settings(max_examples=40, deadline=None)
def test_wasserstein_is_a_distance(a, b, c):
    a, b, c = everything(a), everything(b), everything(c)
    ab, ba, ac, cb = (sst.wasserstein(x, y).value for x, y in ((a, b), (b, a), (a, c), (c, b)))
    assert ab == ba
    assert ab <= ac + cb + 1e-12
    assert sst.wasserstein(a, a).value == 0


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(x, marks=pytest.mark.slow) for x in (2, 3))])
def test_wasserstein_of_densities_covers_that_of_the_values(seed):
    A, sigma = ks.llm(240, 180, seed=13)
    B, tau = ks.gaussian(240, 180, seed=3)
    B, tau = 2 * B, 2 * tau
    truth = sst.wasserstein(everything(sigma), everything(tau))
    a = Known(180, sigma[:16], np.zeros(16), density_of(A, 16, 6, seed))
    b = Known(180, tau[:16], np.zeros(16), density_of(B, 16, 6, seed))
    result = sst.wasserstein(a, b)
    assert result.basis == "density"
    assert abs(result.value - truth.value) <= 2 * result.error
    assert result.error < 0.2 * result.value


def test_the_error_of_a_distance_covers_that_of_its_quadrature() -> None:
    """Densities that know every value leave no other error."""
    A, sigma = ks.gaussian(50, 32, seed=8)
    B, tau = ks.polynomial(50, 32, seed=9)
    truth = sst.wasserstein(everything(sigma), everything(tau))
    a, b = (
        Known(32, values[:2], np.zeros(2), density_of(X, 8, 40))
        for X, values in ((A, sigma), (B, tau))
    )
    result = sst.wasserstein(a, b)
    assert abs(result.value - truth.value) <= result.error


def test_randomized_distance_is_the_mean_and_says_how_far_permutations_are_apart():
    a, b, c = (everything(np.array(x)) for x in ([5.0, 1.0], [3.0, 2.0], [4.0, 2.0]))
    result = sst.randomized_distance(a, [b, c])
    assert_allclose((result.value, result.error), ((1.5 + 1.0) / 2, 0.5))
    with pytest.raises(ValueError, match="1 permutation"):
        sst.randomized_distance(a, [b])


def test_farms_takes_the_values_of_all_parts_together():
    parts = [np.sqrt(1.0 / np.arange(1, 41)), np.sqrt(2.0 / np.arange(1, 41))]
    pooled = np.sort(np.concatenate(parts))[::-1]
    result = sst.alpha_farms(parts)
    assert_allclose(result.value, sst.alpha_hill(pooled))
    each = [sst.alpha_hill(part) for part in parts]
    hill = (result.value - 1) / math.sqrt(40)
    assert_allclose(result.error, max(hill, np.std(each, ddof=1) / math.sqrt(2)))
    assert_allclose(sst.alpha_farms(parts[:1]).value, each[0])
    assert result.basis == "sub-matrices"
    with pytest.raises(ValueError, match="all equal"):
        sst.alpha_farms([np.ones(20), np.ones(20)])
