# SPDX-License-Identifier: BSD-3-Clause
"""Power laws: fits of samples, tails that are left out, and spectra without a power law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import measures_from_values
from sigmascope.spectra.tails import least_distances


def exact(sigma, shape=None, **options):
    sigma = np.asarray(sigma, dtype=float)
    shape = shape or (len(sigma), len(sigma))
    return measures_from_values(sigma, np.zeros(len(sigma)), shape, sst.fro_norm(sigma), **options)


@pytest.mark.parametrize("alpha", [2.0, 3.5])
def test_alpha_of_pareto_samples(alpha):
    distances = []
    for seed in range(20):
        uniform = np.random.default_rng(seed).random(1500)
        lambdas = np.sort(uniform ** (-1 / (alpha - 1)))[::-1]
        fit = sst.fit_power_law(np.sqrt(lambdas))
        distances.append((fit.alpha - alpha) / fit.standard_error)
        assert fit.low <= fit.alpha <= fit.high
        assert fit.D < 0.05
        assert fit.tail >= 10
        assert_allclose(fit.standard_error, (fit.alpha - 1) / math.sqrt(fit.tail))
    assert np.max(np.abs(distances)) < 3


def test_alpha_finds_where_the_tail_begins():
    rng = np.random.default_rng(0)
    tail = 2.0 * rng.random(500) ** (-1 / 1.5)
    body = rng.uniform(0.1, 2.0, 1500)
    fit = sst.fit_power_law(np.sqrt(np.sort(np.r_[tail, body])[::-1]))
    assert abs(fit.alpha - 2.5) < 4 * fit.standard_error
    assert 1.5 < fit.x_min < 4.5
    assert 150 < fit.tail < 600


@given(
    st.lists(st.floats(1e-3, 1.0), min_size=3, max_size=120),
    st.floats(1.0, 2.0),
    st.booleans(),
)
@settings(deadline=None)
def test_tails_that_are_left_out_are_farther_than_wanted(values, slack, both):
    """Against the distance of every tail, as the definition has it."""
    log = np.sort(np.log(values))[::-1]
    counts = np.arange(2, len(log) + 1)
    alphas = 1.1 + np.random.default_rng(0).random(len(counts))
    distances = []
    for n, alpha in zip(counts, alphas, strict=True):
        law = np.exp((1 - alpha) * (log[:n] - log[n - 1]))
        sides = [np.abs(law - np.arange(1, n + 1) / n), np.abs(law - np.arange(n) / n)]
        distances.append(np.max(sides[: 1 + both]))
    found = least_distances(log, counts, alphas, slack, both=both)
    near = np.array(distances) <= slack * min(distances)
    assert_allclose(found[near], np.array(distances)[near], rtol=1e-12)
    assert np.all((found == np.inf) | (np.abs(found - distances) <= 1e-12))
    assert np.argmin(found) == np.argmin(distances)


def test_few_tails_are_looked_at_closely():
    sigma = np.sqrt(np.random.default_rng(0).pareto(2.0, 3000) + 1)
    log = np.sort(2 * np.log(sigma))[::-1]
    counts = np.arange(10, 3001)
    excess = np.cumsum(log)[9:] - counts * log[9:]
    found = least_distances(log, counts, 1 + counts / excess, 1.05, both=True)
    assert 0 < np.sum(np.isfinite(found)) < len(counts) / 4  # the hardest case: one law throughout


def test_alpha_norms_and_hill():
    sigma = np.sqrt(1.0 / np.arange(1, 101))
    fit = sst.fit_power_law(10 * sigma)
    assert_allclose(sst.alpha_weighted(fit, 10 * sigma), 2 * fit.alpha)
    direct = math.log10(np.sum((100.0 / np.arange(1, 101)) ** fit.alpha))
    assert_allclose(sst.log_alpha_norm(fit, 10 * sigma), direct)
    hill = 1 + 50 / np.sum(np.log(50 / np.arange(1, 51)))
    assert_allclose(sst.alpha_hill(sigma), hill)


def test_power_laws_are_fitted_above_the_rounding_floor() -> None:
    sigma = np.arange(1, 201) ** -0.5
    floor = float(sigma[50])
    found, fit = exact(sigma, floor=floor), sst.fit_power_law(sigma[:50])
    assert found["alpha"].value == pytest.approx(fit.alpha, rel=1e-12)
    assert found["alpha_tail"].value == fit.tail
    assert "alpha_hill" not in found  # of the 100 largest values
    assert abs(exact(sigma)["alpha"].value - fit.alpha) > 0.01


def test_the_error_of_where_a_tail_begins_is_that_of_a_square() -> None:
    sigma, error = np.arange(1, 101) ** -0.5, 1e-3
    found = measures_from_values(sigma, np.full(100, error), (100, 100), sst.fro_norm(sigma))
    start = found["alpha_x_min"]
    moved = (math.sqrt(start.value) + error) ** 2 - start.value
    assert moved * (1 - 1e-9) <= start.error <= 1.1 * moved


@pytest.mark.parametrize(
    "sigma", [np.ones(50), np.ones(5), np.r_[1.0, np.full(40, 1e-9)], np.zeros(20)]
)
def test_power_laws_that_cannot_be_fitted_are_errors_and_absent(sigma):
    with pytest.raises(ValueError, match=r"power law|zero matrix"):
        sst.fit_power_law(sigma)
    assert not [name for name in exact(sigma) if "alpha" in name and name != "alpha_hill"]
