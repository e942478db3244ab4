# SPDX-License-Identifier: BSD-3-Clause
"""Measures of singular values against closed forms, and what scaling and bad input do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.support import known_spectra

from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import MatrixNorms, measures_from_top, measures_from_values

SCALE_FREE_RANKS = [
    sst.stable_rank,
    sst.effective_rank,
    sst.effective_rank_energy,
    sst.participation_ratio,
    sst.nuclear_rank,
]
# Measures with the unit of the matrix, and how they scale: value(c W) = c^power value(W).
UNITS = {"fro_norm": 1, "spectral_norm": 1, "nuclear_norm": 1, "mp_edge": 1, "alpha_x_min": 2}
LOGARITHMIC = {"alpha_weighted", "log_alpha_norm"}

TAIL = {"alpha_D", "alpha_high", "alpha_hill", "alpha_low", "alpha_tail", "alpha_x_min"}
TAIL |= {"alpha", "alpha_weighted", "log_alpha_norm"}
NOISE = {"mp_edge", "mp_outliers", "mp_softrank", "effective_rank_above_edge"}
LOWER = {"mp_lower_outliers"}  # of all values, and not of square matrices
SHOULDER = {"shoulder_200", "shoulder_286", "shoulder_400"}
TOP = {"fro_norm", "spectral_norm", "stable_rank", "concentration_1", "concentration_10"}
TOP |= {"concentration_k"}
ENERGY = {"energy_rank_50", "energy_rank_90", "energy_rank_95", "energy_rank_99"}
WHOLE = {"nuclear_norm", "numerical_rank", "effective_rank", "effective_rank_energy"}
WHOLE |= {"spectral_entropy", "participation_ratio", "nuclear_rank", "condition"}


def exact(sigma, shape=None, **options):
    sigma = np.asarray(sigma, dtype=float)
    shape = shape or (len(sigma), len(sigma))
    return measures_from_values(
        sigma, np.zeros(len(sigma)), MatrixNorms(shape, sst.fro_norm(sigma)), **options
    )


@pytest.mark.parametrize("r", [1, 2, 7, 100])
@pytest.mark.parametrize("zeros", [0, 5])
def test_every_rank_of_r_equal_values_is_r(r, zeros):
    sigma = np.r_[np.full(r, 3.0), np.zeros(zeros)]
    for rank in SCALE_FREE_RANKS:
        assert_allclose(rank(sigma), r, rtol=1e-13)
    assert sst.numerical_rank(sigma) == r
    assert sst.energy_rank(sigma, 1.0) == r
    assert_allclose(sst.fro_norm(sigma), 3 * math.sqrt(r))
    assert_allclose(sst.nuclear_norm(sigma), 3 * r)
    assert sst.condition(sigma) == (math.inf if zeros else 1.0)


@pytest.mark.parametrize("x", [0.3, 0.9])
def test_geometric_spectrum_in_closed_form(x):
    p = 60
    sigma = x ** np.arange(p)
    s1, s2, s4 = ((1 - x ** (k * p)) / (1 - x**k) for k in (1, 2, 4))
    i = np.arange(p)
    # entropy of p_i = x^i / s1 is ln s1 - ln x sum i x^i / s1
    entropy = math.log(s1) - math.log(x) * float(np.sum(i * x**i)) / s1
    assert_allclose(sst.nuclear_norm(sigma), s1)
    assert_allclose(sst.stable_rank(sigma), s2)
    assert_allclose(sst.nuclear_rank(sigma), s1**2 / s2)
    assert_allclose(sst.participation_ratio(sigma), s2**2 / s4)
    assert_allclose(sst.effective_rank(sigma), math.exp(entropy))
    assert_allclose(sst.spectral_entropy(sigma), entropy / math.log(p))
    assert_allclose(sst.condition(sigma), x ** -(p - 1))
    assert_allclose(sst.effective_rank_energy(sigma), sst.effective_rank(sigma**2))


def test_energy_rank_counts_ties_and_needs_enough_values():
    flat = np.ones(10)
    assert [sst.energy_rank(flat, q) for q in (0.1, 0.5, 0.51, 0.9, 1.0)] == [1, 5, 6, 9, 10]
    assert sst.energy_rank(flat[:6], 0.5, fro=math.sqrt(10)) == 5
    with pytest.raises(ValueError, match=r"top 4 values hold less than 0\.5"):
        sst.energy_rank(flat[:4], 0.5, fro=math.sqrt(10))
    with pytest.raises(ValueError, match=r"q must be in \(0, 1\], not 0"):
        sst.energy_rank(flat, 0)


def test_concentration_with_and_without_the_whole_spectrum():
    sigma = np.sqrt([4.0, 3.0, 2.0, 1.0])
    assert_allclose([sst.concentration(sigma, k) for k in (1, 2, 4)], [0.4, 0.7, 1.0])
    assert_allclose(sst.concentration(sigma[:2], 2, fro=math.sqrt(10)), 0.7)
    with pytest.raises(ValueError, match="k = 5 must be between 1 and 4, the number of values"):
        sst.concentration(sigma, 5)


def test_numerical_rank_and_condition_know_the_floor():
    sigma = np.array([1.0, 1e-3, 1e-5, 1e-9])
    assert sst.numerical_rank(sigma) == 3
    assert sst.numerical_rank(sigma, floor=1e-4) == 2
    assert sst.numerical_rank(sigma, rtol=1e-10) == 4
    assert_allclose(sst.condition(sigma), 1e9)
    assert sst.condition(sigma, floor=1e-8) == math.inf
    assert "condition" not in exact(sigma, floor=1e-8)


@pytest.mark.parametrize("beta", [1e-6, 0.01, 0.25, 0.5, 0.9, 0.9999, 1.0])
def test_marchenko_pastur_median_against_quadrature(beta):
    integrate = pytest.importorskip("scipy.integrate")
    low, high = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2
    median = sst.marchenko_pastur_median(beta)
    middle, half = (low + high) / 2, (high - low) / 2

    def density(angle):  # lambda = middle + half cos(angle) takes out both square-root ends
        x = middle + half * math.cos(angle)
        return half**2 * math.sin(angle) ** 2 / (2 * math.pi * beta * x)

    above, _ = integrate.quad(density, 0, math.acos((median - middle) / half), epsabs=1e-12)
    assert_allclose(above, 0.5, atol=1e-10)


def test_marchenko_pastur_median_of_a_square_matrix_is_the_quarter_circle():
    # sigma then has the density sqrt(4 - x^2) / pi on [0, 2]
    x = math.sqrt(sst.marchenko_pastur_median(1.0))
    below = (x * math.sqrt(4 - x**2) / 2 + 2 * math.asin(x / 2)) / math.pi
    assert_allclose(below, 0.5, atol=1e-13)
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        sst.marchenko_pastur_median(0.0)


@pytest.mark.parametrize("shape", [(200, 200), (300, 150), (150, 400), (320, 256)])
def test_planted_rank_16_is_recovered_from_noise(shape):
    _, sigma = known_spectra.planted(*shape, seed=3, rank=16)
    measures = exact(sigma, shape)
    assert measures["mp_outliers"].value == 16
    assert_allclose(measures["mp_edge"].value, 1.0, rtol=0.1)
    assert measures["effective_rank"].value > 50
    assert_allclose(
        measures["mp_softrank"].value, (measures["mp_edge"].value / sigma[0]) ** 2, rtol=1e-12
    )


spectrum_values = st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=40).map(
    lambda x: np.sort(x)[::-1]
)


@given(spectrum_values, st.floats(1e-150, 1e150))
@settings(max_examples=60, deadline=None)
def test_scaling_changes_no_scale_free_measure(sigma, c):
    before, after = exact(sigma), exact(c * sigma)
    # A fit has a minimum over tails, and two equal minima may fall either way: fits are below.
    names = {name for name in before if "alpha" not in name}
    assert names == {name for name in after if "alpha" not in name}
    for name in names - {"mp_outliers", "effective_rank_above_edge"}:
        factor = c ** UNITS.get(name, 0)
        assert_allclose(after[name].value, factor * before[name].value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("c", [1e-30, 3e-7, 1 / 3, 7.0, 1e40])
@pytest.mark.parametrize("family", ["llm", "gaussian", "polynomial", "low_rank", "spiked"])
def test_scaling_a_weight_matrix_changes_no_scale_free_measure(family, c):
    _, sigma = known_spectra.FAMILIES[family](90, 70, seed=1)
    sigma[sigma < 1e-14] = 0  # rounding noise of an exact rank has no power law
    before, after = exact(sigma), exact(c * sigma)
    assert before.keys() == after.keys()
    for name in before.keys() - LOGARITHMIC:
        factor = c ** UNITS.get(name, 0)
        assert_allclose(after[name].value, factor * before[name].value, rtol=1e-9, err_msg=name)
        assert_allclose(after[name].error, factor * before[name].error, rtol=1e-6, atol=1e-12)


@given(spectrum_values)
@settings(max_examples=60, deadline=None)
def test_inequalities_between_the_ranks(sigma):
    slack = 1 + 1e-9
    ratio, energy = sst.participation_ratio(sigma), sst.effective_rank_energy(sigma)
    assert slack * sst.stable_rank(sigma) >= 1
    # Renyi entropies of one distribution fall with their order: 1, 2, infinity.
    assert sst.stable_rank(sigma) <= slack * ratio <= slack**2 * energy <= slack**3 * len(sigma)
    effective = sst.effective_rank(sigma)
    assert sst.nuclear_rank(sigma) <= slack * effective <= slack**2 * len(sigma)
    assert energy <= slack * effective


@given(spectrum_values, st.integers(0, 2**32 - 1), st.sampled_from([1e-8, 1e-5, 1e-3]))
@settings(max_examples=60, deadline=None)
def test_errors_of_the_values_are_propagated(sigma, seed, size):
    rng = np.random.default_rng(seed)
    errors = size * rng.random(len(sigma)) * sigma[0]
    noisy = np.maximum(sigma + errors * rng.uniform(-1, 1, len(sigma)), 0)
    order = np.argsort(-noisy)
    shape = (len(sigma), len(sigma))
    measures = measures_from_values(
        noisy[order],
        np.maximum(errors[order], errors.max()),
        MatrixNorms(shape, sst.fro_norm(sigma)),
    )
    truth = exact(sigma)
    for name in measures.keys() & truth.keys() - TAIL - NOISE:
        # First order in the errors, so a little room for the second.
        room = 1.2 * measures[name].error + 1e-9 * abs(truth[name].value)
        assert abs(measures[name].value - truth[name].value) <= room, name


@given(spectrum_values, st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 0.1, 1.0]))
@settings(max_examples=60, deadline=None)
def test_energy_ranks_cover_errors_as_large_as_the_values(sigma, seed, size):
    rng = np.random.default_rng(seed)
    errors = np.sort(size * rng.random(len(sigma)))  # the lower ends of the values descend
    true = np.minimum.accumulate(np.maximum(sigma + errors * rng.uniform(-1, 1, len(sigma)), 0))
    if true[0] == 0:
        return
    shape, fro = (len(sigma), len(sigma)), sst.fro_norm(true)
    measures = measures_from_values(sigma, errors, MatrixNorms(shape, fro))
    for name in measures.keys() & ENERGY:
        rank = sst.energy_rank(true, int(name[-2:]) / 100)
        assert abs(measures[name].value - rank) <= measures[name].error, name


def test_what_each_effort_allows():
    A, sigma = known_spectra.llm(80, 60, seed=2)
    fro = float(np.linalg.norm(A))
    assert exact(sigma, A.shape).keys() == TOP | ENERGY | WHOLE | TAIL | NOISE | LOWER | SHOULDER
    top = measures_from_top(sigma[:20], np.zeros(20), MatrixNorms(A.shape, fro))
    assert top.keys() - ENERGY == TOP
    assert "energy_rank_50" in top
    assert "energy_rank_99" not in top
    few = measures_from_top(sigma[:4], np.zeros(4), MatrixNorms(A.shape, fro))
    assert few.keys() - ENERGY == TOP - {"concentration_10"}
    assert measures_from_top(sigma, np.zeros(60), MatrixNorms(A.shape, fro)).keys() >= WHOLE
    truth = exact(sigma, A.shape, k=20)
    for name in top:
        assert_allclose(top[name].value, truth[name].value, rtol=1e-12, err_msg=name)
    assert {m.basis for m in top.values()} == {"exact", "top"}


def test_zero_matrix_has_norms_and_rank_zero_only():
    measures = exact(np.zeros(8), (8, 30))
    assert {name: m.value for name, m in measures.items()} == {
        "fro_norm": 0, "spectral_norm": 0, "nuclear_norm": 0, "numerical_rank": 0,
    }  # fmt: skip
    assert measures_from_top(np.zeros(3), np.zeros(3), MatrixNorms((8, 30), 0.0)).keys() == {
        "fro_norm",
        "spectral_norm",
    }
    for rank in [*SCALE_FREE_RANKS, sst.spectral_entropy, sst.alpha_hill]:
        with pytest.raises(ValueError, match="zero matrix"):
            rank(np.zeros(8))


def test_a_vector_has_ranks_one_and_no_entropy():
    _, sigma = known_spectra.row(1, 40)
    measures = exact(sigma, (1, 40))
    for name in ("stable_rank", "effective_rank", "effective_rank_energy", "nuclear_rank"):
        assert_allclose(measures[name].value, 1)
    assert measures["numerical_rank"].value == measures["energy_rank_99"].value == 1
    assert "spectral_entropy" not in measures
    assert not measures.keys() & (NOISE | TAIL)
    with pytest.raises(ValueError, match="vector"):
        sst.spectral_entropy(sigma)


def test_a_matrix_of_low_rank_has_no_noise_edge_and_no_condition():
    _, sigma = known_spectra.low_rank(60, 40, rank=16)
    measures = exact(sigma, (60, 40), floor=1e-12)
    assert measures["numerical_rank"].value == 16
    assert not measures.keys() & (NOISE | SHOULDER | {"condition"})


@pytest.mark.parametrize("family", known_spectra.FAMILIES)
def test_no_measure_is_nan_on_any_family(family):
    A, sigma = known_spectra.FAMILIES[family](48, 36, seed=4)
    measures = measures_from_values(
        sigma,
        np.full(len(sigma), 1e-12),
        MatrixNorms(A.shape, float(np.linalg.norm(A))),
        floor=1e-11,
    )
    for name, m in measures.items():
        assert math.isfinite(m.value), name
        assert math.isfinite(m.error), name
        assert m.error >= 0, name


@pytest.mark.parametrize(
    ("values", "errors", "shape", "fro", "message"),
    [
        ([1.0, 2.0], [0, 0], (2, 2), 2.0, "descending"),
        ([1.0, -1.0], [0, 0], (2, 2), 2.0, ">= 0"),
        ([1.0, math.nan], [0, 0], (2, 2), 2.0, "finite"),
        ([[1.0]], [[0]], (1, 1), 1.0, "non-empty vector"),
        ([], [], (1, 1), 1.0, "non-empty vector"),
        ([1.0], [0, 0], (1, 1), 1.0, "errors must be 1 finite"),
        ([1.0], [-1], (1, 1), 1.0, "errors must be 1 finite"),
        ([1.0, 1.0], [0, 0], (1, 9), 1.0, "2 singular values for a 1 x 9 matrix"),
        ([1.0], [0], (2, 9), 1.0, "1 singular values for a 2 x 9 matrix"),
        ([1.0], [0], (1, 1), math.nan, "fro_norm"),
    ],
)
def test_bad_input_is_named(values, errors, shape, fro, message):
    with pytest.raises(ValueError, match=message):
        measures_from_values(values, errors, MatrixNorms(shape, fro))


COUNTS = ("energy_rank_", "numerical_rank", "mp_outliers", "mp_lower_", "alpha_tail", "shoulder_")
"""Beginnings of the names of measures that are whole numbers, and may be exact."""

SPREADS = {"equal": 0.0, "nearly equal": 1e-9, "wide": 1e-3}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("order", [1, 600])
def test_no_error_is_below_the_rounding_of_its_value(spread, order):
    """Errors of equal values cancel in a ratio of their sums, whose rounding does not."""
    sigma = 1 - SPREADS[spread] * np.arange(order)
    errors, norm, shape = np.full(order, 1e-18), float(np.linalg.norm(sigma)), (order + 300, order)
    every = measures_from_values(sigma, errors, MatrixNorms(shape, norm))
    top = measures_from_top(sigma[:5], errors[:5], MatrixNorms(shape, norm))
    for name, measure in [*every.items(), *top.items()]:
        counts = name.startswith(COUNTS) and float(measure.value).is_integer()
        assert counts or measure.error >= np.spacing(abs(measure.value)) / 2, name
