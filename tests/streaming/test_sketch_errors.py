# SPDX-License-Identifier: BSD-3-Clause
"""Errors that a sketch states: how often they hold, and how wide they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid

from sigmascope._distributions import mean_square_quantile
from sigmascope.streaming import Sketch
from sigmascope.streaming.chances import UNLIKELY, missed_by_sketch

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


@grid(name=list(SPECTRA), width=[6, 12, 30, 80])
@pytest.mark.unsanitized
def test_the_norm_of_what_was_missed_is_covered(name: str, width: int) -> None:
    for seed in range(25):
        true, bound, _ = missed(SPECTRA[name], width, seed)
        assert true <= bound, seed


def test_a_plateau_of_which_one_direction_is_missed_is_covered() -> None:
    """An estimate by pairs of columns, in place of this bound, failed for two of 60,000."""
    rng = np.random.default_rng(0)
    for _ in range(120):
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
        result = Sketch(200, 20, seed=seed).update(A[:120]).update(A[120:]).svd()
        assert np.all(np.abs(result.s - sigma[:20]) <= result.errors)
        assert result.Vt is not None
        certain = np.sqrt(max(np.sum(sigma**2) - np.sum(result.s**2), 0.0))
        assert result.residuals.max() <= certain + 1e-6 * result.fro_norm  # it only ever helps


def test_a_sketch_does_not_converge_by_an_estimate() -> None:
    """At least 2.7e-6 of ||A||_F^2 is missed (Eckart & Young), spread over 340 directions."""
    sigma = np.r_[np.ones(5), np.full(395, 2e-4)]
    assert np.sum(sigma[60:] ** 2) > 1e-6 * np.sum(sigma**2)
    result = Sketch(400, 5, width=60).update(np.diag(sigma)).svd()
    assert result.residuals[0] ** 2 < 1e-6 * np.sum(sigma**2)
    assert not result.converged


def test_the_wide_sketch_needs_no_estimate() -> None:
    A, sigma = ks.polynomial(100, 40)
    result = Sketch(40, 40).update(A).svd()
    assert result.converged
    assert np.all(result.errors < 1e-5 * sigma[0])


def test_columns_are_left_out_as_if_by_hand() -> None:
    """By projections, against sketches without the columns of each of the four choices."""
    rng = np.random.default_rng(0)
    A, width, out = ks.llm(50, 40)[0], 9, 4
    omega = rng.standard_normal((40, width))
    norms = []
    for first in (0, 2, 4, 6):
        J = (first + np.arange(out)) % width
        Q = np.linalg.qr(A @ np.delete(omega, J, axis=1))[0]
        missed_ = (A - Q @ (Q.T @ A)) @ omega[:, J]
        norms.append(np.linalg.norm(A.T @ missed_, 2))
    by_hand = min(norms) / np.sqrt(out * mean_square_quantile(out, UNLIKELY / 4))
    y = A @ omega
    assert missed_by_sketch(A.T @ y, y.T @ y) == pytest.approx(by_hand, rel=1e-8)


@pytest.mark.parametrize("chance", [0.5, 0.1])
def test_it_fails_no_more_often_than_it_says(chance: float) -> None:
    """By chances large enough to be counted, where it fails most: one direction to be missed."""
    rng = np.random.default_rng(1)
    failures, count = 0, 200
    for _ in range(count):
        sigma = np.r_[1.0, np.full(60, rng.uniform(0.1, 0.5))]
        omega = rng.standard_normal((61, 12))
        y = sigma[:, None] * omega
        Q = np.linalg.qr(y)[0]
        R = np.diag(sigma) - Q @ (Q.T * sigma)
        bound = missed_by_sketch(sigma[:, None] * y, y.T @ y, chance)
        failures += bool(np.linalg.norm(R, 2) ** 2 > bound)
    assert failures <= chance * count
