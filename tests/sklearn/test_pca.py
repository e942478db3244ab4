# SPDX-License-Identifier: BSD-3-Clause
"""The estimator PCA: scikit-learn's own checks, and its numbers next to scikit-learn's."""

from __future__ import annotations

import doctest
import importlib
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sigmascope.errors import ConvergenceWarning

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from sigmascope.sklearn import PCA


def rows(mean: float = 3.0, m: int = 120, n: int = 7) -> Any:
    return np.random.default_rng(0).standard_normal((m, n)) * 2.0 ** -np.arange(n) + mean


@pytest.mark.parametrize("name", ["pca", "truncated_svd"])
def test_examples_run(name: str) -> None:
    tried = doctest.testmod(importlib.import_module(f"sigmascope.sklearn.{name}"))
    assert tried.failed == 0 < tried.attempted


def test_checks_of_scikit_learn() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(PCA(), on_skip=None)
    assert len(results) > 30
    assert all(result["status"] in ("passed", "skipped") for result in results)


@pytest.mark.parametrize("n_components", [None, 1, 3, 7, 0.8, 0.99])
@pytest.mark.parametrize("whiten", [False, True])
def test_as_scikit_learn(n_components: Any, whiten: bool) -> None:
    from sklearn import decomposition

    X = rows()
    ours = PCA(n_components, whiten=whiten).fit(X)
    theirs = decomposition.PCA(n_components, whiten=whiten, svd_solver="full").fit(X)
    assert ours.n_components_ == theirs.n_components_
    names = "explained_variance_ explained_variance_ratio_ singular_values_ mean_ noise_variance_"
    for name in names.split():
        expected = getattr(theirs, name)
        error = getattr(ours, f"{name}error_")
        assert np.all(np.abs(getattr(ours, name) - expected) <= error + 1e-14), name
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-9)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-8)
    scores = ours.transform(X)
    np.testing.assert_allclose(
        ours.inverse_transform(scores), theirs.inverse_transform(scores), atol=1e-8
    )
    np.testing.assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


def test_batches_and_merges_change_no_bit() -> None:
    X = rows()
    parts = np.array_split(X, 4)
    straight = PCA(3)
    for part in parts:
        straight.partial_fit(part)
    one, two = PCA(3).partial_fit(parts[3]).partial_fit(parts[0]), PCA(3).fit(parts[2])
    merged = pickle.loads(pickle.dumps(two.partial_fit(parts[1]))).merge(one)
    assert merged.n_samples_seen_ == straight.n_samples_seen_ == 120
    assert merged.components_.tobytes() == straight.components_.tobytes()
    assert merged.explained_variance_.tobytes() == straight.explained_variance_.tobytes()


def test_a_share_that_rounding_does_not_reach_keeps_all_components() -> None:
    X = rows()
    assert PCA(1 - 2.0**-53).fit(X).n_components_ in (6, 7)
    assert (
        PCA(float(np.nextafter(PCA(1).fit(X).explained_variance_ratio_[0], 1))).fit(X).n_components_
        == 2
    )


def test_components_wait_for_enough_rows() -> None:
    X = rows()
    pca = PCA(3).partial_fit(X[:2])
    assert not hasattr(pca, "components_")
    assert pca.partial_fit(X[2:3]).components_.shape == (3, 7)
    assert pca.fit(X).n_samples_seen_ == 120


@pytest.mark.parametrize("mean", [1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
@pytest.mark.parametrize("n_components", [3, 0.9, None])
def test_rows_at_hand_lose_no_digits_to_their_means(mean: float, n_components: Any) -> None:
    from sklearn import decomposition

    X = rows(mean) * [1, -1, 1, 3, 1, 1, 1]
    ours = PCA(n_components).fit(X)  # warnings are errors
    theirs = decomposition.PCA(n_components, svd_solver="full").fit(X)
    variances = theirs.explained_variance_
    np.testing.assert_allclose(ours.explained_variance_, variances, rtol=1e-8)
    np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-7)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-14)
    assert ours.explained_variance_error_[0] < 1e-10 * variances[0]


def test_means_that_cost_digits_warn_and_a_shift_keeps_them() -> None:
    X = rows(1e7)
    message = "pass rough means as `shift` to reduce it"
    with pytest.warns(ConvergenceWarning, match=message):
        PCA(2).partial_fit(X)
    one, two = PCA(2).fit(X[:50]), PCA(2).fit(X[50:])
    with pytest.warns(ConvergenceWarning, match=message):
        one.merge(two)
    pca = PCA(2, shift=X[0]).partial_fit(X)
    assert pca.explained_variance_error_[0] < 1e-10


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: PCA(0).fit(rows()), "n_components = 0 must be"),
        (lambda: PCA(1.5).fit(rows()), "n_components = 1.5 must be"),
        (lambda: PCA(8).fit(rows()), "k = 8 must be between 1 and"),
        (lambda: PCA(shift=[1.0]).fit(rows()), r"not \(1,\)"),
        (lambda: PCA().fit(rows()).merge(PCA(shift=np.ones(7)).fit(rows())), "cannot be merged"),
        (
            lambda: PCA(whiten=True).fit(np.ones((9, 2))).transform(np.ones((1, 2))),
            "whiten at most 0",
        ),
    ],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("sigmascope.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"pip install 'sigmascope\[sklearn\]'"):
        import sigmascope.sklearn  # noqa: F401
