# SPDX-License-Identifier: BSD-3-Clause
"""Matrices: lazy views, sums and shards, and their products, against NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks

import sigmascope as ss

A = np.random.default_rng(0).standard_normal((60, 40))

# -------------------------------------------------------------------------------- views


def test_slices() -> None:
    a = ss.matrix(A)
    keys: list[Any] = [
        np.s_[10:20],
        np.s_[:, :7],
        np.s_[-5:, -9:-2],
        np.s_[5:5],
        np.s_[9:2, 3:],
        np.s_[:1000, 38:1000],
        np.s_[10:20,],
        np.s_[::2],
        np.s_[3::7, :-1:5],
        np.s_[:, 39 :: 10**18],
        np.s_[:: 2**62, ::3],
        (),
        ...,
        np.s_[..., :7],
        np.s_[3:, ...],
    ]
    for key in keys:
        np.testing.assert_array_equal(np.asarray(a[key]), A[key])
    np.testing.assert_array_equal(
        np.asarray(a[5:50][3:20].T[2:9][:, 4:]), A[5:50][3:20].T[2:9][:, 4:]
    )
    grid = ss.block([[a[:7, :9], a[:7, 9:]], [a[7:, :30], a[7:, 30:]]])
    np.testing.assert_array_equal(
        np.asarray(grid[1::4, 2::3].T[::2][1:, ::5]), A[1::4, 2::3].T[::2][1:, ::5]
    )


def test_rows_columns_and_elements_are_numbers() -> None:
    for array in (A, A.astype(np.float32), np.asfortranarray(A)):
        a = ss.matrix(array)
        for key in (0, -1, np.int8(7), np.array(3), np.s_[5, ::3], np.s_[:, 2], np.s_[1:4, -1]):
            values = a[key]
            assert type(values) is np.ndarray
            assert values.dtype == array.dtype
            np.testing.assert_array_equal(values, array[key])
        assert a[3, -2] == array[3, -2]
        assert np.ndim(a[3, -2]) == 0
    assert len(a) == 60
    assert [row[0] for row in a] == A[:, 0].tolist()


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (60, IndexError, r"row 60 is out of range: the matrix has 60 rows"),
        (np.s_[:, -41], IndexError, r"column -41 is out of range: the matrix has 40 columns"),
        (np.s_[..., 1, 1, 1], IndexError, r"2 dimensions, not 3"),
        (1.0, TypeError, r"integers and slices, not by a float"),
        (True, TypeError, r"not by booleans\. ss\.vstack"),
        (np.True_, TypeError, r"not by booleans"),
        (np.ones(60, bool), TypeError, r"not by booleans.*np\.asarray\(A\)\[key\]"),
        (np.array([1, 2]), TypeError, r"not by an array or a list"),
        (None, TypeError, r"not by None: it always has two axes"),
        (np.s_[:, ::-1], ValueError, r"positive step, not -1"),
        (np.s_[:, :, :], IndexError, r"2 dimensions, not 3"),
        ([1, 2], TypeError, r"not by an array or a list"),
    ],
)
def test_invalid_slices_are_refused(key: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ss.matrix(A)[key]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda a: a + a.T, ValueError, r"shapes \(60, 40\) and \(40, 60\)"),
        (lambda a: a - a[1:], ValueError, r"shapes \(60, 40\) and \(59, 40\)"),
        (lambda a: a + 1, TypeError, r"not to 1; ss\.matrix\(np\.broadcast_to"),
        (lambda a: 1 - a, TypeError, r"not to 1; "),
        (lambda a: a - A[1:], ValueError, r"shapes \(60, 40\) and \(59, 40\)"),
        (lambda a: a + A[0], ValueError, r"2 dimensions"),
        (lambda a: a + np.ones((60, 40), complex), TypeError, r"complex"),
        (lambda a: np.sqrt(a), TypeError, r"does not support ufuncs"),
        (lambda a: a * a, TypeError, r"unsupported"),
        (lambda a: a * np.nan, ValueError, r"finite number, not by nan"),
        (lambda a: a * np.inf, ValueError, r"finite number, not by inf"),
        (lambda a: a / 0, ZeroDivisionError, r"division"),
        (lambda a: np.ones(40) @ a, ValueError, r"an array \(40,\) by a matrix \(60, 40\)"),
        (lambda a: np.ones(60, complex) @ a, TypeError, r"real arrays"),
        (lambda a: a @ np.ones(41), ValueError, r"\(60, 40\) by an array \(41,\)"),
        (lambda a: a @ np.ones((40, 2, 2)), ValueError, r"\(60, 40\) by an array \(40, 2, 2\)"),
        (lambda a: a @ 3.0, ValueError, r"\(60, 40\) by an array \(\)"),
        (lambda a: a @ np.ones(40, complex), TypeError, r"real arrays"),
    ],
)
def test_what_cannot_be_done(
    act: Callable[[ss.Matrix], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(ss.matrix(A))


# -------------------------------------------------------------------------------- sums


def test_numpys_scalars_multiply() -> None:
    a = ss.matrix(A)
    for half in (0.5 * a, np.float64(0.5) * a, a * np.float32(0.5), a / 2):
        assert isinstance(half, ss.Matrix)
        np.testing.assert_array_equal(np.asarray(half), A / 2)


def test_differences_of_bf16_are_exact_in_float32() -> None:
    """A fine-tuning step: a thousandth of the weights, each pair of like exponents."""
    rng = np.random.default_rng(2)
    before = rng.standard_normal((200, 150)).astype(ml_dtypes.bfloat16)
    after = (before.astype(np.float64) * (1 + 0.02 * rng.standard_normal(before.shape))).astype(
        ml_dtypes.bfloat16
    )
    exact = after.astype(np.float64) - before.astype(np.float64)
    assert np.count_nonzero(exact) > 1000
    delta = ss.matrix(after) - ss.matrix(before)
    np.testing.assert_array_equal(np.asarray(delta), exact)
    np.testing.assert_array_equal(np.asarray(delta.T[3:140, 7:]), exact.T[3:140, 7:])
    assert delta.storage == "bf16"
    assert delta.nbytes == 2 * before.nbytes


def test_a_small_difference_keeps_its_spectrum() -> None:
    """sigma(A - B) is accurate to its own size, not to A's: tiles are summed before products."""
    rng = np.random.default_rng(3)
    base = rng.standard_normal((120, 90)).astype(np.float32)
    change = (1e-4 * rng.standard_normal((120, 2)) @ rng.standard_normal((2, 90))).astype(
        np.float32
    )
    after = base + change
    exact = np.linalg.svd(after.astype(np.float64) - base.astype(np.float64), compute_uv=False)
    result = ss.svds(ss.matrix(after) - ss.matrix(base), 5, tol=1e-6, method="krylov")
    assert np.all(np.abs(result.s - exact[:5]) <= result.errors)
    assert result.errors.max() < 1e-5 * exact[0]


