# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are known by their products: sparse matrices of SciPy, and linear operators."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.engine import operator_products, sparse_products
from tests.support.known_products import (
    KINDS,
    SIZES,
    ByBlocks,
    ByVectors,
    assert_true,
    inexact,
)

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning, MemoryLimitError, NonFiniteError

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

Array = NDArray[Any]

FUNCTIONS = pytest.mark.parametrize("function", [ss.svds, ss.randomized_svd])
SHAPES = [(300, 90), (90, 300), (500, 400)]


def holes(shape: tuple[int, int], dtype: Any = np.float64, density: float = 0.05) -> Array:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * (rng.random(shape) < density)
    x[:3] *= 4
    return x.astype(dtype)


@grid(shape=SHAPES, dtype=[np.float64, np.float32, np.int32, bool])
def test_sparse_matrices(shape: tuple[int, int], dtype: Any) -> None:
    array = holes(shape, dtype)
    result = ss.svds(sparse.csr_array(array), 5, tol=1e-5)
    assert result.converged
    assert result.U is not None
    assert result.U.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert_true(result, array)
    np.testing.assert_allclose(result.fro_norm, np.linalg.norm(array.astype(float)), rtol=1e-12)
    low = ss.randomized_svd(sparse.csr_array(array), 5, passes=3)
    assert_true(low, array)


def test_formats_duplicates_and_zeros_change_no_bit() -> None:
    array = holes((120, 200))
    expected = ss.svds(sparse.csr_array(array), 4)
    i, j = np.nonzero(array)
    half, index = array[i, j] / 2, (np.r_[i, i, 7], np.r_[j, j, 9])
    twice = sparse.coo_array((np.r_[half, half, 0.0], index), shape=array.shape)
    others = [sparse.csr_array(array).asformat(name) for name in ("csc", "coo", "lil", "dok")]
    for each in [twice, *others, sparse.csr_matrix(array), sparse.csr_array(array)]:
        result = ss.svds(each, 4)
        for name in ("U", "s", "Vt", "errors", "residuals"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
    assert np.any(ss.svds(sparse.csr_array(array), 4, seed=1).U != expected.U)


def test_the_matrix_is_left_alone() -> None:
    source = sparse.coo_array(([1.0, 2.0, 3.0], ([0, 0, 2], [1, 1, 0])), shape=(3, 4)).tocsr()
    source.data[0] = 0.0
    before = source.data.copy(), source.indices.copy()
    ss.svds(source, 1)
    np.testing.assert_array_equal(source.data, before[0])
    np.testing.assert_array_equal(source.indices, before[1])


@pytest.mark.parametrize("exponent", [-900, -300, 300, 900])
def test_extreme_entries(exponent: int) -> None:
    array = holes((150, 100))
    expected = ss.svds(sparse.csr_array(array), 3, tol=1e-9)
    scaled = np.ldexp(array, exponent)
    for source in (sparse.csr_array(scaled), linalg.aslinearoperator(scaled)):
        result = ss.svds(source, 3, tol=1e-9)
        np.testing.assert_allclose(np.ldexp(result.s, -exponent), expected.s, rtol=1e-9)
        assert result.converged


@pytest.mark.parametrize("exponent", [-1050, -1030, 1010])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(150, 100), (58, 168)])
def test_entries_at_the_ends_of_the_range(
    exponent: int, precision: str, shape: tuple[int, int]
) -> None:
    """Scaled to 2^-50 only, squares of squares leave the range of float32."""
    scaled = np.ldexp(holes(shape), exponent)
    truth = np.linalg.svd(np.ldexp(scaled, -exponent), compute_uv=False)
    quantum = max(2.0 ** (-1074 - exponent), 1e-15 * truth[0])  # of a value, where it is subnormal
    for source in (sparse.csr_array(scaled), linalg.aslinearoperator(scaled)):
        for function in (ss.svds, ss.randomized_svd):
            result = function(source, 4, precision=precision)
            off = np.abs(np.ldexp(result.s, -exponent) - truth[:4])
            assert np.all(off <= np.ldexp(result.errors, -exponent) + 1.5 * quantum)


