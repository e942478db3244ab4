# SPDX-License-Identifier: BSD-3-Clause
"""low_rank: the remaining error of the factors that it returns, and the rank of each criterion."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning, NonFiniteError
from sigmascope.results import LowRankApproximation

Array = NDArray[np.float64]


def product(result: LowRankApproximation) -> Array:
    B, A = (np.asarray(x, dtype=np.float64) for x in (result.factors.B, result.factors.A))
    return result.factors.scale * B @ A


def check(result: LowRankApproximation, A: NDArray[Any]) -> None:
    """Compare every number with LAPACK's in float64."""
    rest = A.astype(np.float64) - product(result)
    values = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    norm = np.linalg.norm(rest)
    assert abs(norm - result.remaining.value) <= result.remaining.error
    assert np.linalg.norm(rest, 2) <= result.spectral_bound
    assert result.least <= np.linalg.norm(values[result.rank :]) * (1 + 1e-12) + 1e-12 * values[0]
    assert result.least <= norm + result.remaining.error
    assert np.all(np.abs(result.s - values[: result.rank]) <= result.errors + 1e-13 * values[0])
    assert result.met
    assert result.spectral_evidence
    assert result.factors.shape == A.shape
    assert result.passes > 0


@pytest.mark.parametrize("shape", [(90, 60), (60, 90)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 7, 59, 60])
def test_error_of_a_fixed_rank(shape: tuple[int, int], dtype: Any, k: int) -> None:
    A = ks.exponential(*shape)[0].astype(dtype)
    result = ss.low_rank(A, k)
    check(result, A)
    assert result.rank == k
    assert result.converged
    optimal = np.linalg.norm(np.linalg.svd(A.astype(np.float64), compute_uv=False)[k:])
    assert result.remaining.value <= optimal * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(
    ("max_passes", "evidence"),
    [
        (3, "the Frobenius norm of what remains"),
        (20, "value 21 of the search with its error, plus twice the residuals"),
    ],
)
def test_a_search_that_stops_early_has_a_right_error(max_passes: int, evidence: str) -> None:
    A = np.random.default_rng(0).standard_normal((900, 800))
    with pytest.warns(ConvergenceWarning, match="another product of rank 20 may be closer"):
        result = ss.low_rank(A, 20, tol=1e-9, max_passes=max_passes)
    with pytest.warns(ConvergenceWarning):
        search = ss.svds(A, 21, tol=1e-9, max_passes=max_passes)
    assert result.spectral_evidence == evidence
    bound = search.s[20] + search.errors[20] + 2 * np.linalg.norm(search.residuals)
    bound = min(bound, result.remaining.value + result.remaining.error)
    assert bound <= result.spectral_bound <= bound * (1 + 1e-9)
    rest = A - product(result)
    assert not result.converged
    assert abs(np.linalg.norm(rest) - result.remaining.value) <= result.remaining.error
    assert np.linalg.norm(rest, 2) <= result.spectral_bound
    assert result.remaining.error < 1e-6 * result.remaining.value


def test_the_tolerance_is_that_of_a_search_unless_it_is_given() -> None:
    low_rank, svds = (inspect.signature(call).parameters["tol"] for call in (ss.low_rank, ss.svds))
    assert low_rank.default == svds.default == 1e-4


def test_a_tiny_remainder_is_measured_or_its_error_says_so() -> None:
    """Squares in float64 would leave nothing below 1e-8 ||A||."""
    A, values = ks.prescribed(80, 60, np.r_[1.0, 0.5, np.full(58, 1e-11)])
    result = ss.low_rank(A, 2)
    check(result, A)
    rest = np.linalg.norm(values[2:])
    assert abs(result.remaining.value - rest) <= result.remaining.error < 1e-14


def test_lazy_differences() -> None:
    """The update of a fine-tune, a hundred thousand times smaller than the weights."""
    rng = np.random.default_rng(1)
    W = rng.standard_normal((70, 50)).astype(np.float32)
    update = 1e-5 * rng.standard_normal((70, 3)) @ rng.standard_normal((3, 50))
    tuned = W.astype(np.float64) + update
    M = ss.matrix(tuned) - W
    check(ss.low_rank(M, 3), np.asarray(M))
    check(ss.low_rank(0.5 * M + W, 10), np.asarray(0.5 * M + W))


