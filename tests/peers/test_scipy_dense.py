# SPDX-License-Identifier: BSD-3-Clause
"""SciPy's tests of the interpolative and the dense SVD, for this API.

Written anew from what they check (SciPy 1.17, BSD-3-Clause); each test names the one it follows.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.errors import NonFiniteError
from tests.peers.checks import Truth, of_randomized, of_values, of_vectors, solved
from tests.peers.formulas import hilb

Array = NDArray[np.float64]

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
METHODS = pytest.mark.parametrize("method", ["auto", "krylov", "gram"])


# --------------------------------------------------------- linalg, tests/test_interpolative.py


@pytest.mark.parametrize("passes", [1, 2, 4])
def test_hilbert_to_its_numerical_rank(passes: int) -> None:
    """TestInterpolativeDecomposition.test_svd_fixed_rank, test_id_to_svd: order 300, rank 20."""
    A = hilb(300)
    truth = Truth.of(A)
    k = int(np.sum(truth.sigma >= 1e-12))
    result = ss.randomized_svd(A, k, passes=passes)
    problems = of_randomized(result, truth)
    assert not problems, "\n".join(problems)
    assert result.U is not None
    if passes > 1:
        assert_allclose((result.U * result.s) @ result.Vt, A, atol=1e-8)


def test_norm_of_a_matrix_and_of_a_difference() -> None:
    """test_estimate_spectral_norm and _diff: the difference is not formed."""
    A = hilb(300)
    B = A.copy()
    B[:, 0] *= 1.2
    assert_allclose(ss.svds(A, 1, tol=1e-8).s, np.linalg.norm(A, 2), rtol=1e-6)
    difference = ss.matrix(A) - ss.matrix(B)
    assert_allclose(ss.svds(difference, 1, tol=1e-8).s, np.linalg.norm(A - B, 2), rtol=1e-6)


def test_numerical_rank() -> None:
    """test_rank_estimates_array, with the rank from all values instead of an estimate."""
    for A in (hilb(300), np.array([[1.0, 1, 0], [0, 0, 1], [0, 0, 1]])):
        every = ss.svdvals(A)
        at = 1e-6 * np.linalg.norm(A, 2)
        assert np.sum(every.values > at) == np.linalg.matrix_rank(A, at)


def test_input_is_left_alone() -> None:
    """test_bug_9793."""
    A = np.repeat(np.eye(2), 3, axis=1) - 2.0
    B = A.copy()
    for function in (ss.svds, ss.randomized_svd):
        function(A, 2)
        function(A.T, 2)
    ss.svdvals(A)
    assert_array_equal(A, B)


@pytest.mark.parametrize(("m", "n", "k"), [(7, 5, 3), (4, 9, 2)])
def test_shapes(m: int, n: int, k: int) -> None:
    """test_svd_aslinearoperator_shape_check, test_full_rank and test_rank_too_large."""
    A = np.random.default_rng(1744580941832515).uniform(size=(m, n))
    U, s, Vt = ss.randomized_svd(A, k)
    assert U is not None
    assert Vt is not None
    assert s is not None
    assert (U.shape, s.shape, Vt.shape) == ((m, k), (k,), (k, n))
    whole = ss.randomized_svd(A, min(m, n))
    problems = of_randomized(whole, Truth.of(A))
    assert not problems, "\n".join(problems)
    assert whole.converged
    with pytest.raises(ValueError, match="k = 10"):
        ss.randomized_svd(A, 10)


# ----------------------------------------------------------------- linalg, tests/test_decomp.py

SIMPLE = {
    "simple": [[1, 2, 3], [1, 20, 3], [2, 5, 6.0]],
    "singular": [[1, 2, 3], [1, 2, 3], [2, 5, 6.0]],
    "underdetermined": [[1, 2, 3], [4, 5, 6.0]],
    "overdetermined": [[1, 2], [4, 5], [3, 4.0]],
    "B-spline": [[1 / 6, 2 / 3, 1 / 6, 0, 0], [0, 1 / 6, 2 / 3, 1 / 6, 0], [0, 0, 1 / 6, 2 / 3, 1]],
    "random": np.random.RandomState(1234).random_sample((20, 15)).tolist(),
    "random, wide": np.random.RandomState(1234).random_sample((15, 20)).tolist(),
}


@DTYPES
@METHODS
@pytest.mark.parametrize("name", list(SIMPLE))
def test_small_dense(name: str, method: str, dtype: str) -> None:
    """TestSVD_GESDD.test_simple, _singular, _underdet, _overdet, test_random, test_gh_5039, and
    TestSVDVals.test_simple and its kin: A = U diag(s) Vt with all of the values."""
    A = np.array(SIMPLE[name], dtype=dtype)
    result = solved(A, min(A.shape), tol=1e-5, method=method)
    assert result.U is not None
    assert_allclose((result.U * result.s) @ result.Vt, A, atol=1e-4)
    every = ss.svdvals(A)
    assert len(every) == min(A.shape)
    assert not of_values(every.values, every.errors, Truth.of(A))


@DTYPES
@pytest.mark.parametrize("shape", [(13, 23), (30, 50), (60, 100)])
def test_no_crash(shape: tuple[int, int], dtype: str) -> None:
    """TestSVD_GESDD.test_crash_1580."""
    A = np.random.RandomState(1234).rand(*shape).astype(dtype)
    solved(A, min(shape), tol=1e-4)


@DTYPES
@pytest.mark.parametrize("m", [0, 1, 2])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_shape_and_dtype(m: int, n: int, dtype: str) -> None:
    """TestSVD_GESDD.test_shape_dtype and test_empty: what is empty is refused."""
    A = np.zeros((m, n), dtype=dtype)
    if min(m, n) == 0:
        for refusing in (lambda: ss.svds(A, 1), lambda: ss.svdvals(A), lambda: ss.spectrum(A)):
            with pytest.raises(ValueError, match="has no singular values"):
                refusing()
        return
    result = solved(A, min(m, n))
    assert result.U is not None
    assert result.Vt is not None
    precision = {"mixed": "float32", "split": "float32"}.get(result.precision, result.precision)
    assert (result.U.dtype, result.Vt.dtype, result.s.dtype) == (precision, precision, "float64")
    krylov = ss.svds(A, min(m, n), method="krylov")
    assert krylov.U is not None
    assert krylov.U.dtype == dtype
    assert not of_vectors(ss.randomized_svd(A, min(m, n)), Truth.of(A))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    """test_gesdd_nan_error_message, test_check_finite."""
    A = np.eye(3)
    A[1, 2] = bad
    for function in (ss.svds, ss.randomized_svd):
        with pytest.raises(NonFiniteError, match=r"\(1, 2\)"):
            function(A, 1)
    with warnings.catch_warnings(), pytest.raises(NonFiniteError, match=r"\(1, 2\)"):
        ss.svdvals(A)
