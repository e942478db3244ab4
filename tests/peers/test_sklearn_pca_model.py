# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's tests of the model of probabilistic PCA, for `sigmascope.sklearn`.

Written anew from what they check (scikit-learn 1.9, BSD-3-Clause: decomposition/tests/test_pca.py);
each test names the one it follows.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from sklearn import datasets, decomposition

from sigmascope.sklearn import PCA

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def iris() -> Array:
    return np.asarray(datasets.load_iris().data)


@pytest.fixture(scope="module")
def digits() -> Array:
    return np.asarray(datasets.load_digits().data)


def about(n: int, spread: float, seed: int) -> Array:
    return np.random.RandomState(seed).randn(n, 3) * spread + [3, 4, 5]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_covariance_and_precision(iris: Array, k: int) -> None:
    """test_pca: they are inverse to each other; and they are those of theirs."""
    ours, theirs = PCA(k), decomposition.PCA(k, svd_solver="full").fit(iris)
    assert_allclose(ours.fit(iris).transform(iris), ours.fit_transform(iris), rtol=0, atol=0)
    covariance, precision = ours.get_covariance(), ours.get_precision()
    assert_allclose(covariance @ precision, np.eye(4), atol=1e-11)
    assert_allclose(covariance, theirs.get_covariance(), atol=1e-12)
    assert_allclose(precision, theirs.get_precision(), rtol=1e-10)
    assert_allclose(ours.score_samples(iris), theirs.score_samples(iris), rtol=1e-10)
    assert ours.score(iris) == pytest.approx(theirs.score(iris), rel=1e-11)


def test_score() -> None:
    """test_pca_score: near the entropy, and less for rows of another spread.

    Whitening does not change the model. Theirs multiplies by the variances once more then, and its
    test asserts that the score falls.
    """
    X = about(1000, 0.1, 0)
    pca = PCA(2).fit(X)
    assert pca.score(X) == pytest.approx(-1.5 * np.log(2 * np.pi * np.e * 0.01), rel=5e-2)
    assert pca.score(X) > pca.score(about(1000, 0.2, 1))
    whitened = PCA(2, whiten=True).fit(X)
    assert whitened.score(X) == pca.score(X)
    assert_allclose(whitened.get_covariance(), pca.get_covariance(), rtol=0, atol=0)


def test_selection_of_a_model() -> None:
    """test_pca_score3: one direction is chosen, of rows that the fit has not seen."""

    rng = np.random.RandomState(0)
    seen, unseen = (rng.randn(200, 3) + rng.randn(200, 1) * [3, 4, 5] + [1, 0, 7] for _ in range(2))
    scores = [PCA(k).fit(seen).score(unseen) for k in (1, 2, 3)]
    assert np.argmax(scores) == 0


def test_noise_variance_is_below_the_others(digits: Array) -> None:
    """test_pca_sanity_noise_variance."""
    pca = PCA(30).fit(digits)
    assert np.all(pca.explained_variance_ >= pca.noise_variance_)
    theirs = decomposition.PCA(30, svd_solver="full").fit(digits)
    assert abs(pca.noise_variance_ - theirs.noise_variance_) <= pca.noise_variance_error_


def test_score_of_solvers(digits: Array) -> None:
    """test_pca_score_consistency_solvers: to 1e-10, where theirs allows 5e-6."""
    theirs = decomposition.PCA(30, svd_solver="full").fit(digits)
    pca = PCA(30)
    for part in np.array_split(digits, 7):
        pca.partial_fit(part)
    assert pca.score(digits) == pytest.approx(theirs.score(digits), rel=1e-10)


def test_no_noise_variance() -> None:
    """test_pca_zero_noise_variance_edge_cases: with as many components as rows there is no model.

    Theirs then inverts a singular matrix, and returns a number.
    """
    X = about(100, 0.1, 0)
    pca = PCA(3).fit(X)
    assert pca.noise_variance_ == 0
    assert pca.score(X) == pytest.approx(decomposition.PCA(3).fit(X).score(X), rel=1e-11)
    wide = PCA(3).fit(X.T)
    assert wide.noise_variance_ == 0
    with pytest.raises(ValueError, match=r"the noise variance is 0 .* keep fewer components"):
        wide.score(X.T)


@pytest.mark.parametrize("k", [1, 2])
def test_fewer_rows_than_columns(k: int) -> None:
    """test_pca_score of a wide matrix: the noise is the mean of min(m, n) - k variances."""
    X = np.random.RandomState(0).randn(5, 9)
    theirs = decomposition.PCA(k, svd_solver="full").fit(X)
    assert PCA(k).fit(X).score(X) == pytest.approx(theirs.score(X), rel=1e-11)