@pytest.mark.parametrize("kind", ["zero", "one column", "diagonal", "full row"])
def test_structures(kind: str) -> None:
    array = np.zeros((400, 300))
    if kind == "one column":
        array[:, 2] = 1.0
    elif kind == "diagonal":
        np.fill_diagonal(array, np.arange(1.0, 301.0))
    elif kind == "full row":
        array[5], array[6, 0] = 0.1, 3.0
    for source in (sparse.csr_array(array), linalg.aslinearoperator(array)):
        result = ss.svds(source, 3)
        assert result.converged
        assert_true(result, array)


@grid(
    make=[ByVectors, ByBlocks, linalg.aslinearoperator],
    shape=SHAPES,
    dtype=[np.float64, np.float32],
    strength=2,
)
def test_operators(make: Callable[[Array], Any], shape: tuple[int, int], dtype: Any) -> None:
    array = holes(shape, dtype)
    result = ss.svds(make(array), 5, tol=1e-5)
    assert result.converged
    assert result.precision == np.dtype(dtype).name
    assert_true(result, array)
    assert_true(ss.randomized_svd(make(array), 5, passes=3), array)
    again = ss.svds(make(array), 5, tol=1e-5)
    np.testing.assert_array_equal(result.U, again.U)


def test_what_is_not_known_of_an_operator_is_said() -> None:
    array = holes((500, 400))
    for order in (257, 400):
        large = ss.svds(linalg.aslinearoperator(array[:, :order]), 3)
        assert np.isnan(large.fro_norm)
        assert any("||A||_F is not known" in note for note in large.notes)
    for order in (100, 256):
        small = ss.svds(linalg.aslinearoperator(array[:, :order]), 3)
        np.testing.assert_allclose(small.fro_norm, np.linalg.norm(array[:, :order]), rtol=1e-12)
        assert any("only products with the matrix" in note for note in small.notes)


def test_the_bound_on_the_norm_holds() -> None:
    rng = np.random.default_rng(0)
    for array in (
        rng.standard_normal((400, 300)),
        np.outer(rng.standard_normal(400), rng.standard_normal(300)),
        np.diag(2.0 ** -np.arange(300)),
        np.eye(300) * 1e-200,
    ):
        known = operator_products(linalg.aslinearoperator(array)).evidence("float64")
        norm2 = float(np.square(np.ldexp(array, -known.exponent)).sum())
        assert norm2 <= known.fro2 <= 12 * norm2


def test_the_rounding_of_products_is_within_its_bound() -> None:
    """Equal terms are rounded in the same direction: errors grow as their number, not its root."""
    numbers = np.full((200_000, 2), [0.1, 0.3])
    matrix = sparse_products(sparse.csr_array(numbers))
    evidence = matrix.evidence("float64")
    image = matrix.adjoint(np.full((len(numbers), 1), 2.0**-9))
    scaled = [float(each) for each in np.ldexp(numbers[0], -evidence.exponent)]
    exact = [len(numbers) * Fraction(each) / 512 for each in scaled]
    errors = [float(Fraction(float(x)) - y) for x, y in zip(image[:, 0], exact, strict=True)]
    error = float(np.linalg.norm(errors)) / (math.sqrt(len(numbers)) / 512)
    root = 2 * evidence.absolute_error / math.sqrt(len(numbers))
    assert 10 * root < error <= evidence.absolute_error


def test_errors_of_products_count() -> None:
    """Products in float32 of an operator that declares float64."""
    array = holes((500, 400))
    single = ByVectors(array.astype(np.float32), np.float64)
    coarse = linalg.LinearOperator(
        array.shape,
        matvec=lambda x: single.matvec(x.astype(np.float32)),
        rmatvec=lambda y: single.rmatvec(y.astype(np.float32)),
        dtype=np.float64,
    )
    result = ss.svds(coarse, 3)
    assert_true(result, single.array)
    assert result.errors.min() >= 1e-6 * result.s[0]
    assert any("products have a relative error of" in note for note in result.notes)