def test_sums_multiples_and_overlaps_against_numpy() -> None:
    rng = np.random.default_rng(4)
    A, B = rng.integers(-99, 99, (2, 40, 30)).astype(np.float32)  # every sum is exact
    a, b = ss.matrix(A), ss.matrix(np.asfortranarray(B))
    cases = [
        (a + b, A + B),
        (a - b, A - B),
        (-a, -A),
        (0.25 * a - 2 * b, 0.25 * A - 2 * B),
        (a / 4 + b * np.float32(0.5), A / 4 + B / 2),
        ((a + b + a)[5:30].T, (2 * A + B)[5:30].T),
        (
            ss.vstack([a[:13], b[13:]]) + ss.hstack([b[:, :7], a[:, 7:]]),
            np.vstack([A[:13], B[13:]]) + np.hstack([B[:, :7], A[:, 7:]]),
        ),
        (a - a, 0 * A),
    ]
    for lazy, exact in cases:
        np.testing.assert_array_equal(np.asarray(lazy), exact)
        np.testing.assert_array_equal(np.asarray(lazy, np.float64), exact)
        np.testing.assert_array_equal(lazy @ np.eye(exact.shape[1]), exact)


def test_sums_with_arrays() -> None:
    a, B = ss.matrix(A), np.linspace(-1, 1, A.size).reshape(A.shape)
    for result, expected in ((a + B, A + B), (B + a, B + A), (a - B, A - B), (B - a, B - A)):
        assert isinstance(result, ss.Matrix)
        np.testing.assert_array_equal(np.asarray(result), expected)
    ones = ss.matrix(np.broadcast_to(np.float64(1), A.shape))
    np.testing.assert_array_equal(np.asarray(a + ones), A + 1)


def test_sums_of_mixed_dtypes_are_float64_if_any_is() -> None:
    half, double = np.full((3, 4), 0.5, np.float16), np.full((3, 4), 1e-12)
    mixed = ss.matrix(half) + ss.matrix(double)
    assert (mixed.storage, mixed.dtype, mixed.precision) == ("mixed", np.float64, "float64")
    np.testing.assert_array_equal(np.asarray(mixed), 0.5 + 1e-12)


# -------------------------------------------------------------------------------- shards


