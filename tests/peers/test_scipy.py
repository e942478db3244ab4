# SPDX-License-Identifier: BSD-3-Clause
"""SciPy's tests of svds, PROPACK, the interpolative SVD and the dense SVD, for this API.

Written anew from what they check (SciPy 1.17, BSD-3-Clause); each test names the one it follows.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import sigmascope as ss
from peers.checks import Truth, called, of_randomized, of_svds, of_values, of_vectors
from peers.formulas import hilb

Array = NDArray[np.float64]

A1 = np.array([[1, 2, 3], [3, 4, 3], [1, 0, 2], [0, 0, 1.0]])
A2 = np.array([[1, 2, 3, 8], [3, 4, 3, 5], [1, 0, 2, 3], [0, 0, 1.0, 0]])

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
METHODS = pytest.mark.parametrize("method", ["auto", "krylov", "gram"])


def solved(A: NDArray[np.floating], k: int, tol: float = 1e-6, **options: Any) -> ss.SVD:
    """svds with every check that an answer has to pass."""
    truth = Truth.of(A)
    result, warned = called(ss.svds, A, k, tol=tol, **options)
    problems = of_svds(result, truth, tol, warned, must=True)
    assert not problems, "\n".join(problems)
    assert isinstance(result, ss.SVD)
    assert len(result.s) == k
    assert result.U is None or result.U.shape == (A.shape[0], k)
    assert result.Vt is None or result.Vt.shape == (k, A.shape[1])
    return result


# ---------------------------------------------------------------- sparse.linalg, tests/test_svds.py


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (np.asarray([[]]), ValueError, "has no singular values"),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), TypeError, "matrix of object"),
        (np.asarray([[[1.0, 2.0], [3.0, 4.0]]]), ValueError, "2 dimensions"),
        ("hi", FileNotFoundError, "hi"),
    ],
)
def test_what_is_no_matrix_is_refused(A: Any, error: type[Exception], message: str) -> None:
    """test_svds_input_validation_A."""
    with pytest.raises(error, match=message):
        ss.svds(A, 1)


def test_integers() -> None:
    """test_svds_int_A: an array of integers is refused, with what to do; a list of them is read."""
    A = np.asarray([[1, 2], [3, 4]])
    with pytest.raises(TypeError, match=r"astype\(float\)"):
        ss.svds(A, 1)
    expected = solved(A.astype(float), 1).s
    assert_array_equal(ss.svds(A.tolist(), 1, tol=1e-6).s, expected)


def test_difference_operator() -> None:
    """test_svds_diff0_docstring_example, from its other end: values and vectors in closed form."""
    n, k = 100, 3
    result = solved(np.diff(np.eye(n), axis=0), k, tol=1e-9)
    j = np.arange(n - 1, n - 1 - k, -1)
    assert_allclose(result.s, 2.0 * np.sin(np.pi * j / (2 * n)), rtol=1e-12)
    sines = np.sqrt(2 / n) * np.sin(np.pi * np.outer(np.arange(1, n), j) / n)
    assert result.U is not None
    assert_allclose(np.abs(result.U), np.abs(sines), atol=1e-6)


@pytest.mark.parametrize("k", [-1, 0, 4, 5])
def test_k_out_of_range(k: int) -> None:
    """test_svds_input_validation_k_1; k = min(m, n) is no error here."""
    A = np.random.default_rng(0).random((4, 3))
    for function in (ss.svds, ss.randomized_svd):
        with pytest.raises(ValueError, match=r"k = -?\d must be between 1 and min\(m, n\) = 3"):
            function(A, k)
    solved(A, 3)


@pytest.mark.parametrize("k", [1.5, "1", [], "hi"])
def test_k_of_no_whole_number(k: Any) -> None:
    """test_svds_input_validation_k_1 and k_2."""
    for function in (ss.svds, ss.randomized_svd):
        with pytest.raises(TypeError):
            function(np.eye(10), k)


@pytest.mark.parametrize("tol", [-1, 0, np.inf, np.nan])
def test_tolerance_out_of_range(tol: float) -> None:
    """test_svds_input_validation_tol_1; 0, which is SciPy's word for its default, is refused."""
    with pytest.raises(ValueError, match="tol must be positive"):
        ss.svds(np.eye(10), 3, tol=tol)


@pytest.mark.parametrize("tol", [[], "hi"])
def test_tolerance_of_no_number(tol: Any) -> None:
    """test_svds_input_validation_tol_2."""
    with pytest.raises(TypeError):
        ss.svds(np.eye(10), 3, tol=tol)


@pytest.mark.parametrize("steps", [-1, 0])
def test_steps_and_blocks_out_of_range(steps: int) -> None:
    """test_svds_input_validation_maxiter_1 and, of the block, ncv_1."""
    with pytest.raises(ValueError, match="max_passes must be positive"):
        ss.svds(np.eye(10), 3, max_passes=steps)
    with pytest.raises(ValueError, match="block must be at least 1"):
        ss.svds(np.eye(10), 3, block=steps)
    with pytest.raises(ValueError, match="passes must be positive"):
        ss.randomized_svd(np.eye(10), 3, passes=steps)