@grid(kind=KINDS, shape=[(200, 200), (300, 400)])
def test_a_converged_result_of_inexact_products_is_worth_something(
    kind: str, shape: tuple[int, int]
) -> None:
    """Errors within the tolerance, or not converged with the reason; never several sigma_1."""
    array = np.random.default_rng(5).standard_normal(shape)
    array[:, :3] *= 4
    sizes = SIZES if kind in ("another adjoint", "not linear") else (0.0,)
    for size in sizes:
        for seed, vectors, method in ((0, True, "auto"), (1, False, "auto"), (2, True, "gram")):
            source = inexact(kind, array, size)
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                svd = ss.svds(source, 3, seed=seed, vectors=vectors, method=method)
            assert_true(svd, array)
            assert svd.converged == (not seen)
            reached = svd.residuals if vectors else svd.errors
            if svd.converged:
                assert reached.max() <= 1.1e-4 * svd.s[0]
                assert svd.errors.max() <= 1e-2 * svd.s[0]
            else:
                assert size == 1e-6
                assert any("errors of products" in note for note in svd.notes)


def test_products_in_float32_are_not_exact_to_rounding() -> None:
    array = np.outer(np.arange(1.0, 61.0), np.arange(1.0, 51.0))
    assert ss.randomized_svd(inexact("exact", array, 0.0), 2).converged
    for each in (array, array / 7):  # numbers of few digits, and of many
        assert not ss.randomized_svd(inexact("products in float32", each, 0.0), 2).converged
    tight = inexact("another adjoint", array, 1e-8)
    with pytest.warns(ConvergenceWarning):
        assert not ss.svds(tight, 2, tol=1e-9).converged


@grid(kind=KINDS[1:], shape=[(90, 60), (300, 400)])
@pytest.mark.filterwarnings("ignore::sigmascope.errors.ConvergenceWarning")
def test_the_gram_matrix_is_in_float64_and_so_are_its_errors(
    kind: str, shape: tuple[int, int]
) -> None:
    """Blocks in float32 hide errors of products below 4e-6 from a search, which has such itself."""
    array = holes(shape, np.float32).astype(np.float64)
    for size in SIZES:
        source = inexact(kind, array, size)
        result = ss.svds(source, 3, tol=1e-3, method="gram", precision="float32")
        assert result.precision == "float64"
        assert_true(result, array)


def test_not_converged_after_one_step() -> None:
    array = np.random.default_rng(0).standard_normal((400, 300))
    with pytest.warns(ConvergenceWarning):
        result = ss.svds(linalg.aslinearoperator(array), 3, tol=1e-8, max_passes=1)
    assert not result.converged
    assert_true(result, array)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@FUNCTIONS
def test_what_is_not_finite(function: Callable[..., Any], value: float) -> None:
    array = holes((60, 50))
    array[3, 4] = value
    with pytest.raises(NonFiniteError, match=r"the first at \(3, 4\)"):
        function(sparse.coo_array(array), 2)
    at_the_start = np.eye(60, 50)
    at_the_start[3, 3] = value
    with pytest.raises(NonFiniteError, match=r"the first at \(3, 3\)"):
        function(sparse.csr_array(at_the_start), 2)
    with pytest.raises(NonFiniteError, match=r"matmat of .* returned NaN or infinity"):
        function(linalg.aslinearoperator(array), 2)


