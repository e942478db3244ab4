# SPDX-License-Identifier: BSD-3-Clause
"""Classes of spectra on which bounds of searches once were too small: generators, not samples.

`python -m tests.campaign` draws from many more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.campaign.structures import repeated_numbers
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.cuda_module import seeds

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from sigmascope.results import SVD

Array = NDArray[np.float64]
Generator = np.random.Generator


def check(result: SVD, A: NDArray[np.floating]) -> None:
    """Values within their bounds, vectors orthonormal, both residuals no larger than reported."""
    A64 = A.astype(np.float64)
    sigma = np.linalg.svd(A64, compute_uv=False)
    oracle = 2e-14 * sigma[0]
    assert np.all(np.abs(result.s - sigma[: len(result.s)]) <= result.errors + oracle)
    if result.U is None or result.Vt is None:
        return
    U, V = result.U.astype(np.float64), result.Vt.T.astype(np.float64)
    loose = 1e-5 if result.U.dtype == np.float32 else 3e-14
    for X in (U, V):
        assert np.abs(X.T @ X - np.eye(X.shape[1])).max() < loose
    left = np.linalg.norm(A64.T @ U - V * result.s, axis=0)
    right = np.linalg.norm(A64 @ V - U * result.s, axis=0)
    assert np.all(np.maximum(left, right) <= result.residuals + oracle)


def lora(rng: Generator) -> Array:
    m, n, r = rng.integers(20, 300), rng.integers(20, 300), rng.integers(1, 20)
    return rng.standard_normal((m, r)) @ rng.standard_normal((r, n)) * 10.0 ** rng.uniform(-3, 3)


def bell_shaped(rng: Generator) -> Array:
    """scikit-learn's make_low_rank_matrix: exp(-(i / rank)^2) and a tail."""
    n, rank, tail = 120, rng.uniform(1, 20), rng.uniform(0, 0.5)
    i = np.arange(n) / rank
    return ks.prescribed(150, n, (1 - tail) * np.exp(-(i**2)) + tail * np.exp(-0.1 * i), 1)[0]


def hilbert(rng: Generator) -> Array:
    i, j = np.arange(rng.integers(5, 300)), np.arange(rng.integers(5, 60))
    return 1 / (i[:, None] + j + rng.uniform(0.5, 2))


def cauchy(rng: Generator) -> Array:
    x, y = rng.uniform(0.1, 5, rng.integers(5, 200)), rng.uniform(0.1, 5, rng.integers(5, 100))
    return 1 / (x[:, None] + y)


def rank_one(rng: Generator) -> Array:
    u, v = rng.standard_normal(150), rng.standard_normal(90)
    return np.outer(u, v) + 10.0 ** -rng.uniform(2, 16) * rng.standard_normal((150, 90))


def graded_rows(rng: Generator) -> Array:
    rows = 10.0 ** -np.linspace(0, rng.uniform(3, 20), 130)
    return rows[:, None] * rng.standard_normal((130, 80))


def exponential(rng: Generator) -> Array:
    base = rng.choice([0.2, 0.5, 0.7, 0.9])
    return ks.prescribed(130, 100, base ** np.arange(100.0), int(rng.integers(99)))[0]


NUMERICALLY_LOW_RANK = [
    lora, bell_shaped, hilbert, cauchy, rank_one, graded_rows, exponential,
]  # fmt: skip


@grid(draw=NUMERICALLY_LOW_RANK, dtype=[np.float32, np.float64])
def test_a_basis_of_rounding_noise_is_not_an_answer(
    draw: Callable[[Generator], Array], dtype: type, device: str
) -> None:
    for seed in seeds(device, 12):
        rng = np.random.default_rng(seed)
        A = draw(rng).astype(dtype)
        k = int(rng.integers(1, min(min(A.shape), 30) + 1))
        passes = int(rng.integers(1, 6))
        result = ss.randomized_svd(A, k, passes=passes, seed=seed, device=device)
        check(result, A)
        assert np.sum(result.s**2) <= np.linalg.norm(A.astype(float)) ** 2 * (1 + 1e-5)


