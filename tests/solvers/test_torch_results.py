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


def assert_same(found: Any, expected: Any, torch: Any) -> None:
    """Compare the bits of tensors with those of arrays, which have the same dtypes."""
    for name in ("U", "s", "Vt"):
        tensor, array = getattr(found, name), getattr(expected, name)
        assert isinstance(tensor, torch.Tensor)
        assert tensor.device.type == "cpu"
        assert not tensor.requires_grad
        np.testing.assert_array_equal(tensor.numpy(), array, strict=True)
    for name in ("errors", "residuals"):
        assert isinstance(getattr(found, name), np.ndarray)
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


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
    found = function(tensor, 4)
    assert found.U.dtype is found.Vt.dtype is getattr(torch, found.precision)
    assert found.s.dtype is torch.float64
    truth = np.linalg.svd(wide.astype(np.float64), compute_uv=False)[:4]
    assert np.all(np.abs(found.s.numpy() - truth) <= found.errors + 1e-14 * truth[0])
    if dtype in ("float64", "float32"):
        assert_same(found, function(wide, 4), torch)
    product = (found.U * found.s.to(found.U.dtype)) @ found.Vt
    np.testing.assert_allclose(torch.linalg.svdvals(product)[:4], found.s, rtol=1e-5)
    assert "sigma = [" in repr(found)
    assert "residual" in found._repr_html_()


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
    found, expected = function(source, 3), function(array, 3)
    assert_same(found, expected, torch)
    if found.s.ndim > 1:
        first = (0,) * (found.s.ndim - 1)
        assert_same(found[first], expected[first], torch)
        assert found[first].U.data_ptr() == found.U[first].data_ptr()
        assert repr(found).startswith("SVDStack(")


def test_a_failed_matrix_of_a_stack_has_nan() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(A.copy())
    x[1, 2, 3] = torch.nan
    with pytest.warns(FailedMatrixWarning):
        found = ss.svds(x, 2)
    assert torch.isnan(found.U[1]).all()
    assert torch.isnan(found.s[1]).all()
    assert isinstance(found.outcomes[1], NonFiniteError)
    assert_same(found[0], ss.svds(A[0], 2), torch)


def test_gradients_are_not_propagated() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(40, 60)
    found = ss.svds(layer.weight, 3)
    assert_same(found, ss.svds(layer.weight.detach().numpy(), 3), torch)


def test_results_without_vectors_and_of_other_sources() -> None:
    torch = pytest.importorskip("torch")
    found = ss.svds(torch.from_numpy(A[0]), 3, vectors=False)
    assert found.U is None
    assert found.Vt is None
    assert isinstance(found.s, torch.Tensor)
    for source in (ss.matrix(torch.from_numpy(A[0])), [torch.from_numpy(A[0]), A[1]]):
        assert isinstance(ss.svds(source, 3).s, np.ndarray)


def test_tensors_outlive_the_result() -> None:
    torch = pytest.importorskip("torch")
    U, s, Vt = ss.svds(torch.from_numpy(A[0]), 3)
    expected = ss.svds(A[0], 3)
    np.testing.assert_array_equal(U, expected.U)
    np.testing.assert_array_equal(s, expected.s)
    np.testing.assert_array_equal(Vt, expected.Vt)
