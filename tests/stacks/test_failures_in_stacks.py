# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of a stack that fail, options of a stack, and the results as objects."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.calls import CALLS
from tests.support.peak_memory import peak

import sigmascope as ss
from sigmascope.errors import (
    ConvergenceWarning,
    FailedMatrixWarning,
    MemoryLimitError,
    NonFiniteError,
)
from sigmascope.results import SVD, SVDStack

MIB = 2**20
X = np.random.default_rng(0).standard_normal((6, 30, 20))


@pytest.fixture
def spoiled() -> NDArray[np.float64]:
    """A stack of 2 x 3 matrices of which two hold numbers that are not finite."""
    x = X.reshape(2, 3, 30, 20).copy()
    x[0, 2, 5, 6], x[1, 0, 0, 0] = np.nan, np.inf
    return x


@pytest.mark.parametrize("name", CALLS)
def test_one_bad_matrix_spoils_no_other(name: str, spoiled: NDArray[np.float64]) -> None:
    call = CALLS[name]
    with pytest.warns(FailedMatrixWarning, match=r"2 of 6 matrices.*\[0, 2\] \(.*\[1, 0\] \("):
        result = call(spoiled, num_threads=2)
    assert list(result.failures) == [(0, 2), (1, 0)]
    assert "1 NaN" in str(result.failures[0, 2])
    assert [index for index, _ in result.items()] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    with pytest.raises(NonFiniteError, match="1 NaN"):
        result[0, 2]
    expected = call(spoiled[1, 1])
    assert repr(result[1, 1]).rpartition(",")[0] == repr(expected).rpartition(",")[0]
    assert "2 failed: (0, 2), (1, 0)" in repr(result)


def test_failed_matrices_are_nan_with_infinite_errors(spoiled: NDArray[np.float64]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FailedMatrixWarning)
        result, every = ss.svds(spoiled, 3), ss.svdvals(spoiled)
    good = np.isfinite(spoiled).all(axis=(-2, -1))
    for numbers in (result.U, result.s, result.Vt, result.fro_norm, every.values, every.fro_norm):
        assert np.isnan(numbers[~good]).all()
        assert np.isfinite(numbers[good]).all()
    for bounds in (result.errors, result.residuals, every.errors, every.floor):
        assert np.isposinf(bounds[~good]).all()
        assert np.isfinite(bounds[good]).all()
    np.testing.assert_array_equal(result.converged, good)
    np.testing.assert_array_equal(result.passes > 0, good)


@pytest.mark.parametrize("name", CALLS)
def test_the_first_error_is_raised_if_all_fail(name: str) -> None:
    with pytest.raises(NonFiniteError) as caught:
        CALLS[name](np.full((3, 5, 4), np.nan))
    assert "all 3 matrices" in caught.value.__notes__[0]


def test_the_warning_names_three_matrices_and_its_caller() -> None:
    x = np.full((9, 3, 2), np.nan)
    x[4] = 1.0
    with pytest.warns(FailedMatrixWarning, match=r"8 of 9 .*\[2\] \(.*and 5 more") as caught:
        ss.svdvals(x)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("bad", "named"),
    [(2, "2 failed: 0, 1, 0."), (3, "3 failed: 0, 1, 2, 0."), (4, "4 failed: 0, 1, 2, ..., 0.")],
    ids=["two", "three", "four"],
)
@pytest.mark.filterwarnings("ignore::sigmascope.errors.FailedMatrixWarning")
def test_the_representation_names_three_failures(bad: int, named: str) -> None:
    x = np.ones((6, 3, 2))
    x[:bad] = np.nan
    result = dataclasses.replace(ss.svdvals(x), seconds=0.25)
    assert named in repr(result)