@pytest.mark.parametrize("turned", [False, True], ids=["by rows", "by columns"])
def test_sums_of_repeated_numbers_are_within_the_bound(turned: bool) -> None:
    """Each rounding of a running sum has the same sign: float32 erred by 140 roundings in 256."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        m, n = int(rng.choice([40, 301, 511])), int(rng.choice([40, 301, 511, 1500, 3000]))
        A = repeated_numbers(rng, m, n).astype(np.float32)
        result = ss.randomized_svd(np.ascontiguousarray(A.T) if turned else A, 8, passes=4)
        check(result, A.T if turned else A)


@pytest.mark.parametrize("draw", NUMERICALLY_LOW_RANK)
def test_a_rank_below_the_block_is_exact_and_said_to_be(
    draw: Callable[[Generator], Array],
    device: str,
) -> None:
    A = draw(np.random.default_rng(3))
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    A = (U[:, :4] * s[:4]) @ Vt[:4]
    result = ss.randomized_svd(A, min(4, *A.shape), passes=1, device=device)
    check(result, A)
    assert result.errors[0] < 1e-12 * result.s[0]


def copies(rng: Generator) -> tuple[Array, int]:
    """A value with more copies than a block has columns, over a flat rest."""
    n, several = int(rng.integers(40, 130)), int(rng.integers(3, 21))
    rest = 0.08 + 0.01 * rng.uniform(-1, 1, n - 3 - several) * rng.integers(2)
    sigma = np.concatenate([[1.0, 0.93, 0.6], np.full(several, 0.39), rest])
    return ks.prescribed(n + int(rng.integers(20)), n, sigma, int(rng.integers(99)))[0], 3 + several


def flat_bulk(rng: Generator) -> tuple[Array, int]:
    """A few large values over a nearly flat bulk, into which k reaches."""
    n, large = 200, int(rng.integers(0, 9))
    level, spread = 10.0 ** rng.uniform(-2.5, 0), 10.0 ** rng.uniform(-5, -2)
    bulk = level * (1 + spread * rng.uniform(-1, 1, n - large))
    sigma = np.concatenate([np.arange(1, large + 1) ** -0.5, bulk])
    A = ks.prescribed(n, n, sigma, int(rng.integers(99)))[0]
    return A, large + int(rng.integers(1, 30))


def edge(rng: Generator) -> tuple[Array, int]:
    """Values that approach an edge geometrically: 1 - epsilon g^i."""
    n, epsilon, g = 150, 10.0 ** -rng.uniform(5, 13), rng.choice([1.3, 2, 4, 10, 30])
    top = 1 - epsilon * g ** np.arange(min(n, 300 / np.log10(g)))
    top = top[top > 0.5]
    sigma = np.concatenate([top, np.linspace(0.5, 0, n - len(top) + 1)[1:]])
    return ks.prescribed(n, n, sigma, int(rng.integers(99)))[0], int(rng.integers(1, 13))


def parter(rng: Generator) -> tuple[Array, int]:
    """Nearly all values agree with pi, the more the further from the end."""
    i = np.arange(int(rng.integers(20, 260)))
    return 1 / (i[:, None] - i + 0.5), int(rng.integers(1, 15))


def far_below(rng: Generator) -> tuple[Array, int]:
    """A few large values, and k reaches a nearly flat bulk far below the tolerance."""
    m, n = (int(x) for x in rng.integers(20, 200, 2))
    p, large, few = min(m, n), int(rng.integers(1, 5)), int(rng.integers(0, 5))
    level = 10.0 ** rng.uniform(-14, -2)
    bulk = [level * 10.0 ** rng.uniform(0, 1.2, few), level * (1 + 0.2 * rng.random(p))]
    sigma = np.sort(np.concatenate([rng.uniform(0.3, 1, large), *bulk])[:p])[::-1]
    A = ks.prescribed(max(m, n), p, sigma, int(rng.integers(99)))[0]
    return A, int(rng.integers(large, min(large + few + 4, p) + 1))


def fast(rng: Generator) -> tuple[Array, int]:
    return exponential(rng), int(rng.integers(5, 60))


@grid(draw=[copies, flat_bulk, edge, parter, far_below, fast], dtype=[np.float32, np.float64])
def test_what_has_not_settled_is_in_the_bound(
    draw: Callable[[Generator], tuple[Array, int]], dtype: type, device: str
) -> None:
    floor = 2.0**-24 * 96 if dtype is np.float32 else 2.0**-53 * 192
    for seed in seeds(device, 16):
        rng = np.random.default_rng(seed)
        A64, k = draw(rng)
        A, tol, vectors = A64.astype(dtype), 10.0 ** -rng.uniform(1, 10), bool(seed % 2)
        block = None if seed % 4 else int(rng.integers(2, 10))
        options: dict[str, Any] = {"block": block, "seed": seed, "device": device}
        result = ss.svds(A, k, tol=tol, vectors=vectors, method="krylov", **options)
        check(result, A)
        assert result.converged
        judged = result.residuals if vectors else result.errors
        assert judged.max() <= (max(tol, floor) + floor) * result.s[0]


@pytest.mark.parametrize(
    "drawn",
    [range(120), pytest.param(range(120, 800), marks=pytest.mark.nightly)],
    ids=["120 seeds", "680 more"],
)
def test_a_start_that_lacks_one_of_the_vectors_it_reaches_is_not_the_end(drawn: range) -> None:
    """An edge over copies of one value: nothing but a step more tells that a place is not taken."""
    for seed in drawn:
        rng = np.random.default_rng(seed)
        n, epsilon, g = int(rng.integers(20, 90)), 10.0 ** -rng.uniform(1, 14), rng.uniform(1.1, 10)
        sigma = 2 - np.minimum(epsilon * g ** np.arange(n, dtype=np.float64), 1.5)
        A, _ = ks.prescribed(n + 8, n, sigma, seed)
        options: dict[str, Any] = {"tol": 10.0 ** -rng.uniform(1, 10), "vectors": bool(seed % 2)}
        block, k = [4, 8, 16][seed % 3], int(rng.integers(1, 10))
        check(ss.svds(A, k, method="krylov", block=block, seed=seed, **options), A)


def test_a_value_in_the_place_of_one_that_rounding_mixed_with_it_is_in_the_bound() -> None:
    """The residual does not tell which of several small values was read that A^T A cannot separate.

    Of 2000 such matrices 148 were outside, by up to 13 times.
    """
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(4, 12))
        large = int(rng.integers(1, n - 1))
        level, apart = 10 ** rng.uniform(-5.1, -4), 10 ** rng.uniform(-8, -6)
        sigma = np.r_[rng.uniform(0.9, 1, large), level * (1 - apart * np.arange(n - large))]
        A = ks.prescribed(n, n, np.sort(sigma)[::-1], int(rng.integers(1 << 30)))[0]
        result = ss.svds(A, large + 1, tol=2e-10, method="krylov", block=n)
        exact = np.linalg.svd(A)[1][: large + 1]
        assert np.all(np.abs(result.s - exact) <= result.errors + 1e-15)


@pytest.mark.parametrize("small", [1e-11, 1e-12, 1e-13])
@pytest.mark.parametrize("n", [150, 366])
def test_residuals_of_values_near_rounding_are_those_of_the_vectors(n: int, small: float) -> None:
    """The left vectors of small values are right to roundings of the largest alone.

    Their residuals were computed as if they were exact, and were off by 150 units of roundoff.
    """
    sigma = np.r_[1.0, small * np.linspace(1, 0.1, n - 1)]
    A = ks.prescribed(n, n, sigma, 1)[0]
    assert_residuals_are_the_larger_of_both(ss.randomized_svd(A, 2 * n // 5, passes=3), A)


def assert_residuals_are_the_larger_of_both(result: SVD, A: Array) -> None:
    """And what allows for rounding, to a few roundings."""
    assert result.U is not None
    assert result.Vt is not None
    V = result.Vt.T
    left = np.linalg.norm(A.T @ result.U - V * result.s, axis=0)
    right = np.linalg.norm(A @ V - result.U * result.s, axis=0)
    said = result.residuals - 48 * 2.0**-53 * result.s[0]  # rayleigh_ritz.hpp: `measuring`
    assert np.max(np.abs(said - np.maximum(left, right))) <= 8 * 2.0**-53 * result.s[0]


@pytest.mark.parametrize("turned", [False, True], ids=["tall", "wide"])
def test_a_full_decomposition_measures_the_residuals_of_both_sides(turned: bool) -> None:
    A = ks.polynomial(300, 150)[0]
    A = np.ascontiguousarray(A.T) if turned else A
    result = ss.svds(A, 60, tol=1e-13, method="gram")
    assert result.method == "full decomposition"
    assert_residuals_are_the_larger_of_both(result, A)


@pytest.mark.parametrize("n", [275, 458, 497, pytest.param(980, marks=pytest.mark.slow)])
def test_sums_of_one_sign_are_within_the_floor(n: int) -> None:
    """Long sums of one sign round the same way: up to 56 units of roundoff in float32."""
    A = np.zeros((n + 1, n), np.float32)
    A[0], A[1:] = 1.0, 6e-7 * np.eye(n)
    for seed in range(2):
        check(ss.randomized_svd(A, 1, seed=seed), A)
        check(ss.svds(A, 1, method="krylov", seed=seed), A)


@pytest.mark.parametrize(
    "seed", [224, *(pytest.param(x, marks=pytest.mark.slow) for x in (66, 244))]
)
def test_clusters_are_not_moved_by_divide_and_conquer(seed: int) -> None:
    """Divide and conquer may move clustered values by up to 318 roundings, where 192 are claimed.

    A few large values over a flat bulk that is far smaller: roundings of the largest alone remain.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(200, 420))
    bulk = 10.0 ** rng.uniform(-6, -3) * (
        1 + 10.0 ** rng.uniform(-9, -7) * rng.uniform(-1, 1, n - 4)
    )
    A = ks.prescribed(4 * n, n, np.r_[np.arange(1, 5) ** -0.8, bulk], seed)[0]
    sigma = np.linalg.svd(A, compute_uv=False)
    result = ss.svds(A, int(0.4 * n), tol=1e-12, method="gram")
    assert result.method == "full decomposition"
    check(result, A)
    assert np.abs(result.s - sigma[: len(result.s)]).max() <= 20 * 2.0**-53 * sigma[0]


