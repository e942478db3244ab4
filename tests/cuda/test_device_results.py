# SPDX-License-Identifier: BSD-3-Clause
"""Results of arrays on a device: vectors as arrays of their library, and memory that it keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support.coverings import grid
from tests.support.device_arrays import Interface, Versioned, library

import sigmascope as ss
from sigmascope.errors import DeviceError, DeviceMemoryError, MemoryLimitError
from sigmascope.results import SVD
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

pytestmark = pytest.mark.unsanitized

LIBRARIES = ["cupy", "torch"]
BASE = np.random.default_rng(2).standard_normal((90, 64))
SOLVERS: dict[str, Callable[..., SVD]] = {
    "krylov": lambda x, **on: ss.svds(x, 4, method="krylov", **on),
    "gram": lambda x, **on: ss.svds(x, 4, method="gram", **on),
    "randomized_svd": lambda x, **on: ss.randomized_svd(x, 4, **on),
}


@pytest.fixture(autouse=True)
def simulated(simulated: ModuleType) -> ModuleType:
    """Let the package see two simulated devices."""
    simulated.simulator.restart(devices=2)
    return simulated


def imported(name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a library of simulated arrays where an import would."""
    made = library(name, module)
    monkeypatch.setitem(sys.modules, name, made)
    return made