def test_what_has_not_converged_is_named_once() -> None:
    x = np.random.default_rng(0).standard_normal((3, 300, 300)).astype(np.float32)
    x[1] *= 0.1 ** np.arange(300)
    with pytest.warns(ConvergenceWarning, match=r"2 of 3 matrices: \[0\], \[2\];") as caught:
        result = ss.svds(x, 2, method="krylov", max_passes=4)
    assert caught[0].filename == __file__
    assert len(caught) == 1
    np.testing.assert_array_equal(result.converged, [False, True, False])


# -------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ss.svds(x, 21), r"k = 21 must be between 1 and min\(m, n\) = 20"),
        (lambda x: ss.randomized_svd(x, 21), r"k = 21 must be between"),
        (lambda x: ss.svds(x, 2, tol=0), "tol must be positive"),
        (lambda x: ss.svds(x, 2, seed=-1), "seed must be an integer between"),
        (lambda x: ss.svds(x, 2, method="qr"), "method must be"),
        (lambda x: ss.svdvals(x, accuracy="some"), "accuracy must be"),
        (lambda x: ss.spectral_density(x, probes=1), "at least 2 probes"),
        (lambda x: ss.spectrum(x, effort="all"), "effort must be one of"),
        (lambda x: unwrap(ss.svds)(x, 2, fro2=1.0), "fro2 is the squared norm of one matrix"),
        (lambda x: ss.svds(x[..., :0], 1), r"shape \(30, 0\) has no singular values"),
        (lambda x: ss.svds(x, 2, num_threads=0), "num_threads must be"),
    ],
)
@pytest.mark.parametrize("length", [6, 1])
def test_options_are_checked_before_any_matrix(call: Any, message: str, length: int) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call(np.full((length, 30, 20), np.nan))
    assert not hasattr(caught.value, "__notes__")


def test_an_executor_is_refused() -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ValueError, match=r"executor distributes the rows of one matrix.*omit"),
    ):
        ss.svds(X, 2, executor=pool)


def test_too_small_a_memory_is_refused() -> None:
    with pytest.raises(MemoryLimitError, match=r"the memory limit is 1\.96 kiB") as caught:
        ss.svdvals(X, memory_limit=2_000)
    assert "all 6 matrices" in caught.value.__notes__[0]


def test_progress_counts_the_bytes_of_all_matrices_on_the_thread_of_the_call() -> None:
    counts: list[int] = []
    threads: set[int] = set()

    def listen(nbytes: int) -> None:
        counts.append(nbytes)
        threads.add(threading.get_ident())

    result = ss.svdvals(X, num_threads=3, progress=listen)
    assert threads == {threading.get_ident()}
    assert counts == sorted(set(counts))
    assert X.nbytes <= counts[-1] <= X[0].nbytes * result.passes.sum()


def test_an_error_in_progress_ends_the_call() -> None:
    class TooLongError(Exception):
        pass

    def stop(nbytes: int) -> None:
        raise TooLongError

    before = threading.active_count()
    with pytest.raises(TooLongError):
        ss.svds(np.random.default_rng(0).standard_normal((64, 100, 100)), 4, progress=stop)
    assert threading.active_count() == before


# -------------------------------------------------------------------------------------- sources


def test_sequences_of_matrices_are_stacks_without_a_copy() -> None:
    matrices = [X[0], X[1].astype(np.float64), np.asfortranarray(X[2])]
    result = ss.svds(matrices, 2)
    assert result.shape == (3,)
    np.testing.assert_array_equal(result.s, ss.svds(X[:3], 2).s)
    narrow = [a.astype(np.float32) for a in X]
    np.testing.assert_array_equal(ss.svds(narrow, 2).s, ss.svds(X.astype(np.float32), 2).s)
    np.testing.assert_array_equal(
        ss.svds([X[:2], X[2:4]], 2).s, ss.svds(X[:4], 2).s.reshape(2, 2, 2)
    )
    np.testing.assert_array_equal(ss.svds(X[:2].tolist(), 2).s, ss.svds(X[:2], 2).s)
    assert ss.svds(X[0].tolist(), 2).s.shape == (2,)  # a matrix, as ever