@pytest.mark.parametrize("steps", [5.5, [], "hi"])
@pytest.mark.parametrize("name", ["max_passes", "block"])
def test_steps_and_blocks_of_no_whole_number(name: str, steps: Any) -> None:
    """test_svds_input_validation_maxiter_1 and _2, ncv_1 and _2."""
    with pytest.raises((TypeError, ValueError)):
        ss.svds(np.eye(10), 3, **{name: steps}, method="krylov")


@pytest.mark.parametrize("method", ["ekki", object])
def test_unknown_method(method: Any) -> None:
    """Test_SVDS_once.test_svds_input_validation_solver."""
    with pytest.raises(ValueError, match="method is"):
        ss.svds(np.ones((3, 4)), 2, method=method)


@METHODS
@pytest.mark.parametrize("k", [3, 5])
def test_k_largest(k: int, method: str) -> None:
    """test_svds_parameter_k_which, of the largest."""
    solved(np.random.default_rng(0).random((10, 10)), k, tol=1e-9, method=method)


def test_tolerance_is_kept() -> None:
    """test_svds_parameter_tol: errors within each tolerance, and smaller for a smaller one."""
    A = np.random.default_rng(0).random((100, 100))
    A[A > 0.1] = 0
    A = A @ A.T
    sigma = np.linalg.svd(A, compute_uv=False)[:3]
    passes = []
    for tol in (1e-1, 1e-4, 1e-10):
        result = solved(A, 3, tol=tol, method="krylov", block=3, vectors=False)
        assert np.abs(result.s - sigma).max() <= tol * sigma[0]
        passes.append(result.passes)
    assert passes == sorted(passes)
    assert passes[0] < passes[-1]


def test_seeds() -> None:
    """test_svd_v0, test_svd_rng and _3: the same bits of one seed, the same answer of others."""
    A = np.random.default_rng(0).random((100, 100))
    first, again, other = (solved(A, 5, tol=1e-9, method="krylov", seed=s) for s in (0, 0, 1))
    for name in ("U", "s", "Vt"):
        assert_array_equal(getattr(first, name), getattr(again, name))
        assert_allclose(np.abs(getattr(first, name)), np.abs(getattr(other, name)), atol=2e-7)
        assert np.any(getattr(first, name) != getattr(other, name))


def test_too_few_steps_warn() -> None:
    """test_svd_maxiter: not converged after one step, and the bound holds all the same."""
    A = np.diag(np.arange(9.0))
    with pytest.warns(ss.ConvergenceWarning, match="did not converge"):
        early = ss.svds(A, 1, tol=1e-8, max_passes=1, block=1, method="krylov")
    assert not early.converged
    assert abs(early.s[0] - 8.0) <= early.errors[0]
    result = solved(A, 1, tol=1e-8)
    assert_allclose(result.s, 8.0, rtol=1e-9)
    assert result.U is not None
    assert_allclose(np.abs(result.U[:, 0]), np.eye(9)[8], atol=1e-8)


@METHODS
@pytest.mark.parametrize("shape", [(5, 7), (6, 6), (7, 5)])
def test_with_and_without_vectors(shape: tuple[int, int], method: str) -> None:
    """test_svd_return_singular_vectors, of True and False."""
    A = np.random.default_rng(0).random(shape)
    both = solved(A, 2, method=method)
    alone = solved(A, 2, method=method, vectors=False)
    assert alone.U is None
    assert alone.Vt is None
    assert_allclose(alone.s, both.s, rtol=1e-9)


@METHODS
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("k", range(1, 5))
@pytest.mark.parametrize("A", [A1, A2], ids=["A1", "A2"])
def test_simple(A: Array, k: int, transpose: bool, method: str) -> None:
    """test_svd_simple, of real arrays, in either order of storage and as a lazy Matrix."""
    A = A.T if transpose else A
    if k <= min(A.shape):
        result = solved(A, k, method=method)
        for same in (np.ascontiguousarray(A), np.asfortranarray(A), ss.matrix(A), A.tolist()):
            assert_array_equal(ss.svds(same, k, tol=1e-6, method=method).s, result.s)


@pytest.mark.parametrize(("n", "m", "k"), [(6, 7, 3), (9, 5, 4), (10, 8, 5)])
def test_lazy_matrices(n: int, m: int, k: int) -> None:
    """test_svd_linop: blocks, sums and transposes that are never formed give what arrays give."""
    A = np.random.RandomState(52).randn(n, m)
    lazy = ss.vstack([ss.matrix(A[:2]), ss.matrix(A[2:] + 1.0) - ss.matrix(np.ones((n - 2, m)))])
    expected = solved(A, k, tol=1e-9)
    for got in (ss.svds(lazy, k, tol=1e-9), ss.svds(lazy.T, k, tol=1e-9)):
        assert_allclose(got.s, expected.s, rtol=1e-9)


