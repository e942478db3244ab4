# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of randomized_svd, TruncatedSVD and the SVD within PCA, for this API.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: utils/tests/test_extmath.py,
decomposition/tests/test_truncated_svd.py and test_pca.py); each test names the one it follows.
Components are right vectors, a transform is A V, explained variances are of centred data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import sigmascope as ss
from peers.checks import Truth, called, of_randomized, of_svds

Array = NDArray[np.float64]

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SEEDS = pytest.mark.parametrize("seed", range(3))


def low_rank_matrix(m: int, n: int, rank: float, tail: float, seed: int = 0) -> Array:
    """Like sklearn.datasets.make_low_rank_matrix: a bell of width `rank`, a tail of that strength."""
    rng, i = np.random.default_rng(seed), np.arange(min(m, n)) / rank
    sigma = (1 - tail) * np.exp(-(i**2)) + tail * np.exp(-0.1 * i)
    U = np.linalg.qr(rng.standard_normal((m, len(i))))[0]
    return np.asarray((U * sigma) @ np.linalg.qr(rng.standard_normal((n, len(i))))[0].T)


def randomized(A: NDArray[np.floating], k: int, **options: Any) -> ss.SVD:
    """randomized_svd with every check that an answer has to pass."""
    result = ss.randomized_svd(A, k, **options)
    problems = of_randomized(result, Truth.of(A))
    assert not problems, "\n".join(problems)
    return result


def solved(A: NDArray[np.floating], k: int, tol: float = 1e-6, **options: Any) -> ss.SVD:
    """svds with every check that an answer has to pass."""
    result, warned = called(ss.svds, A, k, tol=tol, **options)
    problems = of_svds(result, Truth.of(A), tol, warned, must=True)
    assert not problems, "\n".join(problems)
    assert isinstance(result, ss.SVD)
    return result


def product(result: ss.SVD) -> Array:
    """U diag(s) Vt."""
    assert result.U is not None
    assert result.Vt is not None
    return np.asarray((result.U.astype(float) * result.s) @ result.Vt.astype(float))


def components(result: ss.SVD) -> Array:
    assert result.Vt is not None
    return np.abs(result.Vt.astype(float))


# --------------------------------------------------------------------- utils/tests/test_extmath.py


@DTYPES
@pytest.mark.parametrize("passes", [1, 2, 3, 5])
def test_low_rank(dtype: str, passes: int) -> None:
    """test_randomized_svd_low_rank_all_dtypes: values, and U Vt of the k largest."""
    A = low_rank_matrix(100, 500, 5, 0.0).astype(dtype)
    U, s, Vt = np.linalg.svd(A.astype(float), full_matrices=False)
    result = randomized(A, 10, passes=passes)
    assert result.U is not None
    assert result.Vt is not None
    assert (result.U.dtype, result.U.shape, result.Vt.shape) == (dtype, (100, 10), (10, 500))
    if passes > 1:
        close = 1.5e-5 if dtype == "float32" else 1.5e-7
        assert_allclose(result.s, s[:10], atol=close)
        assert_allclose(result.U @ result.Vt, U[:, :10] @ Vt[:10], atol=100 * close)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_refused(dtype: str) -> None:
    """test_randomized_svd_low_rank_all_dtypes and test_integers (TruncatedSVD): a clear refusal."""
    A = (100 * low_rank_matrix(30, 20, 5, 0.0)).astype(dtype)
    with pytest.raises(TypeError, match=r"astype\(float\)"):
        ss.randomized_svd(A, 3)


@DTYPES
def test_noise(dtype: str) -> None:
    """test_randomized_svd_low_rank_with_noise: one pass is off, and says so; two are good."""
    A = low_rank_matrix(100, 500, 5, 0.1).astype(dtype)
    s = np.linalg.svd(A.astype(float), compute_uv=False)[:10]
    early, late = randomized(A, 10, passes=1, oversampling=0), randomized(A, 10, passes=3)
    assert np.abs(early.s - s).max() > 0.01
    assert early.errors.max() > 0.01
    assert not early.converged
    assert_allclose(late.s, s, atol=1.5e-3)


@DTYPES
def test_infinite_rank(dtype: str) -> None:
    """test_randomized_svd_infinite_rank: slowly falling values."""
    A = low_rank_matrix(100, 500, 5, 1.0).astype(dtype)
    s = np.linalg.svd(A.astype(float), compute_uv=False)[:10]
    early, late = randomized(A, 10, passes=1, oversampling=0), randomized(A, 10, passes=5)
    assert np.abs(early.s - s).max() > 0.05
    assert not early.converged
    assert_allclose(late.s, s, atol=1.5e-3)