@FUNCTIONS
def test_what_is_refused(function: Callable[..., Any]) -> None:
    array = holes((60, 50))
    forward = linalg.LinearOperator(array.shape, matvec=lambda x: array @ x, dtype=float)
    wrong = linalg.LinearOperator(
        array.shape, matvec=lambda x: array @ x, rmatvec=lambda y: -(array.T @ y), dtype=float
    )
    affine = linalg.LinearOperator(
        array.shape, matvec=lambda x: array @ x + 1, rmatvec=lambda y: array.T @ y, dtype=float
    )
    lying = linalg.LinearOperator(
        array.shape, matvec=lambda x: array @ x * 1j, rmatvec=lambda y: array.T @ y, dtype=float
    )
    short = ByVectors(array)
    short.shape = (60, 49)
    for source, error, message in [
        (forward, TypeError, r"no product with its transpose.*rmatvec="),
        (wrong, ValueError, "rmatvec of .* does not multiply by the transpose"),
        (affine, ValueError, "is not linear"),
        (lying, TypeError, r"complex128 is not supported; the real np\.block"),
        (linalg.aslinearoperator(array * 1j), TypeError, r"complex128 .*the real np\.block"),
        (sparse.csr_array(array * 1j), TypeError, r"complex128 .*sparse\.block_array"),
        (sparse.csr_array(array.astype(np.longdouble)), TypeError, "rounds it"),
        (sparse.coo_array(array[0]), ValueError, "2 dimensions"),
        (sparse.csr_array((0, 5)), ValueError, "has no singular values"),
    ]:
        with pytest.raises(error, match=message):
            function(source, 2)
    with pytest.raises(ValueError, match=r"dimension|shape"):
        function(short, 2)
    with pytest.raises(ValueError, match=r"min\(m, n\) = 50"):
        function(sparse.csr_array(array), 51)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="omit executor"):
        function(sparse.csr_array(array), 2, executor=pool)
    with pytest.raises(MemoryLimitError):
        function(linalg.aslinearoperator(sparse.eye_array(3_000_000)), 60, memory_limit="100MB")


def test_the_advice_for_complex_matrices_is_right() -> None:
    A = sparse.csr_array(holes((40, 30)) + 1j * holes((40, 30))[::-1])
    real = sparse.block_array([[A.real, -A.imag], [A.imag, A.real]])
    truth = np.repeat(np.linalg.svd(A.toarray(), compute_uv=False)[:2], 2)
    np.testing.assert_allclose(ss.svds(real, 4, tol=1e-9).s, truth, rtol=1e-9)


@pytest.mark.parametrize("method", ["auto", "krylov", "gram"])
def test_methods(method: str) -> None:
    array = holes((200, 150))
    for source in (sparse.csr_array(array), linalg.aslinearoperator(array)):
        result = ss.svds(source, 20, tol=1e-6, method=method)
        assert result.converged
        assert_true(result, array)
        values = ss.svds(source, 20, tol=1e-6, method=method, vectors=False)
        assert values.U is None
        assert_true(values, array)


def test_progress_and_interrupts() -> None:
    counts: list[int] = []
    ss.svds(sparse.csr_array(holes((90, 60))), 2, progress=counts.append)
    assert counts == sorted(counts)
    assert counts[0] > 0

    def interrupted(used: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.svds(sparse.csr_array(holes((90, 60))), 2, progress=interrupted)


def test_a_large_sparse_matrix_is_never_dense() -> None:
    """A diagonal in random rows, 120000 x 60000, has known values."""
    n = 60_000
    values = 1.0 + np.arange(n) / n
    values[:4] = [9.0, 7.0, 5.0, 3.0]
    rows = np.random.default_rng(0).permutation(2 * n)[:n]
    A = sparse.csr_array((values, (rows, np.arange(n))), shape=(2 * n, n))
    result = ss.svds(A, 4, tol=1e-6, memory_limit="2GiB")
    assert result.converged
    np.testing.assert_allclose(result.s, [9.0, 7.0, 5.0, 3.0], rtol=1e-9)


def test_the_copy_of_a_sparse_matrix_counts_as_memory() -> None:
    """24 bytes of a number in any format but compressed rows, whose indices are the caller's."""
    i = np.arange(1_000_000)
    A = sparse.coo_array((np.ones(len(i)), (i % 2000, i // 7 % 1500)), shape=(2000, 1500))
    with pytest.raises(MemoryLimitError, match=r"needs 2\d.* MiB, but .* is 22\.9 MiB"):
        ss.svds(A, 1, memory_limit=24 * len(i))
    assert ss.svds(A.tocsr(), 1, memory_limit=24 * len(i)).converged