def test_sequences_of_matrices_in_files_are_stacks(tmp_path: Any) -> None:
    for i, a in enumerate(X):
        np.save(tmp_path / f"{i}.npy", a)
    matrices = [ss.matrix(tmp_path / f"{i}.npy") for i in range(len(X))]
    for memory in ("64MB", "2GB"):
        result = ss.svds(matrices, 2, memory_limit=memory)
        np.testing.assert_array_equal(result.U, ss.svds(X, 2).U)


def side_by_side(*dtypes: str) -> ss.Matrix:
    """Matrices of several dtypes beside each other."""
    return ss.hstack([X[i].astype(dtype) for i, dtype in enumerate(dtypes)])


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([X[0], X[1, :4]], r"30 x 20 of f64 on cpu and 4 x 20 of f64 on cpu; call the function"),
        ([X[0], X[1].astype(np.float32)], r"30 x 20 of f64 on cpu and 30 x 20 of f32"),
        ([X[:2], X[0]], r"2 x 30 x 20 of f64 on cpu and 30 x 20"),
        (
            [side_by_side("f8", "f4"), side_by_side("f2", "f4")],
            r"30 x 40 of mixed formats in float64 on cpu and 30 x 40 of mixed formats in float32",
        ),
    ],
)
def test_matrices_that_do_not_stack_are_refused(matrices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.svdvals(matrices)


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_other_dtypes_are_refused_as_one_matrix_is(name: str) -> None:
    for x in (X.astype(object), X.astype("S9"), X + 1j, np.ma.masked_greater(X, 1.0)):
        with pytest.raises(TypeError) as one:
            CALLS[name](x[0])
        with pytest.raises(TypeError) as stacked:
            CALLS[name](x)
        assert str(stacked.value) == str(one.value)


@pytest.mark.parametrize("dtype", [">f8", ">f4", np.int64, ">i4", np.int8, bool])
def test_stacks_are_converted_as_one_matrix_is(dtype: Any) -> None:
    x = (8 * X).astype(dtype)
    stacked = ss.svdvals(x)
    for i, one in enumerate(x):
        np.testing.assert_array_equal(np.asarray(stacked[i]), np.asarray(ss.svdvals(one)))


def test_what_takes_one_matrix_names_what_takes_a_stack(tmp_path: Any) -> None:
    for call in (ss.matrix, ss.moments):
        with pytest.raises(ValueError, match=r"2 dimensions.*\(6, 30, 20\); svds, svdvals, rand"):
            call(X)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(
        ValueError, match="2 dimensions; NumPy's load with mmap_mode='r' opens a stack"
    ):
        ss.svds(tmp_path / "x.npy", 2)
    memmap = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(ss.svds(memmap, 2).s, ss.svds(X, 2).s)


def test_tensors_of_torch_are_stacks() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(X, requires_grad=True)
    np.testing.assert_array_equal(ss.svds(tensor, 2).U, ss.svds(X, 2).U)
    narrow = torch.tensor(X).to(torch.bfloat16)
    assert ss.svds(narrow, 2)[0].s == pytest.approx(ss.svds(X[0], 2).s, rel=0.01)
    with pytest.raises(ValueError, match=r"2 dimensions.*take a stack"):
        ss.matrix(tensor)
    assert ss.svds(tensor[:0], 2).U.dtype == torch.float64


# -------------------------------------------------------------------------------------- results


def test_a_stack_is_indexed_like_an_array() -> None:
    result = ss.svds(X.reshape(2, 3, 30, 20), 2)
    assert (len(result), result.shape) == (2, (2, 3))
    assert isinstance(result[1, 2], SVD)
    row = result[1]
    assert isinstance(row, SVDStack)
    assert (row.shape, row.U.shape) == ((3,), (3, 30, 2))
    assert row[-1] is result[1, 2]
    assert np.shares_memory(row.U, result.U)
    assert np.shares_memory(result[1, 2].U, result.U)
    assert result[..., 1].s.shape == (2, 2)
    np.testing.assert_array_equal(result[..., 1].s, result.s[:, 1])
    assert result[:, ::2].errors.shape == (2, 2, 2)
    np.testing.assert_array_equal(result[result.converged].s, result.s.reshape(6, 2))
    for index in (2, (0, 3), (0, 0, 0)):
        with pytest.raises(IndexError):
            result[index]


def test_values_of_a_stack_are_an_array() -> None:
    every = ss.svdvals(X)
    np.testing.assert_array_equal(np.asarray(every), every.values)
    assert np.asarray(every, dtype=np.float32).dtype == np.float32
    assert [one.values.shape for one in every] == [(20,)] * 6
    assert "6 matrices, 20 values each" in repr(every)


def test_densities_are_iterated_and_measured() -> None:
    spectrum = ss.spectrum(X.reshape(3, 2, 30, 20), effort="exact")
    assert [len(row) for row in spectrum] == [2, 2, 2]
    ranks = spectrum.each(lambda one: one["stable_rank"].value)
    truth = np.linalg.svd(X, compute_uv=False)
    expected = (truth**2).sum(-1) / truth[:, 0] ** 2
    np.testing.assert_allclose(ranks, expected.reshape(3, 2), rtol=1e-12)
    assert repr(spectrum).startswith("Stack(3 x 2 matrices, 6 of Spectrum, ")


@pytest.mark.parametrize("name", CALLS)
def test_stacks_without_matrices(name: str) -> None:
    for dtype in (np.float32, np.float64):
        result = CALLS[name](np.zeros((2, 0, 30, 20), dtype))
        assert (result.shape, len(result), list(result.items())) == ((2, 0), 2, [])
        assert "2 x 0 matrices" in repr(result)
    if name == "values alone":
        assert result.U is result.Vt is None
    if name == "svds by Krylov":
        assert result.U.dtype == np.float64
        assert (result.U.shape, result.s.shape, result.Vt.shape) == (
            (2, 0, 30, 2),
            (2, 0, 2),
            (2, 0, 2, 20),
        )


def test_vectors_of_several_precisions() -> None:
    """The Gram matrix replaces one search, and gives vectors in float64."""
    rng = np.random.default_rng(0)
    flat = np.linalg.qr(rng.standard_normal((300, 260)))[0] * np.linspace(1, 0.99, 260)
    steep = rng.standard_normal((300, 260)) * 0.5 ** np.arange(260)
    x = np.stack([flat, steep]).astype(np.float32)
    result = ss.svds(x, 4, tol=1e-6)
    assert [result[i].U.dtype for i in range(2)] == [np.float64, np.float32]
    assert result.U.dtype == result.Vt.dtype == np.float64
    for i, a in enumerate(x):
        one = ss.svds(a, 4, tol=1e-6)
        np.testing.assert_array_equal(result[i].U, one.U, strict=True)
        np.testing.assert_array_equal(result.Vt[i], one.Vt)


# --------------------------------------------------------------------------------------- memory

MADE = """
import numpy as np
import sigmascope as ss
x = np.random.default_rng(0).standard_normal((4, 600, 600), dtype=np.float32)
ss.svdvals(x[:1, :64, :64], num_threads=1)
"""


@pytest.mark.slow
@pytest.mark.unsanitized  # a sanitizer takes memory of its own
def test_a_stack_takes_no_more_than_the_memory_limit() -> None:
    before = peak(MADE)
    call = "ss.svdvals(x, num_threads=4, memory_limit={limit})"
    few, many = (peak(MADE + call.format(limit=limit)) - before for limit in (80 * MIB, 10**10))
    assert few <= 80 * MIB
    assert many > few  # several matrices are computed concurrently where memory allows
