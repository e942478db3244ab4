# SPDX-License-Identifier: BSD-3-Clause
"""The estimator TruncatedSVD: scikit-learn's own checks, and every number within its error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from sigmascope.streaming import GramAccumulator

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from sigmascope.sklearn import PCA, TruncatedSVD

Array = NDArray[np.float64]


def rows(kind: str = "graded", m: int = 60, n: int = 25) -> Array:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((m, n)) * 1.5 ** -np.arange(n)
    if kind == "mean":
        return X + 30.0
    if kind == "filled":
        return np.where(rng.random((m, n)) < 0.2, X, 0.0)
    if kind == "deficient":
        return rng.standard_normal((m, 4)) @ rng.standard_normal((4, n))
    if kind == "multiple":
        return np.eye(m, n) * np.repeat([3.0, 2.0, 1.0, 0.5, 0.25], 5)[:n]
    return X


def check(svd: TruncatedSVD, X: NDArray[Any]) -> None:
    """Every number is within its error of LAPACK's, but for the rounding of the latter."""
    A, k = X.astype(np.float64), svd.n_components_
    _, s, Vt = np.linalg.svd(A, full_matrices=False)
    square = np.sum(A**2) / len(A)
    assert np.all(np.abs(svd.singular_values_ - s[:k]) <= svd.singular_values_error_ + 1e-14 * s[0])
    V = svd.components_
    np.testing.assert_allclose(V @ V.T, np.eye(k), atol=1e-13 if X.dtype == A.dtype else 1e-5)
    cosines = np.sum(V * Vt[:k], axis=1)[:, None]
    assert np.all(np.linalg.norm(V - cosines * Vt[:k], axis=1) <= svd.components_error_ + 1e-13)
    exact, total = np.var(A @ Vt[:k].T, axis=0), np.var(A, axis=0).sum()
    single = svd.components_error_ < 1  # others have no exact component to compare with
    off = np.abs(svd.explained_variance_ - exact)[single]
    assert np.all(off <= svd.explained_variance_error_[single] + 1e-14 * square)
    off = np.abs(svd.explained_variance_ratio_ - exact / total)[single]
    assert np.all(off <= svd.explained_variance_ratio_error_[single] + 1e-14 * square / total)


def test_checks_of_scikit_learn() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(TruncatedSVD(), on_skip=None)
    assert len(results) > 30
    assert all(result["status"] in ("passed", "skipped") for result in results)