@pytest.mark.parametrize(
    "criterion", [{"energy": 0.5}, {"energy": 0.99}, {"error": 0.3}, {"error": 1e-3}]
)
@pytest.mark.parametrize("family", [ks.polynomial, ks.llm, ks.gaussian])
def test_rank_of_a_criterion_is_the_least(family: Any, criterion: dict[str, float]) -> None:
    A, values = family(150, 100)
    result = ss.low_rank(A, **criterion)
    check(result, A)
    share = criterion.get("error")
    relative2 = share**2 if share is not None else 1.0 - criterion["energy"]
    left2 = np.append(np.cumsum(values[::-1] ** 2)[::-1], 0.0) / np.sum(values**2)
    assert result.rank == int(np.flatnonzero(left2 <= relative2)[0])
    assert result.relative_error.value**2 <= relative2
    assert result.energy.value >= 1.0 - relative2


def test_criterion_below_rounding_is_reported() -> None:
    with pytest.warns(ConvergenceWarning, match="not certain even with rank 30"):
        result = ss.low_rank(ks.gaussian(40, 30)[0], error=1e-18)
    assert not result.met
    assert result.rank == 30


def test_rank_above_the_noise_edge() -> None:
    """A planted update of rank 16 in noise: 16 values, though noise may exceed its edge."""
    every = [ss.low_rank(ks.planted(160, 120, seed=seed)[0], "edge") for seed in range(20)]
    assert sum(result.rank == 16 for result in every) >= 19
    assert all(result.outliers is not None and result.outliers >= result.rank for result in every)
    A = ks.planted(160, 120)[0]
    result = ss.low_rank(A, "edge")
    check(result, A)
    assert result.edge is not None
    assert result.outliers is not None
    assert result.outliers.value == result.rank
    assert result.spectral_bound < 2 * result.edge.value
    assert result.passes == ss.spectrum(A).passes + ss.low_rank(A, result.rank).passes


def test_values_far_above_the_noise_are_among_the_outliers() -> None:
    """The noise is resolved only after they are subtracted, and then none is above its edge."""
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((side, 3)))[0] for side in (160, 120))
    noise = 1e-3 * rng.standard_normal((160, 120))
    approximation = ss.low_rank(1e9 * U @ V.T + noise, "edge")
    assert approximation.rank == 3
    assert approximation.outliers is not None
    assert approximation.outliers.value == 3


def test_the_seed_decides_where_the_edge_of_a_density_is() -> None:
    A = ks.planted(500, 700)[0].astype(np.float32)
    options: dict[str, Any] = {"memory_limit": "1.5 MB", "num_threads": 1}  # not of every value
    zero, one = (ss.low_rank(A, "edge", seed=seed, **options).edge for seed in (0, 1))
    assert zero is not None
    assert zero.basis == "density"
    assert zero != one
    assert [zero, one] == [ss.spectrum(A, seed=i, **options)["mp_edge"] for i in (0, 1)]


def test_edge_of_a_matrix_without_noise_counts_what_is_above_rounding() -> None:
    result = ss.low_rank(ks.low_rank(120, 80, rank=5)[0], "edge")
    assert result.rank == 5
    assert "what remains is rounding" in result.notes[0]


def test_zeros_have_rank_zero() -> None:
    A = np.zeros((12, 30))
    for criterion in ({"rank": "edge"}, {"error": 0.5}, {"energy": 0.5}):
        result = ss.low_rank(A, **criterion)
        assert (result.rank, result.remaining.value, result.fro_norm) == (0, 0.0, 0.0)
        assert result.factors.shape == A.shape
        assert not product(result).any()
    assert ss.low_rank(A, 3).remaining.value == 0.0


