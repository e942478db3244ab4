# SPDX-License-Identifier: BSD-3-Clause
"""Stacks that lie on a simulated device, or are computed on one."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support.device_arrays import Interface, Versioned, library

import sigmascope as ss
from sigmascope.errors import FailedMatrixWarning

pytestmark = [pytest.mark.unsanitized, pytest.mark.slow]

X = np.random.default_rng(3).standard_normal((3, 12, 8)).astype(np.float32)


@pytest.fixture(autouse=True)
def simulated(simulated: ModuleType) -> ModuleType:
    """Let the package see two simulated devices."""
    simulated.simulator.restart(devices=2)
    return simulated


@pytest.fixture(params=["cupy", "torch"])
def made(request: pytest.FixtureRequest, simulated: ModuleType, monkeypatch: Any) -> Any:
    """A library of simulated arrays where an import would put it."""
    result = library(request.param, simulated)
    monkeypatch.setitem(sys.modules, request.param, result)
    return result


def assert_same_vectors(result: Any, expected: Any) -> None:
    for name in ("U", "Vt"):
        np.testing.assert_array_equal(getattr(result, name).read(), getattr(expected, name))


@pytest.mark.parametrize(("method", "threads"), [("krylov", 3), ("gram", 1)])
def test_vectors_are_one_array_of_the_caller_s_library(
    method: str, threads: int, made: Any, simulated: ModuleType
) -> None:
    index = 1 if made.__name__ == "torch" else 0  # the simulated CuPy has one current device
    result: Any = ss.svds(
        made.ndarray(simulated, X, device=index), 2, method=method, num_threads=threads
    )
    U, s, Vt = result
    assert type(U) is type(Vt) is made.ndarray
    assert (U.shape, Vt.shape, U.device) == ((3, 12, 2), (3, 2, 8), index)
    assert type(s) is np.ndarray
    for i, a in enumerate(X):
        expected = ss.svds(a, 2, method=method, device="cuda")
        assert_same_vectors(result[i], expected)
        np.testing.assert_array_equal(U[i].read(), expected.U)
        np.testing.assert_array_equal(result.errors[i], expected.errors)
        assert f"computed on cuda:{index}" in result[i].notes
    assert simulated.simulator.violation() == ""


def test_a_failed_matrix_has_nan_for_vectors_there(made: Any, simulated: ModuleType) -> None:
    x = np.array(X)
    x[1, 2, 3] = np.inf
    with pytest.warns(FailedMatrixWarning, match=r"\[1\]"):
        result: Any = ss.svds(made.ndarray(simulated, x), 2, method="krylov")
    assert np.isnan(result.U.read()[1]).all()
    assert np.isfinite(result.U.read()[[0, 2]]).all()
    assert_same_vectors(result[2], ss.svds(x[2], 2, method="krylov", device="cuda"))


@pytest.mark.parametrize("kind", [Versioned, Interface])
def test_arrays_of_other_libraries_give_numpy_s(
    kind: type[Versioned | Interface], simulated: ModuleType
) -> None:
    result = ss.svds(kind(simulated, X), 2, method="krylov")
    expected = ss.svds(X, 2, method="krylov", device="cuda", num_threads=3)
    assert type(result.U) is np.ndarray
    for name in ("U", "s", "Vt", "errors"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


def test_every_function_computes_a_stack_there(simulated: ModuleType) -> None:
    array = Versioned(simulated, X)
    values: Any = ss.svdvals(array, num_threads=1)
    truth = np.linalg.svd(X.astype(np.float64), compute_uv=False)
    assert np.all(np.abs(values.values - truth) <= values.errors + 1e-13)
    density: Any = ss.spectral_density(array, passes=2, probes=4)
    spectrum: Any = ss.spectrum(array, effort="top", k=2)
    for i, a in enumerate(X):
        alone = ss.spectral_density(a, passes=2, probes=4, device="cuda")
        assert density[i].nuclear_norm() == alone.nuclear_norm()
        assert spectrum[i].measures == ss.spectrum(a, effort="top", k=2, device="cuda").measures
        assert spectrum[i].device == "cuda:0"
    assert simulated.simulator.violation() == ""