@st.composite
def grids(draw: st.DrawFn) -> list[list[NDArray[Any]]]:
    heights = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
    widths = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = st.sampled_from([np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
    return [
        [
            rng.integers(-8, 8, (h, w)).astype(draw(kinds), order=draw(st.sampled_from("CF")))
            for w in widths
        ]
        for h in heights
    ]


@settings(max_examples=60, deadline=None)
@given(grids())
def test_block_is_numpys(parts: list[list[NDArray[Any]]]) -> None:
    exact = np.block([[part.astype(np.float64) for part in row] for row in parts])
    for joined in (ss.block(parts), ss.vstack([ss.hstack(row) for row in parts])):
        assert joined.shape == exact.shape
        np.testing.assert_array_equal(np.asarray(joined, np.float64), exact)
        np.testing.assert_array_equal(np.asarray(joined.T, np.float64), exact.T)
    assert joined.nbytes == sum(part.nbytes for row in parts for part in row)


def test_rows_of_shards_may_be_cut_at_different_columns() -> None:
    joined = ss.block([[A[:20, :13], A[:20, 13:]], [A[20:, :30], A[20:, 30:]]])
    np.testing.assert_array_equal(np.asarray(joined), A)
    assert joined.storage == "f64"
    assert ss.hstack([A, A.astype(np.float32)]).storage == "mixed"


@pytest.mark.parametrize(
    ("join", "message"),
    [
        (lambda: ss.hstack([A, A.T]), r"height 60 and 40"),
        (lambda: ss.vstack([A, A[:, 1:]]), r"width 40 and 39"),
        (lambda: ss.block([[A, A[1:]]]), r"height 60 and 59"),
        (lambda: ss.block([[A, A], [A]]), r"width 80 and 40"),
        (lambda: ss.hstack([]), "there are no matrices to join"),
        (lambda: ss.vstack([]), "there are no matrices to join"),
        (lambda: ss.block([]), r"at least one matrix in every row"),
        (lambda: ss.block([[A], []]), r"at least one matrix in every row"),
        (lambda: ss.block(A.tolist()), r"2 dimensions"),
    ],
)
def test_shards_that_do_not_fit(join: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        join()


# -------------------------------------------------------------------------------- products


def test_products_with_vectors_and_blocks() -> None:
    a = ss.matrix(A)
    x, X, y = np.linspace(-1, 1, 40), np.eye(40, 3), np.linspace(0, 1, 60)
    assert (a @ x).shape == (60,)
    np.testing.assert_allclose(a @ x, A @ x, atol=1e-14)
    np.testing.assert_allclose(a.T @ y, A.T @ y, atol=1e-14)
    np.testing.assert_array_equal(a @ X, A[:, :3])
    np.testing.assert_array_equal(a @ np.eye(40, 3, dtype=int), A[:, :3])
    single = ss.matrix(A.astype(np.float32))
    assert (single @ x.astype(np.float32)).dtype == np.float32
    assert (single @ x).dtype == np.float64
    assert (a @ x.astype(np.float32)).dtype == np.float64
    assert (a @ np.ones((40, 0))).shape == (60, 0)
    np.testing.assert_allclose(y @ a, y @ A, atol=1e-14)
    np.testing.assert_allclose(np.outer([1, 2], y) @ a, np.outer([1, 2], y) @ A, atol=1e-13)
    assert (y.astype(np.float32) @ single).dtype == np.float32
    one, five = (ss.multiply(single, X, num_threads=threads) for threads in (1, 5))
    assert one.tobytes() == five.tobytes()


def test_other_libraries_take_decoded_numbers() -> None:
    a = ss.matrix(A.astype(np.float32))[:, ::2]
    np.testing.assert_array_equal(np.from_dlpack(a), A.astype(np.float32)[:, ::2])


def test_a_linear_operator_of_scipy() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    numbers, sigma = ks.polynomial(90, 70)
    operator = ss.aslinearoperator(numbers)
    assert operator.shape == (90, 70)
    assert operator.dtype == np.float64
    rng = np.random.default_rng(1)
    x, y, X, Y = (rng.standard_normal(shape) for shape in (70, 90, (70, 4), (90, 4)))
    assert y @ (operator @ x) == pytest.approx((operator.H @ y) @ x, rel=1e-12)
    np.testing.assert_allclose(operator @ X, numbers @ X, atol=1e-13)
    np.testing.assert_allclose(operator.rmatmat(Y), numbers.T @ Y, atol=1e-13)
    np.testing.assert_allclose(operator.T @ y, numbers.T @ y, atol=1e-13)
    result = linalg.svds(operator, k=5, rng=np.random.default_rng(0), return_singular_vectors=False)
    np.testing.assert_allclose(np.sort(result)[::-1], sigma[:5], rtol=1e-10)
    half = ss.aslinearoperator(numbers.astype(np.float16))
    np.testing.assert_allclose(half @ x, numbers.astype(np.float16).astype(float) @ x, atol=1e-13)
