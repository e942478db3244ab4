# SPDX-License-Identifier: BSD-3-Clause
"""Starts of adapters by singular triplets, and approximations that are best for activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks

import sigmascope as ss
from sigmascope.streaming import GramAccumulator

Array = NDArray[np.float64]


def dense(product: ss.LowRank) -> Array:
    B, A = (np.asarray(x, dtype=np.float64) for x in (product.B, product.A))
    return np.asarray(product.scale * B @ A)


@pytest.mark.parametrize("part", ["largest", "smallest"])
@pytest.mark.parametrize("shape", [(50, 30), (30, 50)])
def test_factors_and_residual_of_a_start(shape: tuple[int, int], part: str) -> None:
    W, values = ks.prescribed(*shape, np.linspace(3.0, 0.5, 30))
    result = ss.low_rank(W, 4, part=part)
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    chosen = slice(0, 4) if part == "largest" else slice(26, 30)
    truth = (U[:, chosen] * s[chosen]) @ Vt[chosen]
    np.testing.assert_allclose(dense(result.factors), truth, atol=1e-7)
    np.testing.assert_allclose(result.s, values[chosen], atol=1e-9)
    B, A = (np.asarray(x) for x in (result.balanced.B, result.balanced.A))
    roots = np.sqrt(result.s)
    np.testing.assert_allclose(np.linalg.norm(B, axis=0), roots, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(A, axis=1), roots, rtol=1e-9)
    rest = result.residual(ss.matrix(W))
    np.testing.assert_allclose(np.asarray(rest) + B @ A, W, atol=1e-12)
    others = np.delete(values, chosen)
    norm = np.linalg.norm(W - dense(result.factors))
    assert abs(norm - result.remaining.value) <= result.remaining.error
    assert norm == pytest.approx(np.linalg.norm(others), rel=1e-9)
    assert others.max() * (1 - 1e-12) <= result.spectral_bound <= norm * (1 + 1e-9)
    assert result.met
    assert result.converged


def activations(seed: int, rows: int, n: int, rank: int) -> Array:
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1.0, 0.01, rank)[:, None]
    return rng.standard_normal((rows, rank)) @ (scale * rng.standard_normal((rank, n)))


@pytest.mark.parametrize("kind", ["array", "accumulator"])
@pytest.mark.parametrize("rank", [40, 12])  # of S, which is singular with 12
@pytest.mark.parametrize("criterion", [{"rank": 5}, {"error": 0.2}, {"energy": 0.9}])
def test_weighted_error_is_the_least(kind: str, rank: int, criterion: dict[str, Any]) -> None:
    W = ks.gaussian(30, 40)[0]
    X = activations(0, 300, 40, rank)
    weight = X.T @ X if kind == "array" else GramAccumulator(40).update(X)
    result = ss.low_rank(W, weight=weight, **criterion)
    images = W @ X.T  # what the layer computes
    values = np.linalg.svd(images, compute_uv=False)
    rest = np.linalg.norm(images - dense(result.factors) @ X.T)
    assert result.weighted is not None
    assert abs(rest - result.weighted.value) <= result.weighted.error
    assert result.weighted.error < 1e-5 * values[0]
    assert rest == pytest.approx(np.linalg.norm(values[result.rank :]), abs=1e-5 * values[0])
    assert result.weighted_norm == pytest.approx(np.linalg.norm(values), rel=1e-6)
    plain = np.linalg.norm(W - dense(result.factors))
    assert abs(plain - result.remaining.value) <= result.remaining.error
    assert result.met
    np.testing.assert_allclose(
        result.s, np.linalg.svd(dense(result.factors), compute_uv=False)[: result.rank], rtol=1e-9
    )


def test_weight_makes_a_better_product_for_these_activations() -> None:
    W, X = ks.gaussian(30, 40)[0], activations(1, 200, 40, 10)
    plain, best = ss.low_rank(W, 4), ss.low_rank(W, 4, weight=X.T @ X)
    errors = [np.linalg.norm((W - dense(each.factors)) @ X.T) for each in (plain, best)]
    assert errors[1] < 0.9 * errors[0]
    assert best.remaining.value > plain.remaining.value


def test_rank_above_that_of_the_weight_is_cut_down() -> None:
    X = activations(1, 200, 40, 6)
    result = ss.low_rank(ks.gaussian(30, 40)[0], 20, weight=X.T @ X)
    assert result.rank <= 6
    assert result.weighted is not None
    assert result.weighted.value < 1e-6 * (result.weighted_norm or 0.0)


def test_the_weighted_error_holds_what_rounding_hides_of_the_weight() -> None:
    """An eigenvalue of 1e-16, which rounding may have left, multiplies norms by 1e-8."""
    W = ks.gaussian(50, 40)[0]
    S = np.append(np.ones(39), 1e-16)
    result = ss.low_rank(W, 39, weight=np.diag(S))
    rest = np.linalg.norm((W - dense(result.factors)) * np.sqrt(S))
    assert result.weighted is not None
    assert rest > 1e-9
    assert abs(rest - result.weighted.value) <= result.weighted.error < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": np.eye(30)}, "30 x 30, the matrix has 40 columns"),
        ({"weight": np.triu(np.ones((40, 40)))}, "not symmetric"),
        ({"weight": -np.eye(40)}, "eigenvalue -1"),
        ({"weight": np.zeros((40, 40))}, "zero"),
        ({"weight": np.full((40, 40), np.nan)}, "NaN"),
        ({"weight": np.eye(40), "rank": "edge"}, "no noise edge"),
        ({"weight": np.eye(40), "part": "smallest"}, "do not take a weight"),
        ({"part": "smallest", "rank": None, "error": 0.5}, "need a rank"),
        ({"part": "middle"}, "'middle'"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.low_rank(np.ones((30, 40)), **{"rank": 2, **options})
