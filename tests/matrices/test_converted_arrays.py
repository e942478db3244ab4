# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that are converted to a dtype of matrices: exactly, or not at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import sigmascope as ss
from sigmascope.errors import NonFiniteError
from sigmascope.streaming import GramAccumulator

A = np.random.default_rng(0).standard_normal((7, 5))
INTEGERS = [f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (1, 2, 4, 8)]


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
def test_integers_are_float64(dtype: str) -> None:
    x = np.arange(35).reshape(7, 5).astype(dtype)
    for view in (x, x.T, x[::2, 1:]):
        a = ss.matrix(view)
        assert a.storage == "f64"
        np.testing.assert_array_equal(np.asarray(a), view)


@pytest.mark.parametrize(("dtype", "stored"), [(">f2", "f16"), (">f4", "f32"), (">f8", "f64")])
def test_floats_in_the_other_order_keep_their_dtype(dtype: str, stored: str) -> None:
    x = A.astype(dtype)
    for view in (x, x.T, x[::2, ::-1]):
        a = ss.matrix(view)
        assert a.storage == stored
        np.testing.assert_array_equal(np.asarray(a), view)


@given(arrays.arrays(st.sampled_from([np.int64, np.uint64]), st.integers(1, 5)))
def test_no_integer_is_rounded_in_silence(x: Any) -> None:
    inexact = [int(v) for v in x if int(float(int(v))) != int(v)]
    if inexact:
        with pytest.raises(
            ValueError, match=rf"is {inexact[0]}, which float64 cannot represent exactly"
        ):
            ss.matrix(x[None])
    else:
        assert [int(v) for v in np.asarray(ss.matrix(x[None]))[0]] == x.tolist()


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**64 - 1, 10**18 + 1])
def test_the_rounded_integer_is_named(value: int) -> None:
    dtype = np.uint64 if value > 2**63 else np.int64
    x = np.zeros((3, 2), dtype)
    x[2, 1] = value
    message = rf"element \(2, 1\) is {value}, which float64 cannot.*np\.asarray\(x, dtype"
    for call in (ss.matrix, ss.svdvals, ss.moments, GramAccumulator(2).update):
        with pytest.raises(ValueError, match=message):
            call(x)
    for x in ([[0, 0], [0, 0], [0, value]], [[0, 0.5], [0, 0], [0, value]]):
        with pytest.raises((TypeError, ValueError), match=message):
            ss.matrix(x)


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**53 + 2, 2**62, -(2**63), 3 * 2**60])
def test_large_integers_that_are_exact_are_taken(value: int) -> None:
    x = np.array([[value, 1]], np.int64)
    assert np.asarray(ss.matrix(x)).tolist() == [[value, 1]]
    assert np.asarray(ss.matrix([[value, 0.5]])).tolist() == [[value, 0.5]]


def test_an_integer_beyond_float64_is_refused() -> None:
    with pytest.raises(TypeError, match="which float64 cannot represent exactly"):
        ss.matrix([[10**400, 1]])


def test_a_conversion_is_a_copy_and_other_arrays_are_shared() -> None:
    x = np.ones((3, 2), np.int32)
    a = ss.matrix(x)
    x[0, 0] = 9
    assert np.asarray(a)[0, 0] == 1
    y = np.ones((3, 2))
    b = ss.matrix(y)
    y[0, 0] = 9
    assert np.asarray(b)[0, 0] == 9


def test_masked_arrays_without_a_masked_element_are_taken() -> None:
    x = np.ma.masked_greater(A, 100.0)
    np.testing.assert_array_equal(np.asarray(ss.matrix(x)), A)
    np.testing.assert_array_equal(np.asarray(ss.svdvals(x)), np.asarray(ss.svdvals(A)))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_matrix_of_numpy() -> None:
    np.testing.assert_array_equal(np.asarray(ss.matrix(np.matrix(A))), A)
    assert np.asarray(ss.matrix(np.matrix([[1, 2], [3, 4]]))).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([["1", "2"]]), r"holds text, not numbers; x\.astype\(np\.float64\)"),
        (np.zeros((2, 2), [("a", "f8")]), r"it has fields; numpy\.lib\.recfunctions"),
        (np.zeros((2, 2), "m8[s]"), "holds times, not numbers"),
        (np.ones((2, 2), ml_dtypes.int4), r"int4 is not supported; x\.astype\(np\.float32\)"),
        (np.ones(3), r"x\[None, :\] is one row, x\[:, None\] is one column"),
        ({"w": A}, r"a dict holds many matrices: ss\.scan\(x\)"),
    ],
)
def test_refusals_name_the_way_out(x: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        ss.matrix(x)


# ------------------------------------------------------------------------------------- pandas


def test_dataframes() -> None:
    pd = pytest.importorskip("pandas")
    shared = pd.DataFrame(A.astype(np.float32), columns=list("abcde"))
    assert ss.matrix(shared).storage == "f32"
    np.testing.assert_array_equal(np.asarray(ss.matrix(shared)), A.astype(np.float32))
    mixed = pd.DataFrame({"i": [1, 2, 3], "f": [0.5, 1, 2], "b": [True, False, True]})
    assert ss.matrix(mixed).storage == "f64"
    np.testing.assert_array_equal(np.asarray(ss.matrix(mixed)), mixed.to_numpy(float))
    nullable = mixed.astype({"i": "Int64", "f": "Float32"})
    np.testing.assert_array_equal(np.asarray(ss.matrix(nullable)), mixed.to_numpy(float))
    stack = ss.svdvals([mixed, 2 * mixed])
    assert np.asarray(stack).shape == (2, 3)


def test_dataframes_that_are_not_matrices_are_refused() -> None:
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=r"column 'n' .* not hold real numbers; df\.select_dtypes"):
        ss.matrix(pd.DataFrame({"x": [1.0], "n": ["a"]}))
    with pytest.raises(TypeError, match=r"column 'x' .* missing values.*df\.fillna\(0\)"):
        ss.matrix(pd.DataFrame({"x": pd.array([1, None], dtype="Int64")}))
    with pytest.raises(ValueError, match=r"is 9007199254740993, which float64 cannot"):
        ss.matrix(pd.DataFrame({"x": [2**53 + 1], "y": [0.5]}))
    with pytest.raises(TypeError, match=r"a Series of pandas is a column.*x\.to_frame\(\)"):
        ss.matrix(pd.Series([1.0, 2.0]))
    with pytest.raises(NonFiniteError):
        ss.svdvals(pd.DataFrame({"x": [1.0, np.nan]}))


