# SPDX-License-Identifier: BSD-3-Clause
"""MomentsAccumulator: moments of rows that are seen once, as those of all rows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.moments import ADVERSARIES, adversary, check
from tests.support.streams import moments_bits

import sigmascope as ss
from sigmascope.results import Moments
from sigmascope.streaming import MomentsAccumulator


def streamed(A: NDArray[Any], pieces: int = 3, **options: Any) -> Moments:
    moments = MomentsAccumulator(A.shape[1], row_norms=True, **options)
    for part in np.array_split(A, pieces):
        moments.update(part)
    return moments.result()


def same(one: Moments, other: Moments) -> None:
    for name in Moments.__slots__:
        if name != "seconds":
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_one_update_is_the_batch_to_the_bit(dtype: Any) -> None:
    A = np.random.default_rng(0).lognormal(0, 1, (130, 70)).astype(dtype)
    same(streamed(A, 1), ss.moments(A))
    same(streamed(A, 1, histogram=False), ss.moments(A, histogram=False))


@pytest.mark.parametrize("pieces", [2, 7])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries_in_pieces(name: str, pieces: int) -> None:
    numbers = adversary(name, np.random.default_rng(8), (131, 99))
    for dtype in (np.float64, np.float32, ml_dtypes.bfloat16):
        A = numbers.astype(dtype)
        exact = A.astype(np.longdouble)
        spread = float(exact.std())
        digits = 1e-13 if spread == 0 else 1e-13 * max(1.0, float(abs(exact.mean())) / spread)
        check(streamed(A, pieces, histogram=False), A, digits)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32), st.data())
def test_shapes_with_bad_entries(m: int, n: int, pieces: int, seed: int, data: Any) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n))
    for bad in (np.nan, np.inf, -np.inf, 0.0):
        A[rng.random((m, n)) < data.draw(st.sampled_from([0.0, 0.05, 0.5]))] = bad
    check(streamed(A, pieces), A)


def test_a_large_mean_costs_no_digits() -> None:
    """Powers about zero would; in rational arithmetic they do not."""
    noise = np.random.default_rng(3).standard_normal((500, 40))
    A = 1e6 + noise
    exact = A - 1e6
    seen = streamed(A, 11)
    assert seen.mean == pytest.approx(1e6 + exact.mean(), rel=1e-15)
    assert seen.std == pytest.approx(exact.std(), rel=1e-11)
    assert seen.kurtosis == pytest.approx(np.mean((exact - exact.mean()) ** 4) / exact.var() ** 2)


def test_columns_of_very_different_norms() -> None:
    A = np.random.default_rng(4).standard_normal((60, 8)) * 10.0 ** np.arange(-60, 20, 10)
    norms = streamed(A, 5).column_norms
    np.testing.assert_allclose(norms, np.linalg.norm(A, axis=0), rtol=1e-14)


def test_histograms_add_up_while_the_dtype_is_one() -> None:
    A = np.random.default_rng(5).standard_normal((40, 6)).astype(np.float16)
    np.testing.assert_array_equal(streamed(A, 4).histogram, ss.moments(A).histogram)
    halves = [MomentsAccumulator(6).update(half) for half in (A[:9], A[9:])]
    np.testing.assert_array_equal(
        halves[0].merge(halves[1]).result().histogram, ss.moments(A).histogram
    )
    for one, other in (
        (halves[0], MomentsAccumulator(6)),
        (MomentsAccumulator(6), halves[0]),
    ):
        np.testing.assert_array_equal(one.merge(other).result().histogram, ss.moments(A).histogram)
    wide = MomentsAccumulator(6).update(A.astype(np.float32))
    assert wide.result().histogram is None
    for one, other in ((halves[0], wide), (wide, halves[0])):
        assert one.merge(other).update(A).result().histogram is None
    other = MomentsAccumulator(6).update(A.astype(ml_dtypes.bfloat16)).update(A)
    assert other.result().histogram is None


def test_what_the_order_of_arrival_tells() -> None:
    A = np.ones((4, 3))
    bad = A.copy()
    bad[2, 1] = np.nan
    first, second = (MomentsAccumulator(3, row_norms=True).update(part) for part in (A, bad))
    merged = first.merge(second).result()
    assert merged.first_nonfinite == (6, 1)
    assert (merged.nan, merged.count) == (1, 23)
    np.testing.assert_allclose(merged.row_norms, np.sqrt([3, 3, 3, 3, 3, 3, 2, 3]))
    assert second.result().first_nonfinite == (2, 1)


def test_saved_with_everything(tmp_path: Path) -> None:
    A = np.random.default_rng(6).standard_normal((50, 7)).astype(ml_dtypes.bfloat16)
    A[3, 2] = np.inf
    held = MomentsAccumulator(7, row_norms=True).update(A[:20]).update(A[20:])
    held.save(tmp_path / "it")
    same(MomentsAccumulator.load(tmp_path / "it").result(), held.result())


def test_rows_without_norms() -> None:
    held = MomentsAccumulator(5).update(np.ones((4, 5)))
    assert held.result().row_norms is None
    with pytest.raises(ValueError, match="not kept; see MomentsAccumulator"):
        held.result().outlier_rows()
    assert len(held.result().outlier_columns()) == 0
    assert repr(held) == "MomentsAccumulator(4 rows x 5)"


def test_beyond_the_range_of_fourth_powers() -> None:
    A = np.random.default_rng(7).standard_normal((30, 4)) * 1e120
    seen, batch = streamed(A, 3), ss.moments(A)
    assert seen.std == pytest.approx(batch.std, rel=1e-13)
    assert seen.kurtosis == pytest.approx(batch.kurtosis, rel=1e-12)
    assert batch.kurtosis == pytest.approx(ss.moments(A * 1e-120).kurtosis, rel=1e-12)


def test_what_is_refused_changes_nothing() -> None:
    held = MomentsAccumulator(5, row_norms=True).update(np.arange(20.0).reshape(4, 5))
    before = moments_bits(held)
    with pytest.raises(ValueError, match="rows have 4 columns"):
        held.update(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"'row_norms': True.*'row_norms': False"):
        held.merge(MomentsAccumulator(5))
    held.update(np.ones((0, 5)))
    assert (moments_bits(held), held.rows) == (before, 4)
    with pytest.raises(ValueError, match="no rows yet"):
        MomentsAccumulator(5).result()
    with pytest.raises(ValueError, match="n_cols must be at least 1, not 0"):
        MomentsAccumulator(0)


@pytest.mark.parametrize("each", [5e153, 1e200, 1e-200])
def test_sums_of_squares_beyond_the_range(each: float) -> None:
    held = MomentsAccumulator(3)
    for _ in range(40):
        held.update(np.full((2, 3), each))
    assert held.result().fro_norm == pytest.approx(each * 240**0.5, rel=1e-14)


def test_the_threads_change_no_bit() -> None:
    A = np.random.default_rng(9).standard_normal((300, 50))
    one, three = (MomentsAccumulator(50).update(A, num_threads=t) for t in (1, 3))
    assert moments_bits(one) == moments_bits(three)