@pytest.mark.parametrize("exponent", [-900, 900])
def test_powers_of_two_scale_every_number(exponent: int) -> None:
    A = ks.exponential(40, 30)[0]
    one, two = ss.low_rank(A, 4), ss.low_rank(np.ldexp(A, exponent), 4)
    assert two.remaining.value == pytest.approx(np.ldexp(one.remaining.value, exponent), rel=1e-12)
    np.testing.assert_allclose(two.s, np.ldexp(one.s, exponent), rtol=1e-12)
    B = np.ldexp(np.asarray(two.factors.B), -exponent)
    np.testing.assert_allclose(B @ np.asarray(two.factors.A), product(one), atol=1e-12)


def test_balanced_factors_and_residual() -> None:
    A = ks.polynomial(30, 20)[0]
    result = ss.low_rank(A, 4)
    B, C = (np.asarray(x) for x in (result.balanced.B, result.balanced.A))
    np.testing.assert_allclose(B @ C, product(result), atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(B, axis=0), np.linalg.norm(C, axis=1))
    rest = result.residual(ss.matrix(A))
    assert abs(ss.moments(rest).fro_norm - result.remaining.value) < 1e-13


def test_same_bits_for_any_threads_and_panels() -> None:
    A = ks.llm(300, 200)[0].astype(np.float32)
    one = ss.low_rank(A, 8, num_threads=1)
    two = ss.low_rank(A, 8, num_threads=2, panel_rows=17)
    for name in ("B", "A"):
        np.testing.assert_array_equal(*(np.asarray(getattr(x.factors, name)) for x in (one, two)))
    assert one.remaining == two.remaining


@pytest.mark.parametrize(
    ("criterion", "error", "message"),
    [
        ({}, TypeError, "got none"),
        ({"rank": 3, "error": 0.1}, TypeError, "rank = 3 and error = 0.1"),
        ({"rank": 0}, ValueError, "k = 0 must be between 1"),
        ({"rank": 31}, ValueError, "k = 31 must be between 1"),
        ({"rank": "knee"}, ValueError, "'knee'"),
        ({"energy": 1.0}, ValueError, "energy = 1 must be between 0 and 1"),
        ({"error": -0.1}, ValueError, "error = -0.1"),
        ({"error": float("nan")}, ValueError, "error = nan"),
        ({"rank": 3, "tol": 0.0}, ValueError, "tol"),
    ],
)
def test_wrong_arguments(criterion: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ss.low_rank(np.ones((40, 30)), **criterion)


def test_nan_is_located() -> None:
    A = np.ones((20, 10))
    A[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match="3, 4"):
        ss.low_rank(A, 2)


CRITERIA: dict[str, dict[str, Any]] = {
    "rank": {"rank": 3},
    "energy": {"energy": 0.9},
    "error": {"error": 0.2},
    "edge": {"rank": "edge"},
}


@pytest.mark.parametrize("exponent", [-1074, -1060, -1040, -1000, -700, -300, 300, 700, 1000])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_power_of_two_scales_every_norm(criterion: str, exponent: int) -> None:
    """To the bit; below 2^-1000 the rounding of subnormal factors is in the bounds as well."""
    A = np.rint(12 * np.random.default_rng(0).standard_normal((40, 24)))
    options, subnormal = CRITERIA[criterion], exponent < -1000
    plain = ss.low_rank(A, **options)
    with warnings.catch_warnings():
        if exponent < -1060:  # of so few bits that an error may not be certain
            warnings.simplefilter("ignore", ConvergenceWarning)
        result = ss.low_rank(np.ldexp(A, exponent), **options)
    assert plain.rank <= result.rank <= plain.rank + (2 if exponent < -1060 else 0)
    assert result.fro_norm == pytest.approx(np.ldexp(plain.fro_norm, exponent), abs=1e-323, rel=0)
    if result.rank > plain.rank:
        return
    room = 64 * 2.0**-1074 if subnormal else 0.0
    remaining = np.ldexp(plain.remaining.value, exponent)
    assert abs(result.remaining.value - remaining) <= room
    for name, sign in (("least", -1), ("spectral_bound", 1)):
        beyond = sign * (getattr(result, name) - np.ldexp(getattr(plain, name), exponent))
        assert 0 <= beyond <= room
