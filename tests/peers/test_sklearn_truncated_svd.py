# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of TruncatedSVD, for `sigmascope.sklearn`.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: decomposition/tests/
test_truncated_svd.py); each test names the one it follows. There is one algorithm, to a tolerance,
where theirs are two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from scipy import sparse
from sklearn import decomposition

from sigmascope.sklearn import PCA, TruncatedSVD
from tests.peers.drawn import term_frequencies

Array = NDArray[np.float64]

CONTAINERS = pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
SEEDS = pytest.mark.parametrize("seed", range(3))


@pytest.fixture(scope="module")
def tfidf() -> Array:
    return term_frequencies()


@CONTAINERS
def test_solvers(tfidf: Array, container: Callable[[Array], Any]) -> None:
    """test_solvers: scores and components as ARPACK's."""
    ours = TruncatedSVD(30).fit(container(tfidf))
    theirs = decomposition.TruncatedSVD(30, algorithm="arpack").fit(tfidf)
    assert_allclose(ours.transform(tfidf), theirs.transform(tfidf), atol=1e-4)
    assert_allclose(ours.components_, theirs.components_, atol=1e-4)
    assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-10)


@pytest.mark.parametrize("k", [10, 25, 41, 55])
def test_attributes(tfidf: Array, k: int) -> None:
    """test_attributes: shapes up to k = min(m, n), which ARPACK refuses."""
    svd = TruncatedSVD(k).fit(sparse.csr_array(tfidf))
    assert svd.n_components == svd.n_components_ == k
    assert svd.components_.shape == (k, 55)


def test_too_many_components(tfidf: Array) -> None:
    """test_too_many_components."""
    with pytest.raises(ValueError, match="n_components = 56 exceeds"):
        TruncatedSVD(56).fit(sparse.csr_array(tfidf))


@pytest.mark.parametrize("kind", ["array", "csr", "csc", "coo", "lil", "dok", "bsr"])
def test_sparse_formats(tfidf: Array, kind: str) -> None:
    """test_sparse_formats: with the numbers of the dense array."""
    A = tfidf if kind == "array" else sparse.csr_array(tfidf).asformat(kind)
    svd = TruncatedSVD(11)
    scores = svd.fit_transform(A)
    assert scores.shape == svd.transform(A).shape == (60, 11)
    assert_allclose(scores, TruncatedSVD(11).fit_transform(tfidf), atol=1e-4)


def test_inverse_transform(tfidf: Array) -> None:
    """test_inverse_transform: 52 of 55 components give nearly all back, and 55 give all."""
    A = sparse.csr_array(tfidf)
    for k, close in ((52, 0.3), (55, 1e-10)):
        svd = TruncatedSVD(k)
        assert_allclose(svd.inverse_transform(svd.fit_transform(A)), tfidf, atol=close)


@CONTAINERS
def test_integers(tfidf: Array, container: Callable[[Array], Any]) -> None:
    """test_integers: taken as float64."""
    A = np.trunc(3 * tfidf)
    whole = TruncatedSVD(6).fit_transform(container(A.astype(np.int64)))
    assert_allclose(whole, TruncatedSVD(6).fit_transform(container(A)), atol=1e-12)


@CONTAINERS
@pytest.mark.parametrize("k", [10, 20])
def test_explained_variance(tfidf: Array, k: int, container: Callable[[Array], Any]) -> None:
    """test_explained_variance: shares are those of the scores, positive, below 1 in all."""
    svd = TruncatedSVD(k)
    scores = svd.fit_transform(container(tfidf))
    assert np.all(svd.explained_variance_ratio_ > 0)
    assert svd.explained_variance_ratio_.sum() < 1
    total = np.var(tfidf, axis=0).sum()
    assert_allclose(svd.explained_variance_ratio_, np.var(scores, axis=0) / total, rtol=1e-12)


@CONTAINERS
def test_numbers_of_components(tfidf: Array, container: Callable[[Array], Any]) -> None:
    """test_explained_variance_components_10_20: the first ten of twenty are those of ten."""
    few, many = (TruncatedSVD(k).fit(container(tfidf)) for k in (10, 20))
    assert_allclose(
        few.explained_variance_ratio_, many.explained_variance_ratio_[:10], rtol=1e-3, atol=1e-6
    )
    assert many.explained_variance_ratio_.sum() > few.explained_variance_ratio_.sum()


@SEEDS
def test_lengths_of_scores(seed: int) -> None:
    """test_singular_values_consistency: to rounding, where theirs allows 1e-2."""
    A = np.random.RandomState(seed).randn(100, 80)
    svd = TruncatedSVD(2, random_state=np.random.RandomState(seed)).fit(A)
    assert_allclose(svd.singular_values_, np.linalg.norm(svd.transform(A), axis=0), rtol=1e-9)


@SEEDS
def test_values_that_were_set(seed: int) -> None:
    """test_singular_values_expected: 3.142, 2.718, 1.0."""
    svd = TruncatedSVD(3, random_state=seed)
    scores = svd.fit_transform(np.random.RandomState(seed).randn(100, 110))
    scores *= [3.142, 2.718, 1.0] / np.linalg.norm(scores, axis=0)
    # The columns of scores are orthogonal to the tolerance, and those of U to rounding.
    U = np.linalg.qr(scores)[0] * [3.142, 2.718, 1.0]
    svd.fit(U @ svd.components_)
    assert_allclose(svd.singular_values_, [3.142, 2.718, 1.0], rtol=1e-13)


def test_as_pca_of_centred_rows(tfidf: Array) -> None:
    """test_truncated_svd_eq_pca: of ours, and of theirs."""
    A = tfidf - tfidf.mean(axis=0)
    svd, pca = TruncatedSVD(10).fit(A), PCA(10).fit(A)
    theirs = decomposition.PCA(10, svd_solver="full").fit(A)
    for other in (pca, theirs):
        assert_allclose(svd.components_, other.components_, atol=1e-4)
        assert_allclose(svd.transform(A), other.transform(A), atol=1e-4)
        assert_allclose(svd.explained_variance_ * 60 / 59, other.explained_variance_, rtol=1e-8)
        ratio = other.explained_variance_ratio_
        assert_allclose(svd.explained_variance_ratio_, ratio, rtol=1e-8)


@CONTAINERS
def test_fit_transform(tfidf: Array, container: Callable[[Array], Any]) -> None:
    """test_fit_transform: fit, then transform, to the bit; theirs allows 1e-7."""
    A = container(tfidf)
    svd = TruncatedSVD(5, random_state=42)
    first = svd.fit_transform(A)
    assert first.tobytes() == svd.fit(A).transform(A).tobytes()
