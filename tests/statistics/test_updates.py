# SPDX-License-Identifier: BSD-3-Clause
"""Measures of an update: closed forms, the bounds of their errors, and what chance gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.support import known_spectra as ks

from sigmascope.spectra.statistics import updates
from sigmascope.spectra.statistics.updates import Directions, Values


def exactly(*sigma: float) -> Values:
    return Values(np.array(sigma), np.zeros(len(sigma)))


# --------------------------------------------------------------------------- singular values


def test_shift_share_and_scale_in_closed_form() -> None:
    before, after = exactly(4.0, 3.0), exactly(5.0, 3.0)
    shift = updates.spectral_shift(before, after)
    share = updates.spectral_share(before, after, 2.0)
    assert shift is not None
    assert share is not None
    assert (shift.value, shift.error) == (0.2, 0.0)
    assert (share.value, share.error) == (0.5, 0.0)
    result = updates.spectral_scale(before, after)
    assert_allclose(result["spectral_scale"].value, 29 / 25, rtol=1e-15)
    # of two vectors, |cross product| / (|a| |b|) is the sine
    sine = abs(4 * 3 - 3 * 5) / math.sqrt(25 * 34)
    assert_allclose(result["spectral_scale_spread"].value, sine, rtol=1e-14)


def test_the_error_of_a_shift_holds_at_the_ends_of_both_values() -> None:
    before, after = (Values(np.array([x]), np.array([0.1])) for x in (1.0, 3.0))
    shift = updates.spectral_shift(before, after)
    assert shift is not None
    assert shift.value == 2
    assert shift.error >= (3.1 - 0.9) / 0.9 - 2 - 1e-12


def test_a_scaled_matrix_has_a_scale_and_no_spread() -> None:
    _, sigma = ks.llm(60, 40, seed=1)
    result = updates.spectral_scale(exactly(*sigma), exactly(*(1.25 * sigma)))
    assert result["spectral_scale"].value == pytest.approx(1.25, rel=1e-15)
    assert result["spectral_scale_spread"].value < 1e-15


def test_a_rotation_moves_no_value_and_a_scaling_nothing_else() -> None:
    A, sigma = ks.llm(50, 40, seed=2)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]
    turned = np.linalg.svd(Q @ A, compute_uv=False)
    before = exactly(*sigma)
    share = updates.spectral_share(before, exactly(*turned), float(np.linalg.norm(Q @ A - A)))
    assert share is not None
    assert share.value < 1e-14
    scaled = updates.spectral_share(before, exactly(*(1.5 * sigma)), 0.5 * before.norm)
    assert scaled is not None
    assert scaled.value == pytest.approx(1.0, abs=1e-12)


def test_zero_matrices_have_none_of_these() -> None:
    zero, one = exactly(0.0, 0.0), exactly(2.0, 1.0)
    assert updates.spectral_shift(zero, one) is None
    assert updates.spectral_scale(zero, one) == updates.spectral_scale(one, zero) == {}
    assert updates.spectral_share(one, one, 0.0) is None


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-9, 1e-3, 0.1]))
def test_values_off_by_their_errors_give_measures_off_by_theirs(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    true = [np.sort(np.exp(rng.normal(size=6)))[::-1] for _ in range(2)]
    errors = [size * rng.random(6) for _ in range(2)]
    given_ = [t + e * rng.choice([-1.0, 1.0, 0.3], 6) for t, e in zip(true, errors, strict=True)]
    change = float(np.linalg.norm(true[1] - true[0])) * rng.uniform(1.0, 3.0)

    def measures(values: list[np.ndarray], slack: list[np.ndarray]) -> dict[str, object]:
        one, two = (Values(v, e) for v, e in zip(values, slack, strict=True))
        return {
            "shift": updates.spectral_shift(one, two),
            "share": updates.spectral_share(one, two, change),
            **updates.spectral_scale(one, two),
        }

    truth = measures(true, [np.zeros(6)] * 2)
    for name, result in measures(given_, errors).items():
        exact = truth[name]
        if result is not None and exact is not None:
            assert abs(result.value - exact.value) <= result.error + 1e-12  # type: ignore[attr-defined]


# --------------------------------------------------------------------------- rows and columns


@pytest.mark.parametrize(
    ("norms", "share"),
    [([1.0, 1.0, 1.0, 1.0], 1.0), ([0.0, 3.0, 0.0, 0.0], 0.25), ([2.0, 2.0, 0.0, 0.0], 0.5)],
)
def test_evenness_is_the_share_of_rows_that_hold_the_energy(
    norms: list[float], share: float
) -> None:
    for scale in (1.0, 1e-200, 1e200):
        assert updates.evenness(scale * np.array(norms)) == pytest.approx(share, rel=1e-15)
    assert updates.evenness(np.zeros(4)) is None


# --------------------------------------------------------------------------- directions


def directions(vectors: np.ndarray, values: np.ndarray, error: float = 0.0) -> Directions:
    return Directions(vectors, values, np.full(vectors.shape[1], error), error)


def count(before: np.ndarray, after: np.ndarray, error: float = 0.0) -> updates.Intruders:
    values = np.arange(after.shape[1], 0, -1.0)
    one = directions(before, np.ones(before.shape[1]), error)
    two = directions(after, values, error)
    return updates.intruders(one, two, before.T @ after)


def test_a_mixture_of_many_known_directions_is_an_intruder() -> None:
    """The sum of 16 leading directions has a cosine of 1/4 with each, and no other part."""
    before = np.eye(40)[:, :16]
    new = before.sum(axis=1) / 4.0
    total = count(before, np.column_stack([new, before[:, 0]]))
    assert (total.new, total.undecided, total.looked_at) == (1, 0, 2)
    assert total.energy == pytest.approx(4 / 5)
    assert total.undecided_energy == 0.0


def test_a_direction_outside_the_leading_ones_is_undecided() -> None:
    """Such a direction may be one of W beyond the leading ones, or a mixture of these."""
    total = count(np.eye(40)[:, :8], np.eye(40)[:, 7:10])
    assert (total.new, total.undecided) == (0, 2)


def test_the_same_directions_in_another_order_and_sign_are_not_new() -> None:
    before = np.linalg.qr(np.random.default_rng(1).standard_normal((30, 12)))[0]
    total = count(before, -before[:, ::-1][:, :9])
    assert (total.new, total.undecided, total.looked_at) == (0, 0, 9)


@given(seed=st.integers(0, 2**32 - 1), error=st.sampled_from([0.02, 0.1, 0.3]))
def test_vectors_off_by_their_errors_never_change_a_decision(seed: int, error: float) -> None:
    """Decisions on perturbed vectors are those that all the true vectors give."""
    rng = np.random.default_rng(seed)
    n, p, q = 24, 12, 5
    true = np.linalg.qr(rng.standard_normal((n, n)))[0]
    mixing = rng.standard_normal((n, q)) * (np.arange(n) < rng.integers(2, n + 1))[:, None]
    after = np.linalg.qr(true @ mixing + 1e-3 * rng.standard_normal((n, q)))[0]
    is_new = np.abs(true.T @ after).max(axis=0) < updates.INTRUDER

    def off(X: np.ndarray) -> np.ndarray:
        """Turn every column by no more than the error, and keep them orthonormal."""
        skew = rng.standard_normal((n, n))
        skew -= skew.T
        skew *= 0.5 * error / np.linalg.norm(skew, 2)
        turn = np.linalg.solve(np.eye(n) - skew / 2, np.eye(n) + skew / 2)
        return np.asarray(turn @ X)

    before, seen = off(true[:, :p]), off(after)
    for j in range(q):
        one = directions(before, np.ones(p), error)
        two = directions(seen[:, [j]], np.ones(1), error)
        result = updates.intruders(one, two, before.T @ seen[:, [j]])
        if result.undecided == 0:
            assert result.new == is_new[j]


def test_errors_of_single_vectors_cover_their_angles() -> None:
    rng = np.random.default_rng(0)
    A = ks.llm(40, 30, seed=5)[0]
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    E = 1e-3 * rng.standard_normal(A.shape)
    X, t, Yt = np.linalg.svd(A + E, full_matrices=False)
    residuals = np.array(
        [
            max(np.linalg.norm(A @ y - t_ * x), np.linalg.norm(A.T @ x - t_ * y))
            for x, t_, y in zip(X.T, t, Yt, strict=True)
        ]
    )
    bounds = updates.vector_errors(t, np.full(30, np.linalg.norm(E, 2)), residuals, 0.0)
    assert len(bounds) == 29
    for j in range(29):
        sines = [
            math.sqrt(max(1 - float(a @ b) ** 2, 0))
            for a, b in ((X[:, j], U[:, j]), (Yt[j], Vt[j]))
        ]
        assert max(sines) <= bounds[j] + 1e-9
    assert bounds[0] < 0.1
    equal = updates.vector_errors(np.array([2.0, 2.0, 1.0]), np.zeros(3), np.zeros(3), 1e-8)
    assert np.all(np.isinf(equal))


# --------------------------------------------------------------------------- subspaces


def test_shares_of_an_update_in_closed_form() -> None:
    """dW = 3 u1 v1^T + 4 u9 v9^T, of which the leading subspaces hold the first part."""
    I = np.eye(12)  # noqa: E741
    U = V = I[:, :4]
    D = 3 * np.outer(I[0], I[0]) + 4 * np.outer(I[8], I[9])
    images = (D.T @ U, D @ V, U.T @ D @ V)
    result = updates.shares_in_subspaces(images, 5.0, (12, 12), (0.0, 0.0))
    assert result is not None
    assert [m.value for m in result[:3]] == pytest.approx([9 / 25] * 3)
    assert [m.error for m in result[:3]] == [0.0] * 3
    assert result.chance == pytest.approx((1 / 3, 1 / 3, 1 / 9))
    assert updates.shares_in_subspaces(images, 0.0, (12, 12), (0.0, 0.0)) is None


def test_chance_is_what_noise_has() -> None:
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((n, 8)))[0] for n in (60, 40))
    shares = []
    for _ in range(200):
        D = rng.standard_normal((60, 40))
        images = (D.T @ U, D @ V, U.T @ D @ V)
        result = updates.shares_in_subspaces(images, np.linalg.norm(D), D.shape, (0.0, 0.0))
        assert result is not None
        shares.append([m.value for m in result[:3]])
    assert_allclose(np.mean(shares, axis=0), result.chance, rtol=0.03)


@given(seed=st.integers(0, 2**32 - 1), sine=st.sampled_from([1e-4, 0.05, 0.4]))
def test_a_subspace_off_by_a_sine_gives_shares_within_the_error(seed: int, sine: float) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = 20, 15, 4
    D = rng.standard_normal((m, 3)) @ rng.standard_normal((3, n))
    bases = [np.linalg.qr(rng.standard_normal((x, x)))[0] for x in (m, n)]
    true = [Q[:, :k] for Q in bases]
    cosine = math.sqrt(1 - sine**2)
    off = [cosine * Q[:, :k] + sine * Q[:, k : 2 * k] for Q in bases]

    def shares(U: np.ndarray, V: np.ndarray, sines: tuple[float, float]) -> updates.Shares:
        images = (D.T @ U, D @ V, U.T @ D @ V)
        result = updates.shares_in_subspaces(images, float(np.linalg.norm(D)), D.shape, sines)
        assert result is not None
        return result

    truth, result = shares(*true, (0.0, 0.0)), shares(*off, (sine, sine))
    for one, two in zip(truth[:3], result[:3], strict=True):
        assert abs(one.value - two.value) <= two.error + 1e-12
