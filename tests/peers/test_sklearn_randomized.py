# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of randomized_svd, for this API.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: utils/tests/test_extmath.py);
each test names the one it follows.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import sparse

import sigmascope as ss
from tests.peers.checks import components, product, randomized, solved
from tests.peers.drawn import low_rank_matrix
from tests.support.coverings import grid

Array = NDArray[np.float64]

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@DTYPES
@pytest.mark.parametrize("passes", [1, 2, 3, 5])
def test_low_rank(dtype: str, passes: int) -> None:
    """test_randomized_svd_low_rank_all_dtypes: values, and U Vt of the k largest."""
    A = low_rank_matrix(100, 500, 5, 0.0).astype(dtype)
    U, s, Vt = np.linalg.svd(A.astype(float), full_matrices=False)
    result = randomized(A, 10, passes=passes)
    assert result.U is not None
    assert result.Vt is not None
    if result.method == "randomized block Krylov, measured":  # else float64, as of svds
        assert result.U.dtype == dtype
    assert (result.U.shape, result.Vt.shape) == ((100, 10), (10, 500))
    if passes > 1:
        close = 1.5e-5 if dtype == "float32" else 1.5e-7
        assert_allclose(result.s, s[:10], atol=close)
        assert_allclose(result.U @ result.Vt, U[:, :10] @ Vt[:10], atol=100 * close)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_read_as_float64(dtype: str) -> None:
    """test_randomized_svd_low_rank_all_dtypes and test_integers (TruncatedSVD)."""
    A = (100 * low_rank_matrix(30, 20, 5, 0.0)).astype(dtype)
    result, expected = ss.randomized_svd(A, 3), ss.randomized_svd(A.astype(np.float64), 3)
    assert_array_equal(result.s, expected.s)
    assert result.U is not None
    assert result.U.dtype == np.float64


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
    # Their starts differ: the numbers are rounded. So each is as near its truth as it says.
    within = results[0].errors + results[1].errors + 2.0**-24 * np.linalg.norm(A)
    assert np.all(np.abs(results[0].s - results[1].s) <= within)


def _slow(power: float) -> Array:
    rng = np.random.default_rng(3)
    U, V = (np.linalg.qr(rng.standard_normal((extent, 400)))[0] for extent in (600, 400))
    return np.asarray((U * np.arange(1.0, 401.0) ** -power) @ V.T)


MATRICES: dict[str, Array] = {
    "gaussian": np.random.default_rng(0).standard_normal((900, 400)),
    "slow": _slow(0.2),
    "root": _slow(0.5),
    "sparse": sparse.random_array((900, 400), density=0.01, rng=np.random.default_rng(1)).toarray(),
}


@grid(k=[5, 20, 60], name=list(MATRICES))
def test_defaults_are_as_close_as_scikit_learns(name: str, k: int) -> None:
    """And every error is a small part of its value, where Weyl's bound is several of them."""
    theirs = pytest.importorskip("sklearn.utils.extmath").randomized_svd
    A = MATRICES[name]
    truth = np.linalg.svd(A, compute_uv=False)[:k]
    ours = [ss.randomized_svd(A, k, seed=seed) for seed in range(3)]
    for svd in ours:
        assert svd.method == "randomized block Krylov, measured"
        assert np.all(np.abs(svd.s - truth) <= svd.errors)
        assert np.all(svd.errors <= (0.25 if k < 40 else 0.5) * svd.s)
    worst = max(np.abs(svd.s - truth).max() for svd in ours)
    other = max(np.abs(theirs(A, k, random_state=seed)[1] - truth).max() for seed in range(3))
    assert worst <= other + 1e-12


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


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok"])
def test_sparse_formats(kind: str) -> None:
    """test_randomized_svd_sparse_warnings and test_sparse_formats (TruncatedSVD)."""
    A = low_rank_matrix(50, 40, 5, 0.0) * (np.random.default_rng(0).random((50, 40)) < 0.3)
    result = ss.randomized_svd(sparse.csr_array(A).asformat(kind), 8, passes=3)
    sigma = np.linalg.svd(A, compute_uv=False)
    assert np.all(np.abs(result.s - sigma[:8]) <= result.errors + 1e-14 * sigma[0])
