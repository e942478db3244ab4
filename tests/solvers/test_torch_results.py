# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of torch on the host as input: triplets are tensors, with the bits of those of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.errors import FailedMatrixWarning, NonFiniteError

A = np.random.default_rng(0).standard_normal((3, 60, 40))

FUNCTIONS = pytest.mark.parametrize("function", [ss.svds, ss.randomized_svd])


def assert_same(result: Any, expected: Any, torch: Any) -> None:
    """Compare the bits of tensors with those of arrays, which have the same dtypes."""
    for name in ("U", "s", "Vt"):
        tensor, array = getattr(result, name), getattr(expected, name)
        assert isinstance(tensor, torch.Tensor)
        assert tensor.device.type == "cpu"
        assert not tensor.requires_grad
        np.testing.assert_array_equal(tensor.numpy(), array, strict=True)
    for name in ("errors", "residuals"):
        assert isinstance(getattr(result, name), np.ndarray)
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


@FUNCTIONS
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn"])
def test_a_tensor_gives_tensors(function: Callable[..., Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(A[0]).to(getattr(torch, dtype))
    try:
        ss.matrix(tensor)
    except RuntimeError:
        pytest.skip(f"this version of torch exports no {dtype}")
    wide = tensor.to(torch.float64 if dtype == "float64" else torch.float32).numpy()
    result = function(tensor, 4)
    assert result.U.dtype is result.Vt.dtype is getattr(torch, result.precision)
    assert result.s.dtype is torch.float64
    truth = np.linalg.svd(wide.astype(np.float64), compute_uv=False)[:4]
    assert np.all(np.abs(result.s.numpy() - truth) <= result.errors + 1e-14 * truth[0])
    if dtype in ("float64", "float32"):
        assert_same(result, function(wide, 4), torch)
    product = (result.U * result.s.to(result.U.dtype)) @ result.Vt
    np.testing.assert_allclose(torch.linalg.svdvals(product)[:4], result.s, rtol=1e-5)
    assert "sigma = [" in repr(result)
    assert "residual" in result._repr_html_()


@FUNCTIONS
@pytest.mark.parametrize("view", ["transposed", "sliced", "sequence", "nested"])
def test_views_and_stacks(function: Callable[..., Any], view: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(A)
    source, array = {
        "transposed": (x[0].T, A[0].T),
        "sliced": (x[:, ::2, 3:], A[:, ::2, 3:]),
        "sequence": ([x[0], x[1]], A[:2]),
        "nested": ([[x[0]], (x[2],)], A[[[0], [2]]]),
    }[view]
    result, expected = function(source, 3), function(array, 3)
    assert_same(result, expected, torch)
    if result.s.ndim > 1:
        first = (0,) * (result.s.ndim - 1)
        assert_same(result[first], expected[first], torch)
        assert result[first].U.data_ptr() == result.U[first].data_ptr()
        assert repr(result).startswith("SVDStack(")


def test_a_failed_matrix_of_a_stack_has_nan() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(A.copy())
    x[1, 2, 3] = torch.nan
    with pytest.warns(FailedMatrixWarning):
        result = ss.svds(x, 2)
    assert torch.isnan(result.U[1]).all()
    assert torch.isnan(result.s[1]).all()
    assert isinstance(result.outcomes[1], NonFiniteError)
    assert_same(result[0], ss.svds(A[0], 2), torch)


def test_gradients_are_not_propagated() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(40, 60)
    result = ss.svds(layer.weight, 3)
    assert_same(result, ss.svds(layer.weight.detach().numpy(), 3), torch)


def test_results_without_vectors_and_of_other_sources() -> None:
    torch = pytest.importorskip("torch")
    result = ss.svds(torch.from_numpy(A[0]), 3, vectors=False)
    assert result.U is None
    assert result.Vt is None
    assert isinstance(result.s, torch.Tensor)
    for source in (ss.matrix(torch.from_numpy(A[0])), [torch.from_numpy(A[0]), A[1]]):
        assert isinstance(ss.svds(source, 3).s, np.ndarray)


def test_tensors_outlive_the_result() -> None:
    torch = pytest.importorskip("torch")
    U, s, Vt = ss.svds(torch.from_numpy(A[0]), 3)
    expected = ss.svds(A[0], 3)
    np.testing.assert_array_equal(U, expected.U)
    np.testing.assert_array_equal(s, expected.s)
    np.testing.assert_array_equal(Vt, expected.Vt)