@DTYPES
def test_transposes_agree(dtype: str) -> None:
    """test_randomized_svd_transpose_consistency."""
    A = low_rank_matrix(100, 500, 4, 0.5).astype(dtype)
    U, s, Vt = np.linalg.svd(A.astype(float), full_matrices=False)
    for B, left, right in ((A, U, Vt), (A.T, Vt.T, U.T)):
        result = randomized(B, 10, passes=4)
        assert result.U is not None
        assert_allclose(result.s, s[:10], atol=1.5e-3)
        assert_allclose(result.U @ result.Vt, left[:, :10] @ right[:10], atol=1.5e-2)


@DTYPES
def test_many_passes_do_not_diverge(dtype: str) -> None:
    """test_randomized_svd_power_iteration_normalizer: what is left of A does not grow."""
    A = low_rank_matrix(100, 500, 50, 0.5)
    A += 3 * np.random.RandomState(42).randint(0, 2, size=A.shape)
    A = A.astype(dtype)
    left = [np.linalg.norm(A - product(randomized(A, 50, passes=p))) for p in (1, 2, 5, 10, 50)]
    assert np.all(np.diff(left) <= 1e-4 * left[0])


@pytest.mark.parametrize("seed", range(10))
def test_two_by_two(seed: int) -> None:
    """test_randomized_svd_sign_flip, but for the signs, which are those that come."""
    A = np.array([[2.0, 0.0], [0.0, 1.0]])
    result = randomized(A, 2, seed=seed)
    assert_allclose(result.s, [2.0, 1.0])
    assert_allclose(product(result), A, atol=1e-12)
    assert_allclose(components(result), np.eye(2), atol=1e-12)


@pytest.mark.parametrize("passes", [2, 4])
@pytest.mark.parametrize("shape", [(50, 100), (100, 50), (300, 300), (300, 50)])
@pytest.mark.parametrize("k", [10, 50])
def test_uniform(shape: tuple[int, int], k: int, passes: int) -> None:
    """test_randomized_svd_lapack_driver: uniform matrices of several shapes, and signs that agree.

    Both products of u with A and v have the sign of sigma, in float32 as in float64.
    """
    A = np.random.RandomState(0).rand(*shape)
    results = [randomized(A.astype(dtype), k, passes=passes) for dtype in ("float32", "float64")]
    for result in results:
        assert result.U is not None
        assert result.Vt is not None
        along = np.einsum("ik,ij,kj->k", result.U.astype(float), A, result.Vt.astype(float))
        assert np.all(along >= 0)
    assert_allclose(results[0].s, results[1].s, rtol=1e-3)


@DTYPES
@pytest.mark.parametrize("passes", [1, 2, 10])
def test_range_finder(dtype: str, passes: int) -> None:
    """test_randomized_range_finder_array_api_compliance: U spans what A X reaches."""
    A = np.random.RandomState(0).normal(size=(30, 10)).astype(dtype)
    result = randomized(A, 5, passes=passes)
    assert result.U is not None
    U = result.U.astype(float)
    outside = np.linalg.norm(A - U @ (U.T @ A))
    best = np.sqrt(np.sum(np.linalg.svd(A.astype(float), compute_uv=False)[5:] ** 2))
    assert best * (1 - 1e-6) <= outside <= 1.05 * best


@pytest.mark.parametrize(("n", "rank"), [(10, 7), (100, 10), (100, 80), (300, 150)])
@DTYPES
def test_semidefinite_of_low_rank(n: int, rank: int, dtype: str) -> None:
    """test_randomized_eigsh_reconst_low_rank: values are eigenvalues, and A comes back."""
    X = np.random.RandomState(69).randn(n, rank)
    A = (X @ X.T).astype(dtype)
    result = randomized(A, rank)
    close = 1e-9 if dtype == "float64" else 1e-5
    assert_allclose(product(result), A, atol=close * result.s[0])
    assert_allclose(result.s, np.linalg.eigvalsh(A.astype(float))[::-1][:rank], atol=close * n)
    assert result.converged


@pytest.mark.parametrize("k", [10, 100, 199, 200])
def test_semidefinite_sparse(k: int) -> None:
    """test_randomized_eigsh_compared_to_others: a sparse Cholesky factor times its transpose."""
    rng = np.random.default_rng(0)
    L = np.eye(200) - np.tril(
        rng.uniform(0.1, 0.9, (200, 200)) * (rng.random((200, 200)) < 0.05), -1
    )
    A = L @ L.T
    expected = np.linalg.eigvalsh(A)[::-1][:k]
    assert_allclose(randomized(A, k, passes=6).s, expected, atol=2e-2 * expected[0])
    assert_allclose(solved(A, k, tol=1e-9).s, expected, atol=1e-6)


