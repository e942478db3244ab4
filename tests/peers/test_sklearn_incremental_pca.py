# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of IncrementalPCA and of the model within PCA, for `sigmascope.sklearn`.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: decomposition/tests/
test_incremental_pca.py and test_pca.py); each test names the one it follows.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from scipy import sparse
from sklearn import datasets, decomposition

from sigmascope.sklearn import PCA
from tests.peers.drawn import low_rank_matrix

Array = NDArray[np.float64]

SEEDS = pytest.mark.parametrize("seed", range(3))


def in_batches(X: Array, size: int, n_components: int | None = None, **options: bool) -> PCA:
    pca = PCA(n_components, **options)
    for start in range(0, len(X), size):
        pca.partial_fit(X[start : start + size])
    return pca


@pytest.fixture(scope="module")
def iris() -> Array:
    return np.asarray(datasets.load_iris().data)


def test_against_pca(iris: Array) -> None:
    """test_incremental_pca, test_incremental_pca_against_pca_iris, test_explained_variances."""
    for size in (50, 47):
        ours = in_batches(iris, size, 2)
        theirs = decomposition.PCA(2).fit(iris)
        assert_allclose(ours.transform(iris), theirs.transform(iris), atol=1e-11)
        assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-12)
        assert_allclose(
            ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-12
        )
        assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-11)


def test_sparse_rows_are_refused(iris: Array) -> None:
    """test_incremental_pca_sparse: of partial_fit; fit, where theirs makes them dense, too."""
    for act in (PCA(2).partial_fit, PCA(2).fit):
        with pytest.raises(TypeError, match="parse data"):
            act(sparse.csr_array(iris))


def test_covariance_of_batches(iris: Array) -> None:
    """test_incremental_pca, test_incremental_pca_sparse: covariance and precision."""
    for k in (1, 2, 4):
        pca = in_batches(iris, 50, k)
        assert_allclose(pca.get_covariance() @ pca.get_precision(), np.eye(4), atol=1e-11)


@SEEDS
def test_against_pca_of_random_data(seed: int) -> None:
    """test_incremental_pca_against_pca_random_data, test_singular_values."""
    rng = np.random.RandomState(seed)
    X = rng.randn(100, 3) + 5 * rng.rand(1, 3)
    theirs = decomposition.PCA(3).fit(X)
    ours = in_batches(X, 25, 3)
    assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-9)
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-12)
    assert_allclose(ours.singular_values_, np.linalg.norm(ours.transform(X), axis=0), rtol=1e-12)


@SEEDS
def test_projection(seed: int) -> None:
    """test_incremental_pca_check_projection."""
    rng = np.random.RandomState(seed)
    X = rng.randn(100, 3) * 0.1
    X[:10] += [3, 4, 5]
    scores = in_batches(X, 30, 2).transform(0.1 * rng.randn(1, 3) + [3, 4, 5])
    assert abs(scores[0, 0]) / np.linalg.norm(scores) == pytest.approx(1.0, abs=0.1)


@SEEDS
@pytest.mark.parametrize("whiten", [False, True])
def test_inverse(seed: int, whiten: bool) -> None:
    """test_incremental_pca_inverse, test_whitening."""
    rng = np.random.RandomState(seed)
    X = rng.randn(50, 3)
    X[:, 1] *= 1e-5
    X += [5, 4, 3]
    pca = in_batches(X, 10, 2, whiten=whiten)
    scores = pca.transform(X)
    assert_allclose(pca.inverse_transform(scores), X, atol=1e-4)
    if whiten:
        assert_allclose(np.cov(scores.T), np.eye(2), atol=1e-9)


@pytest.mark.parametrize("n_components", [-1, 0, 0.0, 1.0, "most", True + 1j])
def test_validation(n_components: object) -> None:
    """test_incremental_pca_validation, test_pca_validation: invalid numbers of components."""
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        PCA(n_components).fit(np.eye(4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k = 5 must be between 1 and min"):
        PCA(5).fit(np.eye(4))


def test_as_many_samples_as_components() -> None:
    """test_n_samples_equal_n_components, test_incremental_pca_partial_fit_small_batch."""
    X = np.random.RandomState(0).randn(5, 7)
    pca = PCA(5).partial_fit(X)
    assert pca.components_.shape == (5, 7)
    Y = np.random.RandomState(0).randn(12, 6)
    ours = PCA(3).partial_fit(Y[:3]).partial_fit(Y[3:4]).partial_fit(Y[4:])
    assert_allclose(np.abs(ours.components_), np.abs(decomposition.PCA(3).fit(Y).components_))


def test_no_number_of_components() -> None:
    """test_n_components_none: all that there are at the time."""
    X = np.random.RandomState(0).rand(50, 20)
    assert PCA().partial_fit(X[:10]).n_components_ == 10
    assert PCA().partial_fit(X[:10]).partial_fit(X[10:]).n_components_ == 20


def test_parameters_that_change(iris: Array) -> None:
    """test_incremental_pca_set_params: another number of components (theirs refuses it)."""
    pca = PCA(3).partial_fit(iris[:50]).set_params(n_components=2).partial_fit(iris[50:])
    assert_allclose(pca.components_, PCA(2).fit(iris).components_, atol=1e-12)


def test_another_number_of_features() -> None:
    """test_incremental_pca_num_features_change."""
    rng = np.random.RandomState(0)
    pca = PCA().fit(rng.randn(100, 20))
    with pytest.raises(ValueError, match="X has 50 features, but PCA is expecting 20"):
        pca.partial_fit(rng.randn(100, 50))
    assert pca.fit(rng.randn(100, 50)).n_features_in_ == 50


@SEEDS
def test_sizes_of_batches(seed: int) -> None:
    """test_incremental_pca_batch_signs, _batch_values, _batch_rank, _partial_fit."""
    X = np.random.RandomState(seed).randn(100, 3)
    first = in_batches(X, 10)
    for size in (20, 33, 70, 100):
        assert_allclose(in_batches(X, size).components_, first.components_, atol=1e-11)
        assert_allclose(in_batches(X, size).explained_variance_, first.explained_variance_)


def test_a_low_rank_matrix() -> None:
    """test_explained_variances: of a matrix with a tail."""
    X = low_rank_matrix(1000, 100, 10, 0.0, 1999)
    theirs = decomposition.PCA(10).fit(X)
    assert_allclose(in_batches(X, 100, 10).explained_variance_, theirs.explained_variance_)


def test_counts_of_rows() -> None:
    """test_incremental_pca_partial_fit_float_division, _fit_overflow_error: any batch counts."""
    rng = np.random.RandomState(0)
    A, B = rng.randn(5, 3) + 2, rng.randn(7, 3) + 5
    apart = PCA(2).partial_fit(A).partial_fit(B)
    assert_allclose(apart.singular_values_, PCA(2).fit(np.vstack([A, B])).singular_values_)
    assert apart.n_samples_seen_ == 12


def test_names_of_features(iris: Array) -> None:
    """test_incremental_pca_feature_names_out."""
    assert PCA(2).fit(iris).get_feature_names_out().tolist() == ["pca0", "pca1"]


def test_components_by_their_share() -> None:
    """test_infer_dim_by_explained_variance, and others of a share of the variance."""
    X = np.random.RandomState(0).randn(100, 5)
    X[:50] += [3, 4, 5, 6, 2]
    for share in (0.5, 0.9, 0.95, 0.99):
        theirs = decomposition.PCA(share, svd_solver="full").fit(X)
        assert PCA(share).fit(X).n_components_ == theirs.n_components_