@grid(
    name=LIBRARIES,
    solver=SOLVERS.keys(),
    shape=[(90, 64), (64, 90)],
    dtype=[np.float32, np.float64],
)
def test_vectors_are_arrays_of_the_caller_s_library(
    name: str,
    solver: str,
    shape: tuple[int, int],
    dtype: type,
    simulated: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = imported(name, simulated, monkeypatch)
    x = BASE.reshape(shape).astype(dtype)
    result = SOLVERS[solver](made.ndarray(simulated, x))
    expected = SOLVERS[solver](x, device="cuda")
    for vectors in ("U", "Vt"):
        array = getattr(result, vectors)
        assert type(array) is made.ndarray
        np.testing.assert_array_equal(array.read(), getattr(expected, vectors), strict=True)
    assert (result.U.shape, result.Vt.shape) == ((shape[0], 4), (4, shape[1]))
    for numbers in ("s", "errors", "residuals"):
        assert type(getattr(result, numbers)) is np.ndarray
        np.testing.assert_array_equal(getattr(result, numbers), getattr(expected, numbers))
    assert result.notes == expected.notes
    assert simulated.simulator.violation() == ""


def test_vectors_are_on_the_device_of_the_array(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = imported("torch", simulated, monkeypatch)
    result: Any = ss.svds(torch.ndarray(simulated, BASE, device=1), 2)
    assert result.U.device == result.Vt.device == 1
    U, _, Vt = result
    assert (U, Vt) == (result.U, result.Vt)
    assert "computed on cuda:1" in result.notes
    assert ss.svds(torch.ndarray(simulated, BASE), 2, vectors=False).U is None


def test_arrays_of_several_libraries_give_numpy_s(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy, torch = (imported(name, simulated, monkeypatch) for name in LIBRARIES)
    parts = [cupy.ndarray(simulated, BASE), torch.ndarray(simulated, BASE)]
    result = ss.svds(ss.vstack(parts), 2)
    assert type(result.U) is np.ndarray
    assert (
        "NumPy arrays are returned, since the arguments are arrays of cupy and torch"
        in result.notes
    )
    assert type(ss.svds(ss.vstack(parts[:1] * 2), 2).U) is cupy.ndarray
    plain = ss.svds(Interface(simulated, BASE), 2)
    assert type(plain.U) is np.ndarray
    assert ("NumPy arrays are returned, since the arguments are arrays of tests") in plain.notes


def test_a_tensor_with_gradients_is_detached(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = imported("torch", simulated, monkeypatch)
    tensor = torch.ndarray(simulated, BASE)

    class Parameter(Versioned):
        requires_grad = True

        def detach(self) -> Any:
            return tensor

        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("can't export tensors that require gradient")

    assert type(ss.svds(Parameter(simulated, BASE), 2).U) is torch.ndarray


OTHERS: dict[str, Callable[..., Any]] = {
    "moments": lambda x, **on: ss.moments(x, **on).row_norms,
    "spectrum": lambda x, **on: ss.spectrum(x, effort="exact", **on).values,
    "Sketch": lambda x, **on: Sketch(64, 4).update(x, **on).svd(4).s,
    "Gram": lambda x, **on: GramAccumulator(64).update(x, **on).svdvals().values,
    "Moments": lambda x, **on: MomentsAccumulator(64).update(x, **on).result().column_norms,
    "LinearSketch": lambda x, **on: LinearSketch((90, 64), 4).update(x, **on).svd(4).s,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_results_are_numpy_s(name: str, simulated: ModuleType) -> None:
    """Also of numbers that are not written yet when the matrix is made."""
    array = Versioned(simulated, BASE[::-1].copy())
    a = ss.matrix(array)
    array.write(BASE)
    result, expected = OTHERS[name](a), OTHERS[name](BASE, device="cuda")
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, expected)
    assert simulated.simulator.violation() == ""


def test_items_of_a_stream_may_be_on_a_device(simulated: ModuleType) -> None:
    parts = [BASE[:3], Versioned(simulated, BASE), BASE[3:9]]
    result = Sketch(64, 4).extend(parts)
    expected = Sketch(64, 4)
    for part in (BASE[:3], BASE, BASE[3:9]):
        expected.update(part)
    np.testing.assert_allclose(result.svd(4).s, expected.svd(4).s, rtol=1e-12)
    assert result.rows == 99


# --------------------------------------------------------------------------------- memory


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_memory_that_a_library_keeps_is_given_back(
    name: str, simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the call where a plan does not fit, and after it where the device has none left."""
    simulator = simulated.simulator
    made = imported(name, simulated, monkeypatch)
    kept: list[int] = []
    released = made.cuda.empty_cache

    def release() -> None:
        released()
        for address in kept:
            simulator.free(address)
        kept.clear()

    monkeypatch.setattr(made.cuda, "empty_cache", release)
    monkeypatch.setattr(made.get_default_memory_pool(), "free_all_blocks", release)
    array = Versioned(simulated, BASE)
    expected = ss.svds(array, 2)
    simulator.free_spares()
    kept.append(simulator.allocate((1 << 30) - (24 << 20)))
    made.unused = 1
    np.testing.assert_array_equal(ss.svds(array, 2).s, expected.s)
    assert made.released == 1
    assert not kept


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cupy", pytest.param("torch", marks=pytest.mark.nightly)])
def test_a_solver_is_called_again_when_memory_was_given_back(
    name: str, simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulated.simulator
    made = imported(name, simulated, monkeypatch)
    array = Versioned(simulated, BASE)
    before = simulator.counts()["calls"]
    expected = ss.randomized_svd(array, 2, passes=1)
    calls = simulator.counts()["calls"] - before
    answers = 0
    for number in range(0, calls, 5):
        made.unused, made.released = 1, 0
        simulator.fail_after(number)
        try:
            result = ss.randomized_svd(array, 2, passes=1)
        except DeviceError:  # a call before the solver
            assert made.released == 0
            continue
        np.testing.assert_array_equal(result.s, expected.s)
        answers += made.released
    assert answers > calls / 20
    assert simulator.violation() == ""


def test_a_refusal_names_the_libraries_that_were_asked(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = simulated.simulator
    for name in LIBRARIES:
        imported(name, simulated, monkeypatch).used = 1
    simulator.restart(devices=2, memory=128 << 20)
    array = Versioned(simulated, BASE)
    taken = simulator.allocate(104 << 20)
    with pytest.raises(
        MemoryLimitError,
        match=r"needs .* on cuda:0, where a .*; memory of cupy and torch is still .*x\.cpu\(\)",
    ):
        ss.svds(array, 2)
    simulator.free(taken)


def test_the_second_failure_of_a_solver_is_told(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = imported("torch", simulated, monkeypatch)
    array = made.ndarray(simulated, BASE)
    made.full = True  # no memory for vectors
    with pytest.raises(DeviceMemoryError, match=r"torch cannot allocate 90 x 2 numbers on cuda:0"):
        ss.svds(array, 2)
    made.used = made.unused = 1
    with pytest.raises(DeviceMemoryError, match=r"too much; memory of torch is still in use there"):
        ss.svds(array, 2)
    assert made.released == 2
    assert issubclass(DeviceMemoryError, MemoryError)


# ------------------------------------------------------------------------------- other builds


def test_builds_without_cuda_say_so(simulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    array = Versioned(simulated, BASE)
    monkeypatch.setitem(sys.modules, "sigmascope._cuda", None)
    for lying in (array, Interface(simulated, BASE)):
        with pytest.raises(
            DeviceError, match=r"an array of tests lies on cuda:0, .*built without CUDA; copy it"
        ):
            ss.svds(lying, 2)
    assert array.settled() == (0, 0)


class OnHost:
    """Exports a NumPy array as NumPy does, from a place of the host that it names."""

    def __init__(self, x: Any, kind: int) -> None:
        self.x, self.kind = x, kind
        self.requests: list[dict[str, Any]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0

    def __dlpack__(self, **options: Any) -> Any:
        self.requests.append(options)
        return self.x.__dlpack__(**options)


@pytest.mark.parametrize("kind", [1, 3])
def test_pinned_memory_is_that_of_the_host(kind: int) -> None:
    x = BASE[:, ::2]
    array = OnHost(x, kind)
    a = ss.matrix(array)
    assert array.requests == [{"max_version": (1, 0)}]  # a stream is for devices
    assert a.device == "cpu"
    np.testing.assert_array_equal(np.asarray(a), x)
    frozen = x.copy()
    frozen.flags.writeable = False  # which only capsules of version 1 say
    np.testing.assert_array_equal(np.asarray(ss.matrix(OnHost(frozen, kind))), x)
