# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of CuPy and torch on a GPU, where there is one."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.results import SVD

X = np.random.default_rng(3).standard_normal((300, 200)).astype(np.float32)


def live(name: str) -> Any:
    """Return a library that has a GPU, or skip."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    module = importlib.import_module(name)
    if not module.cuda.is_available() or ss.available_devices() == ["cpu"]:
        pytest.skip("needs a GPU and a build with CUDA")
    return module


def check(x: Any, U: Any, result: SVD) -> None:
    """Compare an answer of an array, whose vectors U were copied to the host, with the host's."""
    expected = ss.svds(X, 4, device="cuda")
    assert type(result.U) is type(result.Vt) is type(x)
    assert type(result.s) is np.ndarray
    np.testing.assert_array_equal(result.s, expected.s)
    np.testing.assert_array_equal(U, expected.U)


def test_tensors_of_torch() -> None:
    torch = live("torch")
    x, numbers = torch.zeros(X.shape, device="cuda"), torch.as_tensor(X, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        x += numbers  # on a stream that only the exchange of the array orders before the call
        result: Any = ss.svds(x, 4)
    check(x, result.U.cpu().numpy(), result)
    half = torch.as_tensor(X, device="cuda").bfloat16().requires_grad_()
    assert ss.matrix(half).storage == "bf16"
    assert ss.svds(half, 2).U.device == x.device


def test_arrays_of_cupy() -> None:
    cupy = live("cupy")
    x, numbers = cupy.zeros(X.shape, "float32"), cupy.asarray(X)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True):
        x += numbers
        result: Any = ss.svds(x, 4)
    check(x, result.U.get(), result)
    assert ss.matrix(x.T[::-2]).device == "cuda:0"