@pytest.mark.parametrize("kind", ["graded", "mean", "filled", "deficient", "multiple"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_every_number_within_its_error(kind: str, dtype: Any, container: Any) -> None:
    X = rows(kind).astype(dtype)
    for k in (1, 4, 25):
        check(TruncatedSVD(k).fit(container(X)), X)
        check(TruncatedSVD(k).fit(container(X.T)), X.T)


@pytest.mark.parametrize("mean", [0.0, 0.01])
@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
def test_loose_tolerances_have_larger_errors(tol: float, mean: float) -> None:
    """Without a mean, the variances are the squares of the singular values."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((n, 300)))[0] for n in (400, 300))
    X = (U * np.arange(1, 301) ** -0.3) @ V.T
    X += mean - (0.0 if mean else X.mean(axis=0))
    svd = TruncatedSVD(5, tol=tol).fit(X)
    check(svd, X)
    assert svd.components_error_.max() > 1e-13
    assert svd.result_.residuals.max() <= 2 * tol * svd.singular_values_[0]


def test_all_of_the_error_of_a_pair_may_be_that_of_its_component() -> None:
    """With an exact left vector, the right one is off by sqrt(2) times the angle of the pair."""
    X = np.diag([1.0, *0.01 * 0.9 ** np.arange(39)])
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    svd = TruncatedSVD(1).fit(turn @ X)
    of_the_pair = svd.result_.residuals[0] / svd.singular_values_[0]  # over the distance from 0
    assert svd.components_error_[0] >= np.sqrt(2.0) * of_the_pair > 0.0


def test_components_of_a_multiple_value_are_not_known() -> None:
    svd = TruncatedSVD(6).fit(rows("multiple"))
    assert np.all(svd.components_error_ == 1)
    np.testing.assert_allclose(svd.singular_values_, [3, 3, 3, 3, 3, 2], rtol=1e-12)
    last = TruncatedSVD(5).fit(rows())
    assert last.components_error_[4] < 1e-5


def test_the_component_of_no_value_is_not_known() -> None:
    """Its direction is one of three in the null space, which none distinguishes."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((3, 2)) @ rng.standard_normal((2, 5))
    svd = TruncatedSVD(3).fit(X)
    assert svd.components_error_[2] == 1
    assert np.all(svd.components_error_[:2] < 1e-5)


def test_duplicate_entries_of_a_sparse_matrix_add_up() -> None:
    X = rows("filled")
    i, j = np.nonzero(X)
    half = X[i, j] / 2
    twice = sparse.coo_array((np.r_[half, half], (np.r_[i, i], np.r_[j, j])), shape=X.shape).tocsr(
        copy=True
    )
    doubled = sparse.csr_array(
        (np.repeat(half, 2), np.repeat(j, 2), 2 * sparse.csr_array(X).indptr), shape=X.shape
    )
    assert (doubled.nnz, twice.nnz) == (2 * len(i), len(i))
    svd = TruncatedSVD(3).fit(doubled)
    check(svd, X)
    assert doubled.nnz == 2 * len(i)
    np.testing.assert_allclose(svd.transform(doubled), X @ svd.components_.T, atol=1e-14)


def test_same_seed_same_bits() -> None:
    X = sparse.random_array((500, 400), density=0.05, rng=np.random.default_rng(0), format="csr")
    first, again = TruncatedSVD(3).fit(X), TruncatedSVD(3, random_state=0).fit(X)
    assert first.components_.tobytes() == again.components_.tobytes()
    drawn = [TruncatedSVD(3, random_state=np.random.RandomState(5)) for _ in range(2)]
    bits = [each.fit(X).components_.tobytes() for each in drawn]
    assert bits[0] == bits[1] != first.components_.tobytes()
    assert drawn[0].result_.seed == drawn[1].result_.seed != drawn[0].fit(X).result_.seed
    copy = pickle.loads(pickle.dumps(first))
    assert copy.result_.U is None
    assert copy.transform(X).tobytes() == first.transform(X).tobytes()


def test_scores_and_rows() -> None:
    X = rows("mean")
    svd = TruncatedSVD(25)
    scores = svd.fit_transform(X)
    assert scores.tobytes() == svd.transform(X).tobytes()
    np.testing.assert_allclose(svd.inverse_transform(scores), X, atol=1e-10)
    assert svd.explained_variance_ratio_.sum() == pytest.approx(1, abs=1e-12)
    assert svd.get_feature_names_out()[:2].tolist() == ["truncatedsvd0", "truncatedsvd1"]
    assert np.all(svd.components_[range(25), np.abs(svd.components_).argmax(axis=1)] > 0)


def test_equal_rows_have_no_shares() -> None:
    svd = TruncatedSVD(1).fit(np.full((8, 3), 2.0))
    assert svd.singular_values_[0] == pytest.approx(np.sqrt(96))
    assert np.isnan(svd.explained_variance_ratio_[0])
    assert np.isinf(svd.explained_variance_ratio_error_[0])


def test_rows_in_batches_by_an_accumulator() -> None:
    """The page tells to take the vectors of an accumulator where there is no partial_fit."""
    X = rows()
    gram = GramAccumulator(25)
    for part in np.array_split(X, 4):
        gram.update(part)
    svd, result = TruncatedSVD(3).fit(X), gram.svd(3)
    off = np.abs(result.s - svd.singular_values_)
    assert np.all(off <= result.errors + svd.singular_values_error_)
    assert not hasattr(svd, "partial_fit")
    assert hasattr(PCA(), "partial_fit")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: TruncatedSVD(0).fit(rows()), "n_components = 0 must be an integer of at least 1"),
        (lambda: TruncatedSVD(0.5).fit(rows()), "n_components = 0.5 must be"),  # type: ignore[arg-type]
        (lambda: TruncatedSVD(26).fit(rows()), "26 exceeds .* n_samples = 60 and n_features = 25"),
        (lambda: TruncatedSVD(tol=0.0).fit(rows()), "tol"),
        (lambda: TruncatedSVD(random_state=-1).fit(rows()), "between 0 and"),
        (lambda: TruncatedSVD(random_state="a").fit(rows()), "cannot be used to seed"),  # type: ignore[arg-type]
        (lambda: TruncatedSVD().fit(rows() * np.nan), "NaN"),
        (lambda: TruncatedSVD().fit(rows()).inverse_transform(np.eye(3)), r"\(3, 3\), not \(any"),
    ],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()
