# SPDX-License-Identifier: BSD-3-Clause
"""Spectral density: the plain Krylov reference, the estimator's errors over seeds, edges."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.support import known_spectra
from tests.support.measure_names import EDGE_MEASURES
from tests.support.reference import block_krylov
from tests.support.tiers import short

from sigmascope.spectra import Density
from sigmascope.spectra import statistics as sst
from sigmascope.spectra.statistics import MatrixNorms, measures_from_density, measures_from_values


def density_of(A, block, steps, seed=0):
    run = block_krylov(A, block, steps, seed)
    gauss, radau = run.gauss(), run.radau()
    fro2 = float(np.sum(A**2))
    return Density.from_quadrature(
        min(A.shape), fro2, *gauss, *radau, run.residuals, steps=steps, seed=seed
    )


# --- the reference ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", known_spectra.FAMILIES)
@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_known_spectra_are_known(family, shape):
    A, sigma = known_spectra.FAMILIES[family](*shape, seed=5)
    assert sigma.shape == (min(A.shape),)
    assert np.all(np.diff(sigma) <= 0)
    assert_allclose(np.linalg.svd(A, compute_uv=False), sigma, atol=1e-13 * max(sigma[0], 1))


@pytest.mark.parametrize("family", known_spectra.FAMILIES)
def test_reference_basis_is_orthonormal_and_its_values_true(family):
    A, sigma = known_spectra.FAMILIES[family](70, 50, seed=6)
    run = block_krylov(A, 8, 5)
    assert_allclose(run.V.T @ run.V, np.eye(run.V.shape[1]), atol=1e-12)
    result, bound = run.singular_values(8)
    assert np.all(result <= sigma[: len(result)] * (1 + 1e-12) + 1e-14)
    # The residual bounds the distance to the nearest eigenvalue of A^T A.
    nearest = np.min(np.abs(result[:, None] ** 2 - sigma[None, :] ** 2), axis=1)
    assert np.all(nearest <= 2 * result * bound * (1 + 1e-9) + 1e-12 * sigma[0] ** 2)


def test_reference_rules_are_exact_for_polynomials():
    A, _ = known_spectra.spiked(60, 60, seed=7, spikes=10)
    block, steps = 4, 3
    start = np.random.default_rng(0).standard_normal((60, block))
    run = block_krylov(A, block, steps, seed=0)
    gauss, radau = run.gauss(), run.radau()
    for degree in range(2 * steps):
        vectors = start
        for _ in range(degree):
            vectors = A.T @ (A @ vectors)
        truth = np.sum(start * vectors, axis=0)
        assert_allclose(gauss.nodes**degree @ gauss.weights, truth, rtol=1e-9)
        assert_allclose(radau.nodes**degree @ radau.weights, truth, rtol=1e-9)
    assert_allclose(np.sort(radau.nodes)[:block], 0, atol=1e-12)


# --- coverage --------------------------------------------------------------------------------

MATRICES = {
    # Square: a hard edge at 0, where Gauss alone is far outside its standard error.
    "square": lambda: known_spectra.spiked(160, 160, seed=11, spikes=25),
    "rectangular": lambda: known_spectra.spiked(300, 160, seed=12, spikes=25),
    "decaying": lambda: known_spectra.polynomial(180, 160, seed=13, power=0.7),
    "clustered": lambda: known_spectra.clustered(180, 160, seed=14, multiplicity=40),
    "graded": lambda: known_spectra.graded(180, 160, seed=16),
    "llm": lambda: known_spectra.llm(180, 160, seed=17),
}
SETTINGS = [(32, 4), (16, 5), (8, 8)]
SEEDS = 10


@functools.cache
def runs(name, block, steps):
    A, sigma = MATRICES[name]()
    fro = float(np.linalg.norm(A))
    truth = measures_from_values(sigma, np.zeros(len(sigma)), MatrixNorms(A.shape, fro), k=4)
    results = []
    for seed in range(SEEDS):
        density = density_of(A, block, steps, seed)
        results.append(
            measures_from_density(density, sigma[:4], np.zeros(4), MatrixNorms(A.shape, fro))
        )
    return truth, results


@pytest.mark.parametrize(
    ("name", "setting"),
    short(
        ["square-32x4", "decaying-8x8", "clustered-32x4", "graded-16x5"],
        {f"{name}-{b}x{q}": (name, (b, q)) for name in MATRICES for b, q in SETTINGS},
    ),
)
def test_errors_cover_the_truth(name, setting):
    block, steps = setting
    truth, result = runs(name, block, steps)
    everywhere = set(truth).intersection(*result) - {"fro_norm"}  # an edge is not in every run
    assert everywhere >= set(result[0]) - {"fro_norm", *EDGE_MEASURES}
    for measure in sorted(everywhere):
        misses = np.array([abs(f[measure].value - truth[measure].value) for f in result])
        errors = np.array([f[measure].error for f in result]) + 1e-12 * abs(truth[measure].value)
        assert np.mean(misses <= 2 * errors) >= 0.9, measure
        assert np.all(misses <= 4 * errors), measure


@pytest.mark.parametrize(
    "name",
    ["square", *(pytest.param(x, marks=pytest.mark.slow) for x in ("rectangular", "decaying"))],
)
def test_errors_are_not_mere_caution(name):
    _, result = runs(name, 32, 4)
    for measure, most in [("nuclear_norm", 0.02), ("effective_rank", 0.05), ("mp_edge", 0.1)]:
        having = [f for f in result if measure in f]  # an edge is not in every run
        errors = [f[measure].error / f[measure].value for f in having]
        assert np.median(errors or [0.0]) < most, measure
        assert len(having) == len(result) or measure == "mp_edge"


def test_radau_removes_the_bias_of_gauss_on_a_hard_edge():
    A, sigma = MATRICES["square"]()
    truth = sigma.sum()
    gauss, both = [], []
    for seed in range(SEEDS):
        density = density_of(A, 16, 5, seed)
        gauss.append(density.quadrature.trace(np.sqrt).gauss)
        both.append(density.nuclear_norm().value)
    assert abs(np.mean(both) - truth) < 0.5 * abs(np.mean(gauss) - truth)


@pytest.mark.parametrize("probes", [3, 4, 8])
def test_the_variance_over_probes_knows_of_two_fitted_variates(probes: int) -> None:
    """A regression on two variates leaves two degrees of freedom less."""
    A, _ = MATRICES["rectangular"]()
    for seed in range(10):
        result = density_of(A, probes, 4, seed).nuclear_norm().estimate
        assert result is not None
        assert result.sampling**2 >= 0.999 * np.var(result.probes, ddof=1) / (probes - 2)


@pytest.mark.parametrize("name", short(["square", "decaying", "clustered"], list(MATRICES)))
def test_quantiles_and_cdf_cover_the_truth(name):
    A, sigma = MATRICES[name]()
    levels = [0.3, 0.5, 0.8]
    points = [0.2 * sigma[0], 0.5 * sigma[0], sigma[60] * 1.01]
    quantile_ok, cdf_ok = [], []
    for seed in range(10):
        density = density_of(A, 16, 6, seed)
        for q in levels:
            m = density.quantile(q)
            quantile_ok.append(abs(m.value - np.quantile(sigma, q)) <= 2 * m.error)
        for x in points:
            fraction, error = density.cdf(x)
            assert 0 <= fraction <= 1
            assert error == density.count_above(x).error / len(sigma)
            cdf_ok.append(abs(fraction - np.mean(sigma <= x)) <= 2 * error + 1e-12)
    assert np.mean(quantile_ok) >= 0.9
    assert np.mean(cdf_ok) >= 0.9


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.nightly)])
def test_where_a_stair_ends_is_not_charged_but_a_gap_is(every):
    """Straight from node to node a median is off by up to half a stair: 2 to 3 % of it here."""
    smooth = np.sqrt(np.linspace(1.0, 0.02, 800))
    parted = np.where(np.arange(800) < 400, 1.0, 0.6) + np.linspace(0.1, 0.0, 800)
    raw, claimed = [], []
    for steps in range(8, 18, every):
        density = density_of(np.diag(smooth), 24, steps, steps)
        median, truth = density.quantile(0.5), np.median(smooth)
        assert abs(median.value - truth) <= 2 * median.error
        claimed.append(median.error / truth)
        raw.append(abs(np.interp(400, np.cumsum(density.weights), np.sqrt(density.nodes)) - truth))
        density = density_of(np.diag(parted), 24, steps, steps)
        for q in (0.48, 0.49, 0.495, 0.505, 0.51, 0.52):
            side = density.quantile(q)
            assert abs(side.value - np.quantile(parted, q)) <= 3 * side.error, (steps, q)
    assert max(raw) > 0.02 * np.median(smooth)
    assert max(claimed) < 0.012


# --- exact cases -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gaussian", "llm", "polynomial"])
@pytest.mark.parametrize("block", [2, 8])
def test_an_exhausted_space_leaves_no_error(family, block):
    A, sigma = known_spectra.FAMILIES[family](50, 32, seed=8)
    density = density_of(A, block, 40)
    assert density.exact
    assert_allclose(density.nuclear_norm().value, sigma.sum(), rtol=1e-7)
    assert density.nuclear_norm().error < 1e-9 * sigma.sum()
    assert_allclose(density.effective_rank().value, sst.effective_rank(sigma), rtol=1e-6)
    for q in (0.5, 0.9, 0.99):
        assert density.energy_rank(q).value == sst.energy_rank(sigma, q)
        assert density.energy_rank(q).error == 0
    assert_allclose(density.quantile(0.5).value, np.median(sigma), rtol=1e-6)
    assert density.count_above(sigma[5] * 0.999).value == np.sum(sigma > sigma[5] * 0.999)


@pytest.mark.parametrize(("share", "error"), [(1e-6, 1), (0.5, 0), (1 - 1e-6, 1)])
def test_an_energy_rank_is_in_doubt_where_a_share_is_nearly_reached(
    share: float, error: int
) -> None:
    """Between what k - 1 values hold and what k hold: just above, in the middle, just below."""
    A, sigma = known_spectra.gaussian(50, 32, seed=8)
    density = density_of(A, 8, 40)
    held = np.cumsum(sigma**2) / np.sum(sigma**2)
    for k in (2, 5, 20):
        q = (1 - share) * held[k - 2] + share * held[k - 1]
        rank = density.energy_rank(float(q))
        assert (rank.value, rank.error) == (k, error)


@pytest.mark.parametrize("family", ["low_rank", "repeated_rows"])
@pytest.mark.parametrize("block", [8, 24])
def test_exact_low_rank_is_exact_and_certain(family, block):
    A, sigma = known_spectra.FAMILIES[family](120, 80, seed=9)
    rank = int(np.sum(sigma > 1e-9 * sigma[0]))
    density = density_of(A, block, 8)
    measures = measures_from_density(
        density, sigma[:8], np.zeros(8), MatrixNorms(A.shape, np.linalg.norm(A))
    )
    assert measures["numerical_rank"].value == rank
    assert measures["numerical_rank"].error == 0
    assert_allclose(measures["nuclear_norm"].value, sigma.sum(), rtol=1e-5)
    assert abs(measures["nuclear_norm"].value - sigma.sum()) <= 2 * measures["nuclear_norm"].error
    assert_allclose(measures["effective_rank"].value, sst.effective_rank(sigma), rtol=1e-4)
    assert "mp_edge" not in measures


@pytest.mark.parametrize("family", ["low_rank", "llm", "exponential"])
def test_rounded_nodes_are_covered_by_the_resolution(family):
    A, sigma = known_spectra.FAMILIES[family](60, 40, seed=9)
    run = block_krylov(A, 8, 12)
    rng = np.random.default_rng(1)
    rules = []
    for rule in (run.gauss(), run.radau()):
        noise = 1e-7 * sigma[0] ** 2 * rng.uniform(-1, 1, len(rule.nodes))
        rules += [np.maximum(rule.nodes + noise, 0), rule.weights]
    fro = float(np.linalg.norm(A))
    density = Density.from_quadrature(40, fro**2, *rules, run.residuals, resolution=1e-7)
    measures = measures_from_density(density, sigma[:4], np.zeros(4), MatrixNorms(A.shape, fro))
    truth = measures_from_values(sigma, np.zeros(40), MatrixNorms(A.shape, fro), k=4, floor=1e-13)
    for name, m in measures.items():
        assert abs(m.value - truth[name].value) <= 2 * m.error + 1e-12 * m.value, name


def test_zero_matrix():
    density = density_of(np.zeros((20, 12)), 4, 3)
    assert density.nuclear_norm().value == density.nuclear_norm().error == 0
    assert density.schatten(0.5).value == 0
    measures = measures_from_density(density, np.zeros(2), np.zeros(2), MatrixNorms((20, 12), 0.0))
    assert {name: m.value for name, m in measures.items()} == {
        "fro_norm": 0, "spectral_norm": 0, "nuclear_norm": 0, "numerical_rank": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="zero matrix"):
        density.effective_rank()


# --- the interface ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def density():
    A, _ = known_spectra.spiked(90, 60, seed=10, spikes=10)
    return density_of(A, 8, 4)


def test_moments_that_are_known_exactly(density):
    assert_allclose(density.moment(np.ones_like).value, 60, rtol=1e-10)
    energy = density.moment(np.square, unit="sigma")
    assert_allclose(energy.value, density.fro_norm**2, rtol=1e-10)
    assert energy.error < 1e-9 * energy.value
    assert_allclose(density.moment(np.sqrt).value, density.nuclear_norm().value, rtol=1e-12)
    assert_allclose(density.schatten(1).value, density.nuclear_norm().value, rtol=1e-9)
    assert_allclose(density.schatten(2).value, density.fro_norm, rtol=1e-9)


def test_nodes_and_weights_are_a_density(density):
    assert np.all(np.diff(density.nodes) <= 0)
    assert np.all(density.weights >= 0)
    assert_allclose(density.weights.sum(), 60, rtol=0.02)
    assert density.probes == 8
    assert not density.exact
    assert "60 singular values" in repr(density)
    assert "8 probes, 4 steps" in repr(density)


def test_quantiles_and_counts_are_monotone(density):
    quantiles = [density.quantile(q).value for q in np.linspace(0, 1, 21)]
    assert np.all(np.diff(quantiles) > -1e-6)
    counts = [density.count_above(x).value for x in np.linspace(0, 2 * quantiles[-1], 25)]
    assert np.all(np.diff(counts) < 0.5)
    assert counts[-1] == 0
    assert_allclose(density.count_above(0.0).value, 60, atol=1)


def test_bad_arguments_are_named(density):
    with pytest.raises(ValueError, match="finite"):
        density.moment(np.log)
    with pytest.raises(ValueError, match="an array of its shape"):
        density.moment(lambda x: 1.0)
    with pytest.raises(ValueError, match="'lambda' or 'sigma', not 'eigenvalue'"):
        density.moment(np.sqrt, unit="eigenvalue")
    with pytest.raises(ValueError, match="p must be > 0, not 0"):
        density.schatten(0)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\], not 2"):
        density.quantile(2)
    with pytest.raises(ValueError, match=r"q must be in \(0, 1\), not 1"):
        density.energy_rank(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gauss_weights": np.ones((6, 1))}, ">= 2 probes"),
        ({"gauss_weights": np.ones(6)}, ">= 2 probes"),
        ({"gauss_weights": np.ones((5, 2))}, "shapes do not match"),
        ({"rho": np.ones(5)}, "shapes do not match"),
        ({"radau_weights": np.ones((8, 3))}, "shapes do not match"),
        ({"radau_nodes": np.full(8, math.nan)}, "must be finite"),
        ({"fro2": math.inf}, "must be finite"),
        ({"fro2": -1.0}, "fro2 >= 0"),
        ({"n": 0}, "n must be >= 1"),
    ],
)
def test_bad_rules_are_named(change, message):
    rules = {
        "n": 20,
        "fro2": 20.0,
        "gauss_nodes": np.ones(6),
        "gauss_weights": np.ones((6, 2)),
        "radau_nodes": np.ones(8),
        "radau_weights": np.ones((8, 2)),
        "rho": np.ones(6),
    }
    with pytest.raises(ValueError, match=message):
        Density.from_quadrature(**(rules | change))


def test_missed_copies_are_not_deflated():
    A, sigma = known_spectra.clustered(200, 150, seed=15, multiplicity=60)
    density = density_of(A, 8, 10)
    converged = density.quadrature.converged
    # Eight copies of sixty converge; each with weight one would lose fifty-two.
    assert len(converged) < 8
    m = density.nuclear_norm()
    assert abs(m.value - sigma.sum()) <= 4 * m.error


@pytest.mark.parametrize("c", [1e-20, 0.3, 1e15])
def test_scaling_changes_no_scale_free_measure(c):
    A, sigma = known_spectra.llm(120, 90, seed=18)
    results = [
        measures_from_density(
            density_of(x * A, 8, 6),
            x * sigma[:4],
            np.zeros(4),
            MatrixNorms(A.shape, x * np.linalg.norm(A)),
        )
        for x in (1.0, c)
    ]
    assert results[0].keys() == results[1].keys()
    for name, m in results[0].items():
        factor = c if name.endswith("_norm") or name == "mp_edge" else 1.0
        assert_allclose(results[1][name].value, factor * m.value, rtol=1e-6, err_msg=name)
        assert_allclose(results[1][name].error, factor * m.error, rtol=1e-3, atol=1e-12)
