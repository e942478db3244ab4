# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of TruncatedSVD and of the SVD within PCA, for this API.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: decomposition/tests/
test_truncated_svd.py and test_pca.py);
each test names the one it follows. Components are right vectors, a transform is
A V, explained variances are of centred data.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import sigmascope as ss
from tests.peers.checks import components, product, randomized, scores, solved
from tests.peers.drawn import low_rank_matrix, term_frequencies

Array = NDArray[np.float64]

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SEEDS = pytest.mark.parametrize("seed", range(3))


# ----------------------------------------------------- decomposition/tests/test_truncated_svd.py


@pytest.fixture(scope="module")
def tfidf() -> Array:
    return term_frequencies()


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
            np.abs(scores(tfidf, result))[:, :6], np.abs(scores(tfidf, way[0]))[:, :6], atol=1e-4
        )


@DTYPES
@pytest.mark.parametrize("k", [10, 25, 41, 55])
def test_attributes(tfidf: Array, k: int, dtype: str) -> None:
    """test_attributes, test_sparse_formats: shapes up to k = min(m, n)."""
    A = tfidf.astype(dtype)
    assert components(solved(A, k, tol=1e-4)).shape == (k, 55)
    assert components(randomized(A, k)).shape == (k, 55)


def test_too_many_components(tfidf: Array) -> None:
    """test_too_many_components; k = min(m, n) is valid here."""
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
    """test_explained_variance and _components_10_20: positive, below 1 in all."""
    A = tfidf.astype(dtype)
    for result in (solved(A, k), randomized(A, k, passes=11)):
        ratio = np.var(scores(A, result), axis=0) / np.var(A, axis=0).sum()
        assert np.all(ratio > 0)
        assert ratio.sum() < 1
        assert_allclose(result.s[:10], solved(A, 20).s[:10], rtol=1e-4)


@SEEDS
def test_lengths_of_scores(seed: int) -> None:
    """test_singular_values_consistency: s are the norms of the columns of A V."""
    A = np.random.RandomState(seed).randn(100, 80)
    for result in (solved(A, 2, tol=1e-8, seed=seed), randomized(A, 2, passes=8, seed=seed)):
        assert_allclose(np.linalg.norm(scores(A, result), axis=0), result.s, rtol=1e-2)


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
        onto = (scores(point, result))[0]
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
    """test_pca_dtype_preservation; exact methods, which replace passes, give float64."""
    A = np.random.RandomState(0).rand(1000, 400).astype(dtype)
    for result in (solved(A[:, :4], 3, tol=1e-4, method="krylov"), randomized(A, 3)):
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
    """test_assess_dimension_rank_one, test_small_eigenvalues_mle: 0 within its bound."""
    A = np.ones((9, 6))
    for result in (solved(A, k), randomized(A, k), solved(A, k, method="gram")):
        assert_allclose(result.s, [np.sqrt(54), 0, 0][:k], atol=2e-6)