@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 1e-7), (np.float64, 1e-15)])
def test_a_tolerance_below_the_floor_acts_as_the_floor_and_says_so(dtype: type, tol: float) -> None:
    A = ks.polynomial(200, 150)[0].astype(dtype)
    result = ss.svds(A, 5, tol=tol, method="krylov")
    assert result.converged
    assert f"tol = {tol:g} is below the floor of {np.dtype(dtype)}" in " ".join(result.notes)
    assert not ss.svds(A, 5, tol=1e-5, method="krylov").notes
    by_gram = " ".join(ss.svds(A, 5, tol=tol, method="gram").notes)  # which is in float64
    assert ("is below the floor of float64" in by_gram) == (dtype is np.float64)
    assert "float32" not in by_gram


@pytest.mark.parametrize(("k", "method", "passes"), [(36, "gram", 3), (30, "krylov", 8)])
def test_small_matrices_are_decomposed_at_once(k: int, method: str, passes: int) -> None:
    """Without two passes for eigenvectors of the Gram matrix and their check.

    It resolves no value but the first. A search by blocks of 16 is given up after five passes.
    """
    sigma = np.r_[18.0, 4e-6 * np.linspace(1, 0.5, 137)]
    A = ks.prescribed(138, 138, sigma, 1)[0]
    result = ss.svds(A, k, tol=1e-10, method=method, block=16)
    assert result.method == "full decomposition"
    assert result.passes <= passes
    check(result, A)


