# SPDX-License-Identifier: BSD-3-Clause
"""SciPy's tests of svds and of PROPACK beneath it, for this API.

Written anew from what they check (SciPy 1.17, BSD-3-Clause); each test names the one it follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from tests.peers.checks import Truth, of_values, solved
from tests.peers.formulas import hilb

Array = NDArray[np.float64]

A1 = np.array([[1, 2, 3], [3, 4, 3], [1, 0, 2], [0, 0, 1.0]])
A2 = np.array([[1, 2, 3, 8], [3, 4, 3, 5], [1, 0, 2, 3], [0, 0, 1.0, 0]])

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
METHODS = pytest.mark.parametrize("method", ["auto", "krylov", "gram"])


# ---------------------------------------------------------------- sparse.linalg, tests/test_svds.py


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (np.asarray([[]]), ValueError, "has no singular values"),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), TypeError, "matrix of object"),
        (np.asarray([1.0, 2.0]), ValueError, "2 dimensions"),
        ("hi", FileNotFoundError, "hi"),
    ],
)
def test_arrays_that_are_not_matrices_are_refused(
    A: Any, error: type[Exception], message: str
) -> None:
    """test_svds_input_validation_A."""
    with pytest.raises(error, match=message):
        ss.svds(A, 1)


def test_integers() -> None:
    """test_svds_int_A: an array of integers, and a list of them, are those of float64."""
    A = np.asarray([[1, 2], [3, 4]])
    expected = solved(A.astype(float), 1).s
    assert_array_equal(ss.svds(A, 1, tol=1e-6).s, expected)
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
    """test_svds_input_validation_k_1; k = min(m, n) is valid here."""
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


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [("ekki", ValueError, "method must be"), (object, TypeError, "method must be a string")],
)
def test_unknown_method(method: Any, error: type[Exception], message: str) -> None:
    """Test_SVDS_once.test_svds_input_validation_solver."""
    with pytest.raises(error, match=message):
        ss.svds(np.ones((3, 4)), 2, method=method)


@METHODS
@pytest.mark.parametrize("k", [3, 5])
def test_k_largest(k: int, method: str) -> None:
    """test_svds_parameter_k_which, of the largest."""
    solved(np.random.default_rng(0).random((10, 10)), k, tol=1e-9, method=method)


def test_tolerance_is_kept() -> None:
    """test_svds_parameter_tol: errors within each tolerance, and more passes for a smaller one.

    Checks of convergence are planned from the error over the tolerance. On SciPy's matrix of order
    100 a coarse tolerance can therefore be noticed one step later than a fine one; on a larger one
    the tolerance decides.
    """
    for n in (100, 400):
        A = np.random.default_rng(0).random((n, n))
        A[A > 0.1] = 0
        A = A @ A.T
        sigma = np.linalg.svd(A, compute_uv=False)[:3]
        passes = []
        for tol in (1e-1, 1e-4, 1e-10):
            result = solved(A, 3, tol=tol, method="krylov", block=3, vectors=False)
            assert np.abs(result.s - sigma).max() <= tol * sigma[0]
            passes.append(result.passes)
        assert passes[0] < passes[-1]
        assert passes[1] < passes[-1]
    assert passes == sorted(passes)


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
    with pytest.warns(ConvergenceWarning, match="did not converge"):
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


def known_by_products(A: Array) -> tuple[Any, ...]:
    """SciPy's sparse formats, and operators: of an array, and of products with a vector."""
    single = linalg.LinearOperator(
        A.shape, matvec=lambda x: A @ x, rmatvec=lambda y: A.T @ y, dtype=A.dtype
    )
    formats = [sparse.csc_array(A), sparse.coo_matrix(A), sparse.dok_array(A)]
    return (*formats, linalg.aslinearoperator(A), single)


@METHODS
@pytest.mark.parametrize("A", [A1, A1.T, A2], ids=["A1", "A1.T", "A2"])
def test_sparse_matrices_and_operators(A: Array, method: str) -> None:
    """test_svd_simple, of csc_array and LinearOperator."""
    for k in range(1, min(A.shape) + 1):
        expected = solved(A, k, tol=1e-9).s
        for source in known_by_products(A):
            result = ss.svds(source, k, tol=1e-9, method=method)
            assert result.converged
            assert_allclose(result.s, expected, rtol=1e-9, atol=1e-14)
            assert result.U is not None
            assert result.Vt is not None
            assert_allclose(A @ result.Vt.T, result.U * result.s, atol=1e-8)
            assert_allclose(A.T @ result.U, result.Vt.T * result.s, atol=1e-8)


@DTYPES
@pytest.mark.parametrize(("n", "m", "k"), [(6, 7, 3), (9, 5, 4), (10, 8, 5)])
def test_operators(n: int, m: int, k: int, dtype: str) -> None:
    """test_svd_linop: of real operators, with k + 1 of rank k too."""
    A = np.random.RandomState(52).randn(n, m).astype(dtype)
    for source in known_by_products(A):
        result = ss.svds(source, k, tol=1e-5)
        sigma = np.linalg.svd(A.astype(float), compute_uv=False)
        assert np.all(np.abs(result.s - sigma[:k]) <= result.errors + 1e-14 * sigma[0])
        assert result.U is not None
        assert result.U.dtype == dtype
    low = (A[:, :k] @ A[:k, :]).astype(float) if k < min(n, m) else A.astype(float)
    result = ss.svds(linalg.aslinearoperator(low), k + 1 if k < min(n, m) else k, tol=1e-9)
    assert_allclose(result.s[:k], np.linalg.svd(low, compute_uv=False)[:k], rtol=1e-9)


def test_integers_in_a_sparse_matrix() -> None:
    """test_svds_int_A, of csr_array: those of float64."""
    A = np.asarray([[1, 2], [3, 4]])
    for source in (sparse.csr_array(A), sparse.csr_array(A.astype(float))):
        assert_allclose(ss.svds(source, 1, tol=1e-9).s, solved(A.astype(float), 1).s, rtol=1e-9)


def test_difference_as_an_operator() -> None:
    """test_svds_diff0_docstring_example, as an operator; its largest values."""
    n, k = 100, 3
    diff = linalg.LinearOperator(
        (n - 1, n),
        matvec=lambda x: np.diff(x.ravel()),
        rmatvec=lambda y: -np.diff(y.ravel(), prepend=0, append=0),
        dtype=float,
    )
    result = ss.svds(diff, k, tol=1e-9)
    j = np.arange(n - 1, n - 1 - k, -1)
    assert_allclose(result.s, 2.0 * np.sin(np.pi * j / (2 * n)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_matrices_are_refused(dtype: type) -> None:
    """test_svd_simple and test_svd_linop, of complex matrices: the message has the real form."""
    for source in known_by_products((A1 + 1j).astype(dtype)):
        with pytest.raises(TypeError, match="the singular values of the complex A"):
            ss.svds(source, 1)


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
