# SPDX-License-Identifier: BSD-3-Clause
"""What a sketch says of its own errors: how often it is right, and how far off."""

from __future__ import annotations

import known_spectra as ks
import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.streaming.chances import (
    LEAST_COLUMNS,
    UNLIKELY,
    chi_square_mean,
    least_mean_square,
    missed_by_sketch,
)

SPECTRA: dict[str, NDArray[np.float64]] = {
    "flat": np.ones(200),
    "Gaussian": ks.gaussian(300, 200)[1],
    "llm": ks.llm(300, 200)[1],
    "spiked": ks.spiked(300, 200)[1],
    "i^-1/2": np.arange(1, 201) ** -0.5,
    "i^-1": np.arange(1, 201) ** -1.0,
    "i^-2": np.arange(1, 201) ** -2.0,
    "exponential": np.exp(-0.1 * np.arange(200)),
    "one direction missed": np.r_[np.full(60, 3.0), 1.0, np.full(139, 1e-3)],
    "one outlier": np.r_[100.0, np.ones(199)],
    "clustered": ks.clustered(300, 200)[1],
    "step": np.r_[np.full(30, 10.0), np.full(170, 1.0)],
}


def missed(sigma: NDArray[np.float64], width: int, seed: int) -> tuple[float, float, float]:
    """||E||, its bound by leaving out, and its trace, for diag(sigma) and a Gaussian Omega.

    A Gaussian Omega sees nothing of a matrix but its singular values.
    """
    omega = np.random.default_rng(seed).standard_normal((len(sigma), width))
    y = sigma[:, None] * omega
    Q = np.linalg.qr(y)[0]
    R = np.diag(sigma) - Q @ (Q.T * sigma)
    z, y2, fro2 = sigma[:, None] * y, y.T @ y, float(np.sum(sigma**2))
    bound = fro2 * missed_by_sketch(z / fro2, y2 / fro2)
    return float(np.linalg.norm(R, 2)) ** 2, bound, float(np.linalg.norm(R)) ** 2


@pytest.mark.parametrize("width", [6, 12, 30, 80])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_norm_of_what_was_missed_is_covered(name: str, width: int) -> None:
    for seed in range(25):
        true, bound, _ = missed(SPECTRA[name], width, seed)
        assert true <= bound, seed


def test_a_plateau_of_which_one_direction_is_missed_is_covered() -> None:
    """At a probability of 1e-4 two of 60,000 such sketches missed more, by up to a quarter."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        n, plateau = int(rng.integers(12, 120)), int(rng.integers(1, 24))
        width = int(rng.integers(6, min(40, n)))
        sigma = np.r_[5.0, 1 + 0.1 * rng.random(plateau), np.full(n, rng.uniform(0.01, 0.6))][:n]
        true, bound, trace = missed(sigma, width, int(rng.integers(2**30)))
        assert true <= min(bound, trace * (1 + 1e-12))
    unlucky = missed(np.r_[5.0, np.full(9, 1.05), np.full(40, 0.1)], 21, 820837199)
    assert unlucky[0] <= unlucky[1]


@pytest.mark.parametrize(("name", "width", "share"), [("llm", 50, 0.2), ("i^-1/2", 50, 0.35)])
def test_it_is_far_below_the_trace(name: str, width: int, share: float) -> None:
    ratios = [
        bound / trace for _, bound, trace in (missed(SPECTRA[name], width, s) for s in range(9))
    ]
    assert np.median(ratios) < share


@pytest.mark.parametrize("name", ["llm", "spiked", "gaussian", "polynomial", "exponential"])
def test_errors_and_residuals_of_a_sketch(name: str) -> None:
    A, sigma = ks.FAMILIES[name](300, 200)
    for seed in range(6):
        result = ss.Sketch(200, 20, seed=seed).update(A[:120]).update(A[120:]).svd()
        assert np.all(np.abs(result.s - sigma[:20]) <= result.errors)
        assert result.Vt is not None
        certain = np.sqrt(max(np.sum(sigma**2) - np.sum(result.s**2), 0.0))
        assert result.residuals.max() <= certain + 1e-6 * result.fro_norm  # it only ever helps


def test_the_wide_sketch_needs_no_estimate() -> None:
    A, sigma = ks.polynomial(100, 40)
    result = ss.Sketch(40, 40).update(A).svd()
    assert result.converged
    assert np.all(result.errors < 1e-5 * sigma[0])


@pytest.mark.parametrize("degrees", [4, 6, 10, 16, 50, 200])
def test_quantiles_err_on_the_safe_side(degrees: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for deviations in (3.090, 3.719) if degrees >= LEAST_COLUMNS else (3.090,):
        chance = stats.norm.sf(deviations)
        low = chi_square_mean(degrees, -deviations) * degrees
        assert (
            stats.chi2.ppf(chance, degrees) * 0.3 < low <= stats.chi2.ppf(chance, degrees) * 1.001
        )
        high = chi_square_mean(degrees, deviations) * degrees
        assert high == pytest.approx(stats.chi2.isf(chance, degrees), rel=0.02)
    least, exact = least_mean_square(degrees) * degrees, stats.chi2.ppf(UNLIKELY, degrees)
    assert exact * 0.8 < least <= exact * 1.001


def test_pairs_are_left_out_as_if_by_hand() -> None:
    """The formula of one inverse, against a sketch without columns i and j for every pair."""
    rng = np.random.default_rng(0)
    A, width = ks.llm(50, 40)[0], 9
    omega = rng.standard_normal((40, width))
    fourths = []
    for i in range(width):
        for j in range(i):
            Q = np.linalg.qr(A @ np.delete(omega, [i, j], axis=1))[0]
            missed_ = (A - Q @ (Q.T @ A)) @ omega[:, [i, j]]
            E = A.T @ missed_  # E_J omega_i, E_J omega_j
            fourths.append((E[:, 0] @ E[:, 1]) ** 2)
    by_hand = np.mean(fourths) ** 0.25 / np.sqrt(least_mean_square(width))
    y = A @ omega
    assert missed_by_sketch(A.T @ y, y.T @ y) == pytest.approx(by_hand, rel=1e-8)
