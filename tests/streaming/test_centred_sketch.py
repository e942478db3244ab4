# SPDX-License-Identifier: BSD-3-Clause
"""Principal components from a sketch, compared with those of the centred rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.streaming import Sketch

Array = NDArray[np.float64]


def rows_of(rank: int, mean: float, m: int = 300, n: int = 40) -> Array:
    rng = np.random.default_rng(rank)
    weights = np.arange(1, rank + 1.0)[:, None] ** -1.5
    return rng.standard_normal((m, rank)) @ (weights * rng.standard_normal((rank, n))) + mean


def streamed(X: Array, center: Any = True) -> Sketch:
    sketch = Sketch(X.shape[1], 5, width=24, center=center)
    for part in np.array_split(X, 4):
        sketch.update(part, num_threads=1)
    return sketch


@pytest.mark.parametrize("mean", [0.0, 1.0, 100.0, 1e4, 1e7])
@pytest.mark.parametrize("rank", [3, 5, 40])
@pytest.mark.parametrize("rough", [False, True])
def test_every_number_within_its_error(mean: float, rank: int, rough: bool) -> None:
    X = rows_of(rank, mean)
    centred = X - X.mean(axis=0)
    _, s, Vt = np.linalg.svd(centred - centred.mean(axis=0))
    variances = s[:5] ** 2 / 299
    pca = streamed(X, X[0] if rough else True).pca()
    off = np.abs(pca.explained_variance - variances)
    assert np.all(off <= pca.explained_variance_errors)
    total = float((s**2).sum()) / 299
    assert abs(pca.total_variance - total) <= pca.total_variance_error + 1e-14 * total
    if np.all(np.isfinite(pca.explained_variance_ratio_errors)):
        off = np.abs(pca.explained_variance_ratio - variances / total)
        assert np.all(off <= pca.explained_variance_ratio_errors)
    cosines = np.abs(np.sum(pca.components * Vt[:5], axis=1))
    sines = np.linalg.norm(pca.components - np.sign(
        np.sum(pca.components * Vt[:5], axis=1))[:, None] * cosines[:, None] * Vt[:5], axis=1
    )  # fmt: skip
    assert np.all(sines <= pca.components_errors + 1e-9)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(5), atol=1e-12)
    mean_of = np.array([math.fsum(column) / 300 for column in X.T])
    assert np.all(np.abs(pca.mean - mean_of) <= pca.mean_errors)
    if rough and rank < 24:
        assert pca.explained_variance_errors[0] <= 1e-9


def test_merged_and_loaded_sketches_change_no_bit(tmp_path: Path) -> None:
    X = rows_of(40, 3.0)
    whole = streamed(X, X[0])
    halves = [Sketch(40, 5, width=24, center=X[0]) for _ in range(2)]
    for i, part in enumerate(np.array_split(X, 4)):
        halves[i % 2].update(part, num_threads=1)
    halves[1].save(tmp_path / "s.npz")
    merged = Sketch.load(tmp_path / "s.npz").merge(halves[0])
    for name in ("components", "explained_variance", "explained_variance_errors", "mean"):
        result, expected = getattr(merged.pca(), name), getattr(whole.pca(), name)
        assert result.tobytes() == expected.tobytes()


def test_centring_changes_no_bit_of_the_decomposition() -> None:
    X = rows_of(40, 3.0)
    with_sums, without = streamed(X).svd(), streamed(X, False).svd()
    assert with_sums.s.tobytes() == without.s.tobytes()
    assert with_sums.errors.tobytes() == without.errors.tobytes()


def test_refusals() -> None:
    X = rows_of(3, 0.0)
    with pytest.raises(ValueError, match="create it with center=True"):
        streamed(X, False).pca()
    with pytest.raises(ValueError, match="k = 6 must be between 1 and the sketch's k = 5"):
        streamed(X).pca(6)
    with pytest.raises(ValueError, match="two rows"):
        Sketch(40, 5, center=True).update(X[:1]).pca()
    few = Sketch(40, 5, center=True).update(X[:3])
    assert few.pca().components.shape == (3, 40)
    with pytest.raises(ValueError, match="k = 4 exceeds the number of rows, 3"):
        few.pca(4)
    with pytest.raises(ValueError, match="cannot be merged"):
        streamed(X).merge(streamed(X, X[0]))
