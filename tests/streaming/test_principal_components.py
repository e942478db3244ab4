# SPDX-License-Identifier: BSD-3-Clause
"""Principal components of rows that are seen once, compared with those of exactly centred rows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sigmascope.streaming import GramAccumulator, PrincipalComponents

Array = NDArray[np.float64]


class Exact(NamedTuple):
    variances: Array
    components: Array
    mean: Array
    total: float


def exact(X: NDArray[Any]) -> Exact:
    """The rows are centred in rational arithmetic, and rounded once."""
    m, n = X.shape
    columns = [[Fraction(float(x)) for x in column] for column in X.T]
    means = [sum(column, Fraction(0)) / m for column in columns]
    centred = np.array(
        [[float(x - mean) for x in column] for column, mean in zip(columns, means, strict=True)]
    ).T
    _, s, Vt = np.linalg.svd(centred)
    variances = np.zeros(n)
    variances[: len(s)] = s**2 / (m - 1)
    return Exact(variances, Vt, np.array([float(x) for x in means]), float((s**2).sum() / (m - 1)))


def rows_about(mean: float, m: int = 90, n: int = 6, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return rng.standard_normal((m, n)) * 3.0 ** -np.arange(n) @ basis + mean


def streamed(X: NDArray[Any], center: Any = True, pieces: int = 3) -> GramAccumulator:
    gram = GramAccumulator(X.shape[1], center=center)
    for part in np.array_split(X, pieces):
        gram.update(part)
    return gram


def result_bits(result: PrincipalComponents) -> tuple[bytes, ...]:
    names = [name for name in result.__slots__ if name != "notes"]
    return tuple(np.asarray(getattr(result, name)).tobytes() for name in names)


def check(result: PrincipalComponents, X: NDArray[Any]) -> None:
    """Every number is within its error, but for the rounding of the reference."""
    truth, k = exact(X), len(result.components)
    slack = 1e-14 * truth.variances[0]
    ev = truth.variances[:k]
    assert np.all(
        np.abs(result.explained_variance - ev) <= result.explained_variance_errors + slack
    )
    s = np.sqrt(ev * (len(X) - 1))
    assert np.all(
        np.abs(result.singular_values - s) <= result.singular_values_errors + 1e-14 * s[0]
    )
    if np.all(np.isfinite(result.explained_variance_ratio_errors)):
        off = np.abs(result.explained_variance_ratio - ev / truth.total)
        assert np.all(off <= result.explained_variance_ratio_errors + 1e-14)
    assert abs(result.total_variance - truth.total) <= result.total_variance_error + slack
    assert np.all(np.abs(result.mean - truth.mean) <= result.mean_errors)
    sines = np.linalg.norm(
        result.components - np.sum(result.components * truth.components[:k], 1)[:, None]
        * truth.components[:k], axis=1,
    )  # fmt: skip
    assert np.all(sines <= result.components_errors + 1e-13)
    np.testing.assert_allclose(result.components @ result.components.T, np.eye(k), atol=1e-13)


MEANS = [0.0, 1.0, 30.0, 1e3, 1e6, -1e8, 1e12]


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("rough", [False, True])
def test_every_number_within_its_error(mean: float, rough: bool) -> None:
    X = rows_about(mean)
    pca = streamed(X, X[0] if rough else True).pca()
    check(pca, X)
    if rough:
        assert pca.explained_variance_errors[0] <= 1e-11 * pca.explained_variance[0]
    noted = any("rough means" in note for note in pca.notes)
    assert noted == (abs(mean) >= 1e3 and not rough)


def test_variance_that_is_lost_is_not_told_as_resolved() -> None:
    pca = streamed(rows_about(1e9)).pca(2)
    assert np.all(pca.explained_variance_errors > exact(rows_about(1e9)).variances[0])
    assert np.all(np.isnan(pca.explained_variance_ratio))
    assert np.all(np.isinf(pca.explained_variance_ratio_errors))
    assert np.all(pca.components_errors == 1)
    with pytest.raises(ValueError, match="whiten at most 0 components"):
        pca.whitening()


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
@pytest.mark.parametrize("m", [4, 90])
def test_any_scale_and_fewer_rows_than_columns(scale: float, m: int) -> None:
    X = rows_about(2.0, m=m)
    result, unscaled = streamed(X * scale).pca(), streamed(X).pca()
    assert len(result.components) == min(m, 6)
    np.testing.assert_allclose(result.singular_values[:3], unscaled.singular_values[:3] * scale)
    np.testing.assert_allclose(result.mean, unscaled.mean * scale)
    check(unscaled, X)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_narrow_rows_and_a_shift(dtype: Any) -> None:
    X = rows_about(100.0).astype(dtype)
    check(streamed(X).pca(3), X)
    check(streamed(X, np.full(6, 100.1)).pca(3), X)


def test_constant_columns_and_equal_rows() -> None:
    X = rows_about(0.0)
    X[:, 2] = 7.0
    check(streamed(X).pca(4), X)
    pca = streamed(np.full((8, 3), 0.1)).pca()
    assert np.all(pca.explained_variance <= pca.explained_variance_errors)
    assert np.all(np.isinf(pca.explained_variance_ratio_errors))


def test_many_rows_of_one_sign_in_one_update() -> None:
    """Rounding errors of equal products do not cancel."""
    X = np.full((300_000, 2), 1 / 3)
    X[::2, 0] += 2.0**-20
    pca = GramAccumulator(2, center=True).update(X, num_threads=1).pca(1)
    variance = 2.0**-42 * 300_000 / 299_999
    error = pca.explained_variance_errors[0]
    assert abs(pca.explained_variance[0] - variance) <= error <= 1e-12
    shifted = GramAccumulator(2, center=[1 / 3, 1 / 3]).update(X, num_threads=1)
    better = shifted.pca(1)
    assert better.explained_variance[0] == pytest.approx(variance, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(1, 4), st.booleans())
def test_no_order_of_updates_and_merges_changes_a_bit(
    order: list[int], places: int, rough: bool
) -> None:
    blocks = [rows_about(10.0**i, m=7 + i, seed=i) for i in range(5)]
    center: Any = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0] if rough else True
    straight = GramAccumulator(6, center=center).extend(iter(blocks[:0]))
    for block in blocks:
        straight.update(block)
    scattered = [GramAccumulator(6, center=center) for _ in range(places)]
    for i in order:
        scattered[i % places].update(blocks[i], num_threads=1 + i % 2)
    merged = scattered[0]
    for other in scattered[1:]:
        merged.merge(other)
    assert result_bits(merged.pca()) == result_bits(straight.pca())


@pytest.mark.parametrize("center", [False, True, np.arange(6.0) / 3])
def test_files_and_pickles(center: Any, tmp_path: Path) -> None:
    gram = streamed(rows_about(5.0), center)
    gram.save(tmp_path / "g.npz")
    for copy in (GramAccumulator.load(tmp_path / "g.npz"), pickle.loads(pickle.dumps(gram))):
        assert copy._options() == gram._options()
        if gram.center:
            assert result_bits(copy.pca()) == result_bits(gram.pca())
        copy.merge(gram)
        if gram.center:
            assert copy.pca().rows == 180
            assert result_bits(copy.pca()) == result_bits(
                streamed(rows_about(5.0), center).merge(gram).pca()
            )


def test_a_file_without_centring_is_that_of_earlier_versions(tmp_path: Path) -> None:
    streamed(rows_about(5.0), False).save(tmp_path / "g.npz")
    with np.load(tmp_path / "g.npz") as file:
        assert set(file.files) >= {"head", "g_exponents", "f_exponents"}
        assert "c_exponents" not in file.files
        assert '"options": {"n_cols": 6}' in str(file["head"])


def test_centring_leaves_values_about_zero_as_they_were() -> None:
    X = rows_about(2.0)
    with_sums, without = streamed(X), streamed(X, False)
    assert with_sums.svdvals().values.tobytes() == without.svdvals().values.tobytes()
    shifted = streamed(X, X[0]).svdvals()
    np.testing.assert_allclose(shifted, np.linalg.svd(X - X[0], compute_uv=False), rtol=1e-9)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: GramAccumulator(3).update(np.eye(3)).pca(), "create it with center=True"),
        (lambda: GramAccumulator(3, center=True).pca(), "no rows"),
        (lambda: GramAccumulator(3, center=True).update(np.ones((1, 3))).pca(), "two rows"),
        (lambda: streamed(rows_about(0.0)).pca(7), r"k = 7 must be between 1 and min"),
        (lambda: streamed(rows_about(0.0)).pca(0), r"k = 0 must be"),
        (
            lambda: GramAccumulator(3, center=[1.0, 2.0]),
            r"True, False or of shape \(3,\), not \(2,\)",
        ),
        (lambda: GramAccumulator(1, center=[np.nan]), "center holds NaN"),
        (
            lambda: streamed(rows_about(0.0)).merge(streamed(rows_about(0.0), False)),
            "cannot be merged",
        ),
        (
            lambda: streamed(rows_about(0.0)).merge(streamed(rows_about(0.0), np.ones(6))),
            "'center': True.*a shift of hash",
        ),
    ],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


def test_scores_and_rows() -> None:
    X = rows_about(4.0)
    pca = streamed(X).pca(4)
    scores = pca.transform(X)
    np.testing.assert_allclose(np.cov(scores.T), np.diag(pca.explained_variance), atol=1e-12)
    np.testing.assert_allclose(np.cov(pca.transform(X, whiten=True).T), np.eye(4), atol=1e-10)
    back = pca.inverse_transform(pca.transform(X, whiten=True), whiten=True)
    np.testing.assert_allclose(back, pca.inverse_transform(scores), atol=1e-12)
    lost = np.sum((back - X) ** 2) / 89
    assert lost == pytest.approx(pca.total_variance - pca.explained_variance.sum())
    assert lost / 2 == pytest.approx(pca.noise_variance)
    assert repr(pca).startswith("PrincipalComponents(4 of 6 columns, 90 rows, 0.99")
    with pytest.raises(ValueError, match=r"shape \(any, 6\), not \(90, 5\)"):
        pca.transform(X[:, :5])