@DTYPES
def test_row_norms(dtype: str) -> None:
    """test_row_norms, by `moments`."""
    A = np.random.RandomState(42).randn(100, 100).astype(dtype)
    assert_allclose(ss.moments(A).row_norms, np.linalg.norm(A.astype(float), axis=1), rtol=1e-12)


# ----------------------------------------------------- decomposition/tests/test_truncated_svd.py


@pytest.fixture(scope="module")
def tfidf() -> Array:
    """60 x 55, a fifth of it filled, as a small matrix of term frequencies is."""
    rng = np.random.default_rng(42)
    filled = rng.random((60, 55)) < 0.2
    return np.where(filled, 1 + np.log(rng.random((60, 55))), 0.0)


def test_solvers(tfidf: Array) -> None:
    """test_solvers: the transform and the components by every way there is."""
    way = [
        solved(tfidf, 30, tol=1e-8, method="krylov"),
        solved(tfidf, 30, tol=1e-8, method="gram"),
        randomized(tfidf, 30, oversampling=100),
    ]
    for result in way[1:]:
        assert_allclose(components(result)[:9], components(way[0])[:9], atol=1e-4)
        assert_allclose(
            np.abs(tfidf @ result.Vt.T)[:, :6], np.abs(tfidf @ way[0].Vt.T)[:, :6], atol=1e-4
        )  # type: ignore[union-attr]


@DTYPES
@pytest.mark.parametrize("k", [10, 25, 41, 55])
def test_attributes(tfidf: Array, k: int, dtype: str) -> None:
    """test_attributes, test_sparse_formats: shapes up to k = min(m, n)."""
    A = tfidf.astype(dtype)
    assert components(solved(A, k, tol=1e-4)).shape == (k, 55)
    assert components(randomized(A, k)).shape == (k, 55)


def test_too_many_components(tfidf: Array) -> None:
    """test_too_many_components; k = min(m, n) is no error here."""
    for function in (ss.svds, ss.randomized_svd):
        with pytest.raises(ValueError, match="k = 56"):
            function(tfidf, 56)


@DTYPES
def test_inverse_transform(tfidf: Array, dtype: str) -> None:
    """test_inverse_transform: 52 of 55 components give nearly all back."""
    A = tfidf.astype(dtype)
    for result in (solved(A, 52, tol=1e-4), randomized(A, 52)):
        assert_allclose(product(result), A, atol=0.35)
    assert_allclose(product(solved(A, 55, tol=1e-5)), A, atol=1e-3)


@DTYPES
@pytest.mark.parametrize("k", [10, 20])
def test_explained_variance(tfidf: Array, k: int, dtype: str) -> None:
    """test_explained_variance and _components_10_20: positive, in all below 1, one inside another."""
    A = tfidf.astype(dtype)
    for result in (solved(A, k), randomized(A, k, passes=11)):
        ratio = np.var(A @ result.Vt.T, axis=0) / np.var(A, axis=0).sum()  # type: ignore[union-attr]
        assert np.all(ratio > 0)
        assert ratio.sum() < 1
        assert_allclose(result.s[:10], solved(A, 20).s[:10], rtol=1e-4)


@SEEDS
def test_lengths_of_scores(seed: int) -> None:
    """test_singular_values_consistency: s are the norms of the columns of A V."""
    A = np.random.RandomState(seed).randn(100, 80)
    for result in (solved(A, 2, tol=1e-8, seed=seed), randomized(A, 2, passes=8, seed=seed)):
        assert_allclose(np.linalg.norm(A @ result.Vt.T, axis=0), result.s, rtol=1e-2)  # type: ignore[union-attr]


@SEEDS
@DTYPES
def test_values_that_were_set(seed: int, dtype: str) -> None:
    """test_singular_values_expected, and of PCA test_pca_singular_values: 3.142, 2.718, 1.0."""
    rng = np.random.RandomState(seed)
    U, V = (np.linalg.qr(rng.randn(n, 3))[0] for n in (100, 110))
    A = ((U * [3.142, 2.718, 1.0]) @ V.T).astype(dtype)
    close = 1e-13 if dtype == "float64" else 1e-5
    for result in (solved(A, 3, tol=1e-5), randomized(A, 3), solved(A, 3, method="gram")):
        assert_allclose(result.s, [3.142, 2.718, 1.0], rtol=close)


def test_twice_the_same(tfidf: Array) -> None:
    """test_fit_transform, test_pca_deterministic_output: the same bits, twenty times."""
    first = randomized(tfidf, 5, passes=7, seed=42)
    again = solved(tfidf, 5, seed=42)
    for _ in range(20):
        assert_array_equal(ss.randomized_svd(tfidf, 5, passes=7, seed=42).Vt, first.Vt)
        assert_array_equal(ss.svds(tfidf, 5, tol=1e-6, seed=42).Vt, again.Vt)


