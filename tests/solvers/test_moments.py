# SPDX-License-Identifier: BSD-3-Clause
"""moments: every field against NumPy and SciPy in float64, and the same bits however it is run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.support.coverings import grid
from tests.support.moments import ADVERSARIES, adversary, check

import sigmascope as ss
from sigmascope.results import Moments

FAMILIES = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "one-sided, heavy tail": lambda rng, shape: rng.lognormal(0, 1.5, shape),
    "sparse": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.1),
    "integers": lambda rng, shape: rng.integers(-3, 4, shape).astype(float),
    "tiny": lambda rng, shape: 1e-30 * rng.standard_normal(shape),
    "huge": lambda rng, shape: 1e30 * rng.standard_normal(shape),
}


@grid(family=list(FAMILIES), shape=[(97, 1300), (1, 5000), (5000, 1), (1, 1), (700, 33)])
def test_against_numpy(family: str, shape: tuple[int, int]) -> None:
    A = FAMILIES[family](np.random.default_rng(1), shape)
    check(ss.moments(A), A)
    check(ss.moments(A.astype(np.float32)), A.astype(np.float32))
    check(ss.moments(A.T), A.T)


def test_against_scipy() -> None:
    A = np.random.default_rng(2).gamma(2.0, size=(300, 200))
    seen = ss.moments(A)
    assert seen.skewness == pytest.approx(stats.skew(A, axis=None), rel=1e-12)
    assert seen.kurtosis == pytest.approx(stats.kurtosis(A, axis=None, fisher=False), rel=1e-12)
    assert seen.passes == 1
    assert seen.seconds >= 0
    assert "300 x 200" in repr(seen)


def test_a_large_mean_costs_no_digits() -> None:
    """1e6 + N(0, 1): the sums of squares alone would leave 4 digits of the variance."""
    noise = np.random.default_rng(3).standard_normal((500, 400))
    A = 1e6 + noise
    seen = ss.moments(A)
    exact = A - 1e6  # exact: Sterbenz
    assert seen.mean == pytest.approx(1e6 + exact.mean(), rel=1e-15)
    assert seen.std == pytest.approx(exact.std(), rel=1e-11)
    assert seen.skewness == pytest.approx(stats.skew(exact, axis=None), abs=1e-9)
    assert seen.kurtosis == pytest.approx(stats.kurtosis(exact, axis=None, fisher=False), rel=1e-9)


@grid(name=ADVERSARIES, shape=[(1, 1), (7, 31), (67, 4099), (5, 9001)])
@pytest.mark.unsanitized
def test_adversaries(name: str, shape: tuple[int, int]) -> None:
    """Stored in any format; what is stored is exact, so the mean alone costs a digit or two."""
    numbers = adversary(name, np.random.default_rng(8), shape)
    dtypes = (np.float64, ml_dtypes.bfloat16, np.float32, np.float16)
    for dtype in dtypes if numbers.size < 100_000 else dtypes[:2]:
        with np.errstate(over="ignore"):
            A = numbers.astype(dtype)
        if not np.isfinite(A.astype(np.float64)).all():
            continue  # too large for float16
        seen = ss.moments(A, histogram=False)
        exact = A.astype(np.longdouble)
        spread = float(exact.std())
        digits = 1e-13 if spread == 0 else 1e-13 * max(1.0, float(abs(exact.mean())) / spread)
        check(seen, A, digits)
        assert not np.signbit(seen.min) or seen.min < 0
        assert not np.signbit(seen.max) or seen.max < 0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.float16])
def test_same_bits_for_narrow_formats(dtype: Any, transposed: bool) -> None:
    """Numbers that are widened on the way give the bits of numbers that were stored wide."""
    A = np.random.default_rng(9).standard_normal((133, 4201)).astype(dtype)
    if transposed:
        A = np.asfortranarray(A)
    expected = bits(ss.moments(A.astype(np.float32)))
    assert bits(ss.moments(A)) == expected
    assert bits(ss.moments(A.astype(np.float64))) == expected
    assert bits(ss.moments(ss.vstack([A[:60], A[60:].astype(np.float64)]))) == expected


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_nan_anywhere_in_long_rows(dtype: Any) -> None:
    """Each row of a pair, first and last of a stretch, in the rest of a vector."""
    clean = np.random.default_rng(10).standard_normal((6, 4300)).astype(dtype)
    for row, column in [(0, 0), (1, 4095), (2, 4096), (3, 4299), (5, 4298)]:
        A = clean.copy()
        A[row, column] = np.nan
        A[row, 17] = -np.inf
        check(ss.moments(A), A)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.sampled_from(["f64", "f32", "f16", "bf16", "f8_e5m2"]),
    st.integers(0, 2**32),
    st.floats(0, 1),
)
def test_nan_infinity_and_zeros(
    shape: tuple[int, int], dtype: str, seed: int, share: float
) -> None:
    """Counted and located, and left out of everything else; up to all entries."""
    kinds: dict[str, Any] = {
        "f64": np.float64,
        "f32": np.float32,
        "f16": np.float16,
        "bf16": ml_dtypes.bfloat16,
        "f8_e5m2": ml_dtypes.float8_e5m2,
    }
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape)
    spoilt = rng.random(shape) < share * rng.random()
    A[spoilt] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], spoilt.sum())
    check(ss.moments(A.astype(kinds[dtype])), A.astype(kinds[dtype]))


@pytest.mark.parametrize("small", [1.0, 1e-30, 1e-44])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_rows_of_narrow_formats_joined_to_huge_numbers(dtype: Any, small: float) -> None:
    """Their squares underflow in the units of the others."""
    narrow, huge = np.full((2, 3), small).astype(dtype), np.full((2, 3), 1e300)
    if not narrow.any():
        return  # bfloat16 has no such number
    numbers = np.vstack([narrow.astype(np.float64), huge])
    np.testing.assert_allclose(
        ss.moments(ss.vstack([narrow, huge])).row_norms, np.sqrt(3) * numbers[:, 0], rtol=1e-15
    )


def test_first_nonfinite_is_first_in_row_order() -> None:
    A = np.zeros((3000, 5))
    for place in [(2999, 0), (1500, 4), (1500, 2), (7, 3)]:
        A[place] = np.nan if place[1] % 2 else -np.inf
        seen = ss.moments(A, num_threads=5, panel_rows=64)
        assert seen.first_nonfinite == place
    assert (seen.nan, seen.inf) == (1, 3)
    assert "1 NaN, 3 Inf" in repr(seen)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
)
def test_code_histogram(dtype: Any, transposed: bool) -> None:
    """Exact for every code, in any layout."""
    rng = np.random.default_rng(4)
    wide = np.dtype(dtype).itemsize == 2
    codes = rng.integers(0, 65536 if wide else 256, (301, 277)).astype(
        np.uint16 if wide else np.uint8
    )
    A = codes.view(dtype)
    counts = np.bincount(codes.ravel(), minlength=65536 if wide else 256)
    source = ss.matrix(A).T if transposed else ss.matrix(np.asfortranarray(A))
    for a in (source, ss.vstack([source[:100], source[100:]])):
        seen = ss.moments(a, num_threads=3)
        assert seen.histogram is not None
        np.testing.assert_array_equal(seen.histogram, counts)
    assert ss.moments(source, histogram=False).histogram is None
    cut = ss.moments(source[10:20, 5:9]).histogram
    assert cut is not None
    part = codes.T[10:20, 5:9] if transposed else codes[10:20, 5:9]
    np.testing.assert_array_equal(cut, np.bincount(part.ravel(), minlength=len(counts)))


def test_no_histogram_of_wide_or_mixed_dtypes() -> None:
    half = np.ones((4, 3), np.float16)
    assert ss.moments(half.astype(np.float32)).histogram is None
    assert ss.moments(ss.vstack([half, half.astype(ml_dtypes.bfloat16)])).histogram is None


def bits(seen: Moments) -> list[bytes]:
    numbers = (seen.mean, seen.std, seen.skewness, seen.kurtosis, seen.fro_norm, seen.min, seen.max)
    return [np.array(numbers).tobytes(), seen.row_norms.tobytes(), seen.column_norms.tobytes()]


@pytest.mark.parametrize("shape", [(613, 2500), (1, 3000), (3000, 1), (262, 9003), (3, 4096)])
def test_same_bits_for_threads_panels_and_files(shape: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    A = rng.standard_normal(shape).astype(ml_dtypes.bfloat16).astype(np.float32)
    A[0, 0] = np.nan
    expected = bits(ss.moments(A, num_threads=1))
    for threads in (1, 2, 5):
        for panel in (7, 64, 300):
            assert bits(ss.moments(A, num_threads=threads, panel_rows=panel)) == expected
    np.save(tmp_path / "a.npy", A)
    m, n = (extent // 2 for extent in shape)
    shards = ss.block(
        [
            [A[:m, :n].astype(ml_dtypes.bfloat16), A[:m, n:]],
            [np.asfortranarray(A[m:, :n]), A[m:, n:].astype(np.float64)],
        ]
    )
    for source in (ss.matrix(tmp_path / "a.npy"), shards, np.asfortranarray(A)):
        assert bits(ss.moments(source, memory_limit=10**6)) == expected


def test_sums_and_differences_are_taken_first() -> None:
    rng = np.random.default_rng(6)
    A = rng.standard_normal((200, 100)).astype(ml_dtypes.bfloat16)
    B = (A.astype(float) * (1 + 0.01 * rng.standard_normal(A.shape))).astype(ml_dtypes.bfloat16)
    check(ss.moments(ss.matrix(A) - ss.matrix(B)), A.astype(float) - B.astype(float))


def test_beyond_the_range_of_fourth_powers() -> None:
    """And of squares: what is computed is that of the matrix times a power of two."""
    A = np.array([[1.0, 2.0, -5.0], [3.0, 0.0, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny, huge = ss.moments(1e-90 * A), ss.moments(2.0**660 * A)
    assert tiny.std == pytest.approx(1e-90 * A.std(), rel=1e-13, abs=0)
    assert tiny.fro_norm == pytest.approx(1e-90 * np.linalg.norm(A), rel=1e-13, abs=0)
    plain = ss.moments(A)
    assert tiny.kurtosis == pytest.approx(plain.kurtosis, rel=1e-12)
    assert (huge.min, huge.max, huge.zeros, huge.count) == (-5 * 2.0**660, 3 * 2.0**660, 1, 6)
    assert huge.mean == pytest.approx(2.0**660 * A.mean())
    assert huge.row_norms is not None
    assert plain.row_norms is not None
    np.testing.assert_array_equal(huge.row_norms, 2.0**660 * plain.row_norms)
    np.testing.assert_array_equal(huge.column_norms, 2.0**660 * plain.column_norms)
    assert huge.fro_norm == 2.0**660 * plain.fro_norm
    assert (huge.kurtosis, huge.passes, plain.passes) == (plain.kurtosis, 2, 1)


@pytest.mark.parametrize("sign", [1, -1], ids=["positive", "negative"])
def test_one_huge_entry_of_either_sign(sign: int) -> None:
    seen = ss.moments([[sign * 1e200, 1.0], [2.0, 3.0]])
    assert seen.row_norms is not None
    assert (seen.fro_norm, seen.abs_max, seen.row_norms[0]) == (1e200, 1e200, 1e200)
    assert seen.row_norms[1] == pytest.approx(13**0.5)
    assert (seen.mean, seen.std) == pytest.approx((sign * 2.5e199, 1e200 * 3**0.5 / 4))


def test_outliers_are_found_by_their_norms() -> None:
    A = np.random.default_rng(7).standard_normal((400, 300))
    A[17] *= 4
    np.testing.assert_array_equal(ss.moments(A).outlier_rows(), [17])
    np.testing.assert_array_equal(ss.moments(A.T).outlier_columns(), [17])
    A[:, [3, 250]] *= 5
    np.testing.assert_array_equal(ss.moments(A).outlier_columns(20.0), [3, 250])
    assert len(ss.moments(A).outlier_rows(threshold=1e9)) == 0
