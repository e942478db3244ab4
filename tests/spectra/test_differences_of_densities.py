# SPDX-License-Identifier: BSD-3-Clause
"""Differences of two estimates that were made with the same probes: closer than either of them."""

from __future__ import annotations

from dataclasses import replace
from inspect import unwrap

import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope.spectra import Difference

NAMES = ("nuclear_norm", "effective_rank", "effective_rank_energy", "participation_ratio")


def exact(A: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> dict[str, float]:
    s = np.linalg.svd(A, compute_uv=False)
    p, q = s / s.sum(), s**2 / np.sum(s**2)
    return {
        "nuclear_norm": float(s.sum()),
        "effective_rank": float(np.exp(-np.sum(p * np.log(p)))),
        "effective_rank_energy": float(np.exp(-np.sum(q * np.log(q)))),
        "participation_ratio": float(1 / np.sum(q**2)),
    }


@grid(case=["square", "tall", "decaying"], size=[0.003, 0.03, 0.3])
def test_a_difference_covers_the_truth_and_gains(case: str, size: float) -> None:
    """Two errors in 90 % of seeds, four in all; far below the sum where the change is small."""
    A, _ = {
        "square": lambda: ks.spiked(200, 200),
        "tall": lambda: ks.spiked(360, 160),
        "decaying": lambda: ks.polynomial(260, 180),
    }[case]()
    rng = np.random.default_rng(1)
    D = ks.orthonormal(A.shape[0], 8, rng) @ ks.orthonormal(A.shape[1], 8, rng).T
    B = A + size * np.linalg.norm(A) / np.linalg.norm(D) * D
    truth, after = exact(A), exact(B)
    ratios, gains = [], []
    for seed in range(12):
        one, two = (
            unwrap(ss.spectral_density)(x, passes=7, probes=16, seed=seed, fingerprint=1)
            for x in (A, B)
        )
        for name in NAMES:
            was, now = getattr(one, name)(), getattr(two, name)()
            assert was.estimate is not None
            assert now.estimate is not None
            value, error = now.estimate.minus(was.estimate)
            assert value == now.value - was.value
            assert error <= now.error + was.error
            ratios.append(abs(value - (after[name] - truth[name])) / (error + 1e-9 * truth[name]))
            gains.append(error / (now.error + was.error))
    assert max(ratios) <= 4, max(ratios)
    assert np.mean(np.array(ratios) <= 2) >= 0.9
    if size == 0.003:
        assert np.median(gains) < 0.3


def test_few_probes_claim_no_more_than_the_sum() -> None:
    A, _ = ks.spiked(120, 100)
    one, two = (ss.spectral_density(x, passes=6, probes=8).effective_rank() for x in (A, A + 1e-3))
    assert one.estimate is not None
    assert two.estimate is not None
    _, error = two.estimate.minus(one.estimate)
    assert error >= one.estimate.sampling + two.estimate.sampling


def test_the_roundings_of_both_remain_in_a_difference() -> None:
    A, _ = ks.spiked(120, 100)
    estimate = ss.spectral_density(A, passes=6, probes=16).nuclear_norm().estimate
    assert estimate is not None
    certain = replace(
        estimate, value=5.0, sampling=0.0, bias=0.0, convergence=0.0, probes=np.zeros(16)
    )
    one, two = (replace(certain, rounding=rounding) for rounding in (1.0, 2.0))
    assert one.minus(two) == two.minus(one) == (0.0, 3.0)


@pytest.mark.parametrize("exponent", [-600, 600])
def test_a_difference_is_scaled_with_its_matrices(exponent: int) -> None:
    """Also where their squares leave the range of float64."""
    A, _ = ks.spiked(120, 100)
    both = A, A + 1e-3 * np.eye(120, 100)
    ends = []
    for e in (0, exponent):
        one, two = (
            ss.spectral_density(np.ldexp(x, e), passes=6, probes=16).nuclear_norm() for x in both
        )
        assert one.estimate is not None
        assert two.estimate is not None
        assert (one.estimate.value, one.estimate.error) == (one.value, one.error)
        ends.append(np.ldexp(two.estimate.minus(one.estimate), -e))
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-12)


@grid(
    case=["square", "tall", "decaying"],
    same_way={"one way": True, "any way": False},
    size=[1e-4, 1e-3],
)
def test_a_density_tells_of_a_near_matrix(case: str, same_way: bool, size: float) -> None:
    """Also of one all of whose values are moved one way, as far as norms allow."""
    A, s = {
        "square": lambda: ks.spiked(200, 200),
        "tall": lambda: ks.spiked(360, 160),
        "decaying": lambda: ks.polynomial(260, 180),
    }[case]()
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    E = U @ Vt if same_way else np.random.default_rng(2).standard_normal(A.shape)
    E *= size * np.linalg.norm(A) / np.linalg.norm(E)
    B = A + E
    truth, values = exact(B), np.linalg.svd(B, compute_uv=False)
    apart = Difference(float(np.linalg.norm(E, 2)), float(np.linalg.norm(E)))
    x = float(np.sqrt(s[19] * s[20]))
    for seed in range(4):
        own = unwrap(ss.spectral_density)(A, passes=7, probes=16, seed=seed, fingerprint=1)
        near = own.of_near(float(np.linalg.norm(B)), apart)
        for name in NAMES:
            result = getattr(near, name)()
            assert result.error > getattr(own, name)().error
            assert abs(result.value - truth[name]) <= 4 * result.error
        median, count = near.quantile(0.5), near.count_above(x)
        assert abs(median.value - np.median(values)) <= 4 * median.error
        assert abs(count.value - np.sum(values > x)) <= 4 * count.error
        assert near.fro_norm**2 == pytest.approx(np.sum(near.weights * near.nodes), rel=1e-2)


def test_a_count_at_a_value_that_may_have_moved_is_in_doubt() -> None:
    A, s = ks.low_rank(120, 100, rank=4)
    own = ss.spectral_density(A, passes=6, probes=16)
    near = own.of_near(own.fro_norm, Difference(1e-3, 2e-3))
    x = float(s[2]) + 5e-4
    assert (own.count_above(x).value, own.count_above(x).error) == (2, 0)
    assert near.count_above(x).error == 1