@DTYPES
@METHODS
@pytest.mark.parametrize("shape", [(6, 5), (5, 5), (5, 6)])
def test_ones(shape: tuple[int, int], method: str, dtype: str) -> None:
    """test_svd_LM_ones_matrix: rank 1, k = 3; every value and vector has to be there."""
    A = np.ones(shape, dtype=dtype)
    result = solved(A, 3, tol=1e-5, method=method)
    assert_allclose(result.s, [np.sqrt(A.size), 0, 0], rtol=1e-5, atol=2e-6)
    assert result.U is not None
    assert_allclose((result.U * result.s) @ result.Vt, A, atol=1e-5)


@DTYPES
@METHODS
@pytest.mark.parametrize("shape", [(3, 4), (4, 4), (4, 3), (4, 2)])
def test_zeros(shape: tuple[int, int], method: str, dtype: str) -> None:
    """test_zero_matrix."""
    assert_array_equal(solved(np.zeros(shape, dtype=dtype), 1, method=method).s, 0)


@DTYPES
@METHODS
@pytest.mark.parametrize("shape", [(20, 20), (20, 21), (21, 20)])
def test_steep_decay(shape: tuple[int, int], method: str, dtype: str) -> None:
    """test_small_sigma: values 1, 1e-2, ... (float32: 1e-1, ...), 4 of them."""
    rng = np.random.default_rng(179847540)
    U, _, Vt = np.linalg.svd(rng.random(shape), full_matrices=False)
    A = ((U * (10.0 if dtype == "float32" else 100.0) ** -np.arange(20.0)) @ Vt).astype(dtype)
    assert np.sum(solved(A, 4, tol=1e-5, method=method).s > 0) == 4


@DTYPES
def test_null_space(dtype: str) -> None:
    """test_small_sigma2: of rank 6, and the last 4 of 10 right vectors span the null space."""
    rng = np.random.default_rng(179847540)
    x = rng.random((10, 6))
    A = np.hstack([x, x[:, :4] * rng.random(4)]).astype(dtype)
    result = solved(A, 10, tol=1e-5, method="krylov")
    assert_allclose(result.s[-4:], 0, atol=1e-5)
    assert result.Vt is not None
    assert_allclose(A @ result.Vt[-4:].T, 0, atol=1e-5)


@DTYPES
@pytest.mark.parametrize("shape", [(100, 100), (100, 101), (101, 100)])
def test_tiny_rows_in_a_sparse_matrix(shape: tuple[int, int], dtype: str) -> None:
    """test_small_sigma_sparse, with every value asked for since there is no which="SM"."""
    rng = np.random.default_rng(0)
    A = rng.random(shape) * (rng.random(shape) < 0.1)
    A[:5] *= 10.0 ** np.arange(-5, 0)[:, None]
    A = A.astype(dtype)
    solved(A, min(shape), tol=1e-4, method="krylov")
    every = ss.svdvals(A)
    assert not of_values(every.values, every.errors, Truth.of(A))


def test_what_is_not_dense_is_refused() -> None:
    """test_svd_simple's csc_array and LinearOperator: no such input, and no wrong answer."""
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    for A in (sparse.csc_array(A1), linalg.aslinearoperator(A1), A1 + 1j):
        with pytest.raises(TypeError):
            ss.svds(A, 1)


# ------------------------------------------------------------ sparse.linalg, tests/test_propack.py


@DTYPES
def test_random_with_holes(dtype: str) -> None:
    """test_svdp, of the largest: values and vectors of a 10 x 20 matrix a fifth of it zeros."""
    A = (-5 + 10 * np.random.default_rng(0).uniform(size=(10, 20))).astype(dtype)
    A[A > 3] = 0
    result = solved(A, 3, tol=1e-5)
    U = np.linalg.svd(A.astype(float))[0]
    assert result.U is not None
    assert_allclose(np.abs(U.T @ result.U), np.eye(10, 3), atol=1e-3)


@DTYPES
@METHODS
def test_thin_hilbert(method: str, dtype: str) -> None:
    """test_thin_hilbert: 200 x 4, every value."""
    solved(hilb(200)[:, :4].astype(dtype), 4, tol=1e-4, method=method)


@DTYPES
@METHODS
def test_fat_random(method: str, dtype: str) -> None:
    """test_fat_random: 3 x 100, every value."""
    A = np.random.default_rng(1758046113948869).uniform(size=(3, 100)).astype(dtype)
    solved(A, 3, tol=1e-4, method=method)


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
        with pytest.raises(ss.NonFiniteError, match=r"\(1, 2\)"):
            function(A, 1)
    with warnings.catch_warnings(), pytest.raises(ss.NonFiniteError, match=r"\(1, 2\)"):
        ss.svdvals(A)
