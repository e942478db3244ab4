# SPDX-License-Identifier: BSD-3-Clause
"""Power laws: fits of samples, tails that are left out, and spectra without a power law."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import MatrixNorms, measures_from_values


def exact(sigma, shape=None, **options):
    sigma = np.asarray(sigma, dtype=float)
    shape = shape or (len(sigma), len(sigma))
    return measures_from_values(
        sigma, np.zeros(len(sigma)), MatrixNorms(shape, sst.fro_norm(sigma)), **options
    )


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


def every_tail(sigma: Any) -> tuple[Any, Any, Any]:
    """The lengths of all tails of lambda, the exponent of each, and its distance from its law."""
    x = np.sort(np.asarray(sigma) ** 2)[::-1]
    counts, alphas, distances = [], [], []
    for n in range(10, len(x) + 1):
        tail = x[:n]
        total = np.sum(np.log(tail / tail[-1]))
        if total <= 1e-9 * n or (n < len(x) and x[n] >= tail[-1]):
            continue
        alpha = 1 + n / total
        law = (tail / tail[-1]) ** (1 - alpha)
        steps = np.arange(n + 1) / n
        counts.append(n)
        alphas.append(alpha)
        distances.append(max(np.abs(law - steps[1:]).max(), np.abs(law - steps[:-1]).max()))
    return np.array(counts), np.array(alphas), np.array(distances)


def assert_best_of_all_tails(sigma: Any) -> None:
    """Check a fit against the distance of every tail, as the definition has it."""
    counts, alphas, distances = every_tail(sigma)
    fit = sst.fit_power_law(sigma)
    assert_allclose(fit.D, distances.min(), rtol=1e-9)
    best = np.isclose(distances, distances.min(), rtol=1e-9)
    assert fit.tail in counts[best]
    (place,) = np.flatnonzero(counts == fit.tail)
    assert_allclose(fit.alpha, alphas[place], rtol=1e-9)
    near, nearer = (alphas[distances <= (1.05 + x) * distances.min()] for x in (1e-9, -1e-9))
    assert near.min() * (1 - 1e-9) <= fit.low <= nearer.min() * (1 + 1e-9)
    assert nearer.max() * (1 - 1e-9) <= fit.high <= near.max() * (1 + 1e-9)


@given(st.lists(st.floats(1e-3, 1.0), min_size=12, max_size=130))
@settings(deadline=None)
def test_a_fit_of_few_values_is_the_best_of_all_tails(values):
    sigma = np.sort(values)[::-1]
    if len(every_tail(sigma)[0]):
        assert_best_of_all_tails(sigma)


@pytest.mark.parametrize("kind", ["one law", "two laws", "normal", "steps"])
def test_a_fit_of_many_values_is_the_best_of_all_tails(kind):
    """Most tails are left out by some of their values; none of them may have been the best."""
    rng = np.random.default_rng(1)
    sigma = {
        "one law": lambda: np.sqrt(rng.pareto(2.0, 600) + 1),
        "two laws": lambda: np.r_[np.sqrt(rng.pareto(1.5, 200) + 3), rng.uniform(0.1, 1.7, 500)],
        "normal": lambda: np.abs(rng.standard_normal(500)),
        "steps": lambda: np.round(np.exp(rng.standard_normal(500)), 1) + 0.1,
    }[kind]()
    assert_best_of_all_tails(np.sort(sigma)[::-1])


def test_few_tails_are_looked_at_closely(monkeypatch):
    """The law is evaluated for a quarter of all entries of tails: fewer where laws change."""
    sigma = np.sort(np.sqrt(np.random.default_rng(0).pareto(2.0, 3000) + 1))[::-1]
    evaluated, exp = [], np.exp

    def counted(x, *arguments, **options):
        evaluated.append(np.size(x))
        return exp(x, *arguments, **options)

    monkeypatch.setattr(np, "exp", counted)
    sst.fit_power_law(sigma)
    assert 48 * 2991 <= sum(evaluated) < 3000 * 2991 / 4  # the hardest case: one law throughout


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
    result, fit = exact(sigma, floor=floor), sst.fit_power_law(sigma[:50])
    assert result["alpha"].value == pytest.approx(fit.alpha, rel=1e-12)
    assert result["alpha_tail"].value == fit.tail
    assert "alpha_hill" not in result  # of the 100 largest values
    assert abs(exact(sigma)["alpha"].value - fit.alpha) > 0.01


def test_the_error_of_where_a_tail_begins_is_that_of_a_square() -> None:
    sigma, error = np.arange(1, 101) ** -0.5, 1e-3
    measures = measures_from_values(
        sigma, np.full(100, error), MatrixNorms((100, 100), sst.fro_norm(sigma))
    )
    start = measures["alpha_x_min"]
    moved = (math.sqrt(start.value) + error) ** 2 - start.value
    assert moved * (1 - 1e-9) <= start.error <= 1.1 * moved


@pytest.mark.parametrize(
    "sigma", [np.ones(50), np.ones(5), np.r_[1.0, np.full(40, 1e-9)], np.zeros(20)]
)
def test_power_laws_that_cannot_be_fitted_are_errors_and_absent(sigma):
    with pytest.raises(ValueError, match=r"power law|zero matrix"):
        sst.fit_power_law(sigma)
    assert not [name for name in exact(sigma) if "alpha" in name and name != "alpha_hill"]