# ------------------------------------------------------------------ decomposition/tests/test_pca.py


@SEEDS
@DTYPES
@pytest.mark.parametrize("deficient", [False, True])
@pytest.mark.parametrize("shape", [(100, 30), (30, 100)])
def test_ways_agree(shape: tuple[int, int], deficient: bool, dtype: str, seed: int) -> None:
    """test_pca_solver_equivalence: centred data of full and of half rank, all but one component."""
    m, n = shape
    rng = np.random.default_rng(seed)
    if deficient:
        A = rng.standard_normal((m, 15)) @ rng.standard_normal((15, n))
    else:
        A = low_rank_matrix(m, n, 10, 0.5, seed)
    A = (A - A.mean(axis=0)).astype(dtype)
    exact = np.linalg.svd(A.astype(float), full_matrices=False)
    for result in (
        solved(A, 29, tol=1e-5, seed=seed),
        solved(A, 29, tol=1e-5, method="krylov", seed=seed),
        randomized(A, 29, passes=50, seed=seed),
    ):
        assert_allclose(result.s, exact[1][:29], atol=1e-5 * exact[1][0])
        assert_allclose(components(result)[:3], np.abs(exact[2][:3]), atol=1e-2)


@DTYPES
@pytest.mark.parametrize("shape", [(100, 80), (10, 100)])
def test_variances(shape: tuple[int, int], dtype: str) -> None:
    """test_pca_explained_variance_empirical, test_pca_singular_values_consistency."""
    A = np.random.RandomState(0).randn(*shape)
    A = (A - A.mean(axis=0)).astype(dtype)
    expected = np.linalg.eigvalsh(np.cov(A.astype(float), rowvar=False))[::-1][:2]
    for result in (solved(A, 2), randomized(A, 2, passes=8)):
        assert_allclose(result.s**2 / (len(A) - 1), expected, rtol=5e-3)


def test_projection() -> None:
    """test_pca_check_projection: a new point falls onto the first component."""
    rng = np.random.RandomState(0)
    A = rng.randn(100, 3) * 0.1
    A[:10] += np.array([3, 4, 5])
    point = 0.1 * rng.randn(1, 3) + np.array([3, 4, 5]) - A.mean(axis=0)
    for result in (solved(A - A.mean(axis=0), 2), randomized(A - A.mean(axis=0), 2)):
        onto = (point @ result.Vt.T)[0]  # type: ignore[union-attr]
        assert_allclose(np.abs(onto[0]) / np.linalg.norm(onto), 1.0, rtol=5e-3)


def test_nearly_flat_data() -> None:
    """test_pca_inverse, test_pca_check_projection_list: a spread of 1e-5 is dropped unharmed."""
    A = np.random.RandomState(0).randn(50, 3)
    A[:, 1] *= 0.00001
    A -= A.mean(axis=0)
    for result in (solved(A, 2, tol=1e-8), randomized(A, 2)):
        assert_allclose(product(result), A, atol=1e-4)


@DTYPES
def test_all_components(dtype: str) -> None:
    """test_pca_zero_noise_variance_edge_cases: with all of them nothing is left, nor below 0."""
    A = (np.random.RandomState(0).randn(100, 3) * 0.1).astype(dtype)
    A -= A.mean(axis=0)
    for B in (A, A.T):
        for result in (solved(B, 3), randomized(B, 3)):
            assert_allclose(np.sum(result.s**2), result.fro_norm**2, rtol=1e-5)


@DTYPES
def test_dtypes_are_kept(dtype: str) -> None:
    """test_pca_dtype_preservation."""
    A = np.random.RandomState(0).rand(1000, 4).astype(dtype)
    for result in (solved(A, 3, tol=1e-4, method="krylov"), randomized(A, 3)):
        assert result.U is not None
        assert result.Vt is not None
        assert (result.U.dtype, result.Vt.dtype) == (dtype, dtype)


def test_oversampling() -> None:
    """test_pca_randomized_svd_n_oversamples: as many columns as there are make it exact."""
    A = np.random.RandomState(0).randn(1_000, 100)
    result = randomized(A, 1, oversampling=100)
    assert_allclose(components(result), components(solved(A, 1, tol=1e-10)), atol=1e-6)
    assert_allclose(result.s, np.linalg.norm(A, 2), rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_rank_one(k: int) -> None:
    """test_assess_dimension_rank_one, test_small_eigenvalues_mle: what is 0 is 0 within its bound."""
    A = np.ones((9, 6))
    for result in (solved(A, k), randomized(A, k), solved(A, k, method="gram")):
        assert_allclose(result.s, [np.sqrt(54), 0, 0][:k], atol=2e-6)