@pytest.mark.parametrize("method", ["krylov", "gram", "auto"])
def test_a_floor_of_float64_is_said_by_every_method(method: str) -> None:
    A = np.random.default_rng(0).standard_normal((150, 140))
    result = ss.svds(A, 30, tol=1e-16, method=method)
    assert result.converged
    assert "tol = 1e-16 is below the floor of float64" in " ".join(result.notes)


def test_a_search_that_costs_more_than_every_value_gives_way_to_it() -> None:
    A, _ = ks.prescribed(600, 500, np.repeat(np.linspace(2, 1, 5), 100), 3)
    result = ss.svds(A, 48, tol=1e-9, method="krylov")
    check(result, A)
    assert result.converged
    assert result.method == "Gram matrix"
    assert "too expensive" in " ".join(result.notes)


def test_a_spectrum_that_costs_more_than_every_value_is_of_every_value() -> None:
    A, sigma = ks.prescribed(1000, 800, np.repeat(np.linspace(2, 1, 4), 200), 3)
    spectrum = ss.spectrum(A, effort="top", k=24, tol=1e-9)
    assert spectrum.effort == "exact"
    assert "too expensive" in " ".join(spectrum.notes)
    assert spectrum.passes > 5
    assert spectrum.values is not None
    assert np.all(np.abs(spectrum.values - sigma) <= spectrum.value_errors + 1e-13)