def made_by_polars(columns: dict[str, Any]) -> Any:
    """A DataFrame of polars, or of a class with its attributes where polars is not installed."""
    try:
        import polars
    except ImportError:
        return StandIn(columns)
    return polars.DataFrame(columns)


class StandIn:
    """The part of a DataFrame of polars that is read."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self._columns = columns
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def get_columns(self) -> list[Any]:
        return [self._column(name, values) for name, values in self._columns.items()]

    def _column(self, name: str, values: Any) -> Any:
        present = np.array([v for v in np.asarray(values).tolist() if v is not None])
        kind = present.dtype.kind
        dtype = SimpleNamespace(is_integer=lambda: kind == "i", is_float=lambda: kind == "f")
        return SimpleNamespace(
            name=name,
            dtype=dtype,
            null_count=lambda: len(values) - len(present),
            to_numpy=lambda: np.asarray(values),
        )


StandIn.__name__, StandIn.__module__ = "DataFrame", "polars.dataframe.frame"


def test_dataframes_of_polars() -> None:
    mixed = made_by_polars({"i": [1, 2, 3], "f": [0.5, 1.0, 2.0]})
    np.testing.assert_array_equal(np.asarray(ss.matrix(mixed)), [[1, 0.5], [2, 1], [3, 2]])
    single = made_by_polars({"a": np.ones(4, np.float32), "b": np.zeros(4, np.float32)})
    assert ss.matrix(single).storage == "f32"
    assert GramAccumulator(2).update(mixed).rows == 3
    for wrong, message in (
        (
            {"x": [1.0, 2.0], "n": ["a", "b"]},
            r"column 'n' .* real numbers; df\.select\(polars",
        ),
        ({"x": [1, None, 3], "y": [1, 2, 3]}, r"column 'x' .* missing values.*df\.fill_null\(0\)"),
    ):
        for call in (ss.matrix, ss.svdvals, GramAccumulator(2).update):
            with pytest.raises(TypeError, match=message):
                call(made_by_polars(wrong))
    with pytest.raises(ValueError, match=r"is 9007199254740993, which float64 cannot"):
        ss.matrix(made_by_polars({"x": [2**53 + 1, 1], "y": [0.5, 1.0]}))


# ------------------------------------------------------------------------------------- torch


def test_tensors_of_integers() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool):
        x = torch.arange(12).reshape(3, 4).to(dtype)
        for view in (x, x.T, x[:, ::2]):
            np.testing.assert_array_equal(np.asarray(ss.matrix(view)), view.to(torch.float64))
    with pytest.raises(ValueError, match="is 9007199254740993, which float64 cannot"):
        ss.matrix(torch.tensor([[2**53 + 1]]))


def test_a_pending_minus_of_torch_counts() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(A)
    negated = torch.complex(x, x).conj().imag
    assert negated.is_neg()
    np.testing.assert_array_equal(np.asarray(ss.matrix(negated)), -A)
    np.testing.assert_array_equal(np.asarray(ss.matrix(negated.T)), -A.T)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_tensors_that_are_not_matrices_are_refused() -> None:
    torch = pytest.importorskip("torch")
    eye = torch.eye(3)
    for x, message in [
        (eye.to_sparse(), r"a sparse Tensor is not supported.*x\.to_dense\(\)"),
        (eye.to_sparse_csr(), r"a sparse Tensor is not supported.*x\.to_dense\(\)"),
        (eye.to(torch.complex64), r"a Tensor of complex64 is not supported; the real np\.block"),
        (eye.to("meta"), "on the device meta has a shape but no numbers"),
        (torch.nn.Linear(3, 2), r"a Linear holds many tensors: ss\.scan\(x\)"),
        (torch.ones(2, 3, 4), r"2 dimensions.*\(2, 3, 4\); svds, svdvals"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            ss.matrix(x)


def test_operators_have_no_elements() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    with pytest.raises(TypeError, match=r"products but no elements; x @ np\.eye\(x\.shape\[1\]\)"):
        ss.matrix(linalg.aslinearoperator(A))
