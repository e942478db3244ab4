# SPDX-License-Identifier: BSD-3-Clause
"""The native quadrature: identities of block Lanczos that hold to rounding, not on average."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.quadratures import probes, rule

import sigmascope as ss

Array = NDArray[np.float64]


def probe_moments(A: Array, block: int, degree: int, seed: int = 0) -> Array:
    """g^T (A^T A)^p g for p = 0 .. degree and each probe g, computed directly."""
    small = A if A.shape[0] >= A.shape[1] else A.T
    G = probes(small.shape[1], block, seed)
    moments, power = [], G
    for _ in range(degree + 1):
        moments.append(np.sum(G * power, axis=0))
        power = small.T @ (small @ power)
    return np.array(moments)


@pytest.mark.parametrize("shape", [(120, 80), (80, 120), (100, 100)], ids=str)
@pytest.mark.parametrize(("block", "steps"), [(1, 6), (4, 4), (8, 3), (16, 2)])
def test_gauss_and_radau_rules_are_exact_to_their_degree(
    shape: tuple[int, int], block: int, steps: int
) -> None:
    """q steps: Gauss is exact for p <= 2 q - 1, Gauss-Radau (one more node, at 0) for p <= 2 q."""
    A, _ = ks.spiked(*shape)
    A = A / np.linalg.norm(A, 2)
    quadrature = rule(A, block, steps)
    expected = probe_moments(A, block, 2 * steps)
    scale = expected[0]
    for p in range(2 * steps):
        gauss = quadrature["gauss_nodes"] ** p @ quadrature["gauss_weights"]
        np.testing.assert_allclose(gauss / scale, expected[p] / scale, atol=1e-12)
    for p in range(2 * steps + 1):
        radau = quadrature["radau_nodes"] ** p @ quadrature["radau_weights"]
        np.testing.assert_allclose(radau / scale, expected[p] / scale, atol=1e-10)
    assert np.min(quadrature["radau_nodes"]) < 1e-12
    # the Gauss rule is not exact one degree further: the test above has teeth (6 steps: 1e-10)
    p = 2 * steps
    gauss = quadrature["gauss_nodes"] ** p @ quadrature["gauss_weights"]
    assert np.max(np.abs(gauss - expected[p]) / expected[p]) > 1e-11


def test_ritz_values_are_those_of_the_krylov_space() -> None:
    """Nodes equal the eigenvalues of A^T A projected on span{G, A^T A G, ...}, built directly."""
    A, _ = ks.gaussian(90, 60)
    G = probes(60, 5, 3)
    basis = [G]
    for _ in range(3):
        basis.append(A.T @ (A @ basis[-1]))
    Q = np.linalg.qr(np.hstack([b / np.linalg.norm(b) for b in basis]))[0]
    expected = np.sort(np.linalg.eigvalsh((A @ Q).T @ (A @ Q)))[::-1]
    quadrature = rule(A, 5, 4, seed=3)
    np.testing.assert_allclose(quadrature["gauss_nodes"], expected, rtol=1e-9)


def test_a_whole_space_gives_the_whole_spectrum() -> None:
    A, sigma = ks.gaussian(50, 40)
    quadrature = rule(A, 8, 10)
    np.testing.assert_allclose(np.sort(quadrature["gauss_nodes"])[::-1], sigma**2, rtol=1e-10)
    density = ss.spectral_density(A, passes=10, probes=8)
    nuclear = density.nuclear_norm()
    assert nuclear.value == pytest.approx(sigma.sum(), rel=1e-8)
    assert nuclear.error < 1e-6 * sigma.sum()


def test_residuals_are_those_of_the_ritz_pairs() -> None:
    """rho of an invariant space is zero; of one step it is the norm of what left the space."""
    A, _ = ks.low_rank(70, 50, rank=6)
    assert np.max(rule(A, 8, 12)["residuals"]) < 1e-12
    B, _ = ks.gaussian(70, 50)
    quadrature = rule(B, 1, 1)
    g = probes(50, 1, 0)
    q = g / np.linalg.norm(g)
    z = B.T @ (B @ q)
    assert quadrature["residuals"][0] == pytest.approx(np.linalg.norm(z - q * (q.T @ z)), rel=1e-10)


@grid(case=["square", "tall", "decaying", "clustered"], precision=["float32", "float64"])
def test_native_density_covers_the_truth(case: str, precision: str) -> None:
    """Effective ranks and nuclear norm within two errors in >= 90 % of seeds, four in all."""
    A, sigma = {
        "square": lambda: ks.spiked(160, 160),
        "tall": lambda: ks.spiked(300, 120),
        "decaying": lambda: ks.polynomial(200, 150),
        "clustered": lambda: ks.clustered(200, 150, multiplicity=30),
    }[case]()
    p, q = sigma / sigma.sum(), sigma**2 / np.sum(sigma**2)
    p, q = p[p > 0], q[q > 0]
    truth = {
        "nuclear_norm": sigma.sum(),
        "effective_rank": np.exp(-np.sum(p * np.log(p))),
        "effective_rank_energy": np.exp(-np.sum(q * np.log(q))),
        "participation_ratio": np.sum(sigma**2) ** 2 / np.sum(sigma**4),
    }
    distances = []
    for seed in range(15):
        density = ss.spectral_density(
            A.astype(precision), passes=6, probes=16, seed=seed, precision=precision
        )
        for name, value in truth.items():
            measure = getattr(density, name)()
            distances.append(abs(measure.value - value) / measure.error)
    assert np.mean(np.array(distances) <= 2) >= 0.9
    assert np.max(distances) <= 4