@pytest.mark.parametrize("base", [0.2, 0.5, 0.7])
def test_a_spectrum_that_falls_below_the_floor_costs_no_more_than_another(base: float) -> None:
    """It once took 154 passes of A."""
    A = ks.prescribed(500, 500, base ** np.arange(500.0), 0)[0].astype(np.float32)
    for vectors in (False, True):
        result = ss.svds(A, 20, method="krylov", vectors=vectors)
        assert result.converged
        assert result.passes < 25
        check(result, A)


@pytest.mark.parametrize("vectors", [False, True])
def test_a_copy_that_emerges_slowly_from_a_bulk_is_waited_for(vectors: bool) -> None:
    """One more than the block has columns, and the rest is nearer to it than the tolerance."""
    gap = 0.012
    bulk = (1 - gap) * (1 - 0.04 * np.linspace(0, 1, 193))
    sigma = np.r_[1.3, 1.2, np.ones(5), bulk]
    for seed in range(4):
        A, _ = ks.prescribed(208, 200, sigma, seed)
        options: dict[str, Any] = {"method": "krylov", "block": 4, "vectors": vectors, "seed": seed}
        result = ss.svds(A, 7, tol=gap, **options)
        assert result.converged
        assert np.max(np.abs(result.s - sigma[:7])) < gap / 4


@pytest.mark.parametrize("exponent", [0, 10, -500])
def test_the_warning_tells_the_worst_residual_in_units_of_the_largest_value(exponent: int) -> None:
    """It is the same number for every scale of the matrix."""
    A = np.ldexp(ks.gaussian(200, 150)[0], exponent)
    with pytest.warns(ConvergenceWarning) as caught:
        result = ss.svds(A, 5, max_passes=1)
    assert result.U is not None
    assert result.Vt is not None
    residuals = np.linalg.norm((A.T @ result.U - result.Vt.T * result.s) / result.s[0], axis=0)
    assert f": the worst residual is {residuals.max():.2g} sigma_1;" in str(caught[0].message)


@pytest.mark.parametrize("exponent", [0, 10, -500])
def test_the_warning_tells_the_worst_error_where_there_are_no_vectors(exponent: int) -> None:
    A = np.ldexp(ks.gaussian(200, 150)[0], exponent)
    with pytest.warns(ConvergenceWarning) as caught:
        result = ss.svds(A, 5, max_passes=1, vectors=False)
    worst = np.max(result.errors / result.s[0])
    assert f": the worst error is {worst:.2g} sigma_1;" in str(caught[0].message)
