# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that lie on a simulated device: layouts, streams, lifetimes, and what is refused."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.device_arrays import MANAGED, DeviceArray, Interface, Unversioned, Versioned
from tests.support.dlpack import Exported

import sigmascope as ss
from sigmascope.errors import DeviceError, NonFiniteError
from sigmascope.results import SVD
from sigmascope.streaming import Sketch

pytestmark = pytest.mark.unsanitized

KINDS = [Versioned, Unversioned, Interface]
BASE = np.random.default_rng(1).standard_normal((90, 64))

VIEWS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "rows": lambda x: x,
    "columns": np.asfortranarray,
    "offset": lambda x: x[3:, 5:],
    "some columns": lambda x: x[:, 1:57],
    "steps": lambda x: x[::2, ::3],
    "negative": lambda x: x[::-1, ::-2],
    "negative columns": lambda x: np.asfortranarray(x)[::-3],
    "transposed": lambda x: x.T,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}


@pytest.fixture(autouse=True)
def simulated(simulated: ModuleType) -> ModuleType:
    """Let the package see two simulated devices."""
    simulated.simulator.restart(devices=2)
    return simulated


def assert_same(result: SVD, expected: SVD) -> None:
    for name in ("U", "s", "Vt", "errors", "residuals"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), strict=True)


@pytest.mark.slow
@grid(view=VIEWS.keys(), kind=KINDS)
def test_any_layout_has_the_bits_of_the_host_matrix(
    view: str, kind: type[DeviceArray], simulated: ModuleType
) -> None:
    x = VIEWS[view](BASE.astype(np.float32))
    array = kind(simulated, x)
    before = simulated.simulator.counts()["bytes_to_device"]
    result = ss.svds(array, 1)
    copied = simulated.simulator.counts()["bytes_to_device"] - before
    assert copied < x.nbytes / 2 or view == "steps"  # coefficients of blocks, not the matrix
    assert_same(result, ss.svds(x, 1, device="cuda"))
    assert result.notes[:2] == (
        "computed on cuda:0",
        "NumPy arrays are returned, since the arguments are arrays of tests",
    )
    np.testing.assert_array_equal(ss.svdvals(array).values, ss.svdvals(x, device="cuda").values)
    assert simulated.simulator.violation() == ""


@grid(
    dtype=[
        np.float64,
        np.float32,
        np.float16,
        ml_dtypes.bfloat16,
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e5m2,
    ],
    kind=KINDS,
)
def test_every_dtype(dtype: Any, kind: type[DeviceArray], simulated: ModuleType) -> None:
    x = BASE.astype(dtype)
    array = kind(simulated, x, device=1)
    expected = ss.randomized_svd(x, 4, device="cuda:1")
    if kind is Interface and dtype not in (
        np.float64,
        np.float32,
        np.float16,
    ):  # its dtypes are those of NumPy
        with pytest.raises(TypeError, match=r"say which dtype its bytes encode: matrix\(x, dtype"):
            ss.matrix(array)
        a = ss.matrix(array, dtype=ss.matrix(x).storage)
    else:
        a = ss.matrix(array)
    assert repr(a) == f"Matrix(90 x 64, {a.storage}, {x.nbytes:,} bytes, on cuda:1)"
    assert a.device == "cuda:1"
    assert_same(ss.randomized_svd(a, 4), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("view", ["rows", "offset", "some columns", "columns", "broadcast"])
def test_several_panels(view: str, dtype: Any, simulated: ModuleType) -> None:
    """Numbers of bf16 are multiplied where they lie, several panels at a time; unaligned too."""
    x = VIEWS[view](np.random.default_rng(4).standard_normal((300, 64)).astype(dtype))
    result = ss.svds(Versioned(simulated, x), 1, panel_rows=64, method="krylov")
    assert_same(result, ss.svds(x, 1, panel_rows=64, method="krylov", device="cuda"))
    assert_same(result, ss.svds(np.array(x), 1, method="krylov", device="cuda"))
    assert simulated.simulator.violation() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_accepted_and_other_types_are_refused(
    kind: type[DeviceArray], simulated: ModuleType
) -> None:
    x = BASE.astype(ml_dtypes.bfloat16)
    codes = kind(simulated, x.view(np.uint16))
    assert_same(ss.svds(ss.matrix(codes, dtype="bf16"), 2), ss.svds(x, 2, device="cuda"))
    with pytest.raises((TypeError, ValueError), match="hold codes of f32"):
        ss.matrix(codes, dtype="f32")
    for other in (np.int64, np.complex64, np.uint8):
        with pytest.raises((TypeError, ValueError), match=r"is not a real matrix|not supported"):
            ss.matrix(kind(simulated, BASE.astype(other)))
    with pytest.raises(ValueError, match="a matrix has 2 dimensions"):
        ss.matrix(kind(simulated, BASE[None]))
    with pytest.raises(ValueError, match=r"shape \(0, 3\) has no singular values"):
        ss.svds(kind(simulated, np.zeros((0, 3))), 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_slices_transposes_and_sums(kind: type[DeviceArray], simulated: ModuleType) -> None:
    x, y = BASE.astype(np.float32), (2 * BASE[::-1]).astype(np.float16)
    made = {}
    for name, (a, b) in {
        "device": (ss.matrix(kind(simulated, x)), ss.matrix(kind(simulated, y))),
        "host": (ss.matrix(x), ss.matrix(y)),
    }.items():
        on = {} if name == "device" else {"device": "cuda"}
        made[name] = [
            ss.randomized_svd(each, 3, **on)
            for each in (
                a - 0.5 * b,
                (a + b)[5:70:3, ::2],
                a.T[3:, 2:],
                ss.vstack([a, b[:7]]),
                ss.block([[a, b], [b, a]]).T,
            )
        ]
    for result, expected in zip(made["device"], made["host"], strict=True):
        assert_same(result, expected)


# ------------------------------------------------------------------------- streams, lifetimes


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timing", ["late", "random"])
def test_pending_writes_of_the_library_are_seen(
    kind: type[DeviceArray], timing: str, simulated: ModuleType
) -> None:
    """Also those that were asked for between the making of the matrix and the call."""
    simulated.simulator.restart(timing=timing, seed=5)
    expected = [ss.svds(x, 3, device="cuda") for x in (BASE, 2 * BASE[::-1])]
    array = kind(simulated, BASE)  # whose numbers are not written yet
    assert_same(ss.svds(array, 3), expected[0])
    array = kind(simulated, BASE)
    a = ss.matrix(array)
    array.write((2 * BASE[::-1]).copy())
    assert_same(ss.svds(a, 3), expected[1])
    assert all(stream is not None and stream > 2 for stream in array.streams)
    assert len(array.streams) == (0 if kind is Interface else 2)
    assert simulated.simulator.violation() == ""


def test_a_library_that_does_not_order_its_writes_is_noticed(simulated: ModuleType) -> None:
    """Shows that the tests of streams can fail: memory is NaN until the writer has run."""

    class Careless(Versioned):
        def capsule(self, stream: int | None, versioned: bool) -> Any:
            return super().capsule(None, versioned)

    with pytest.raises(NonFiniteError):
        ss.svds(Careless(simulated, BASE), 3)


@pytest.mark.parametrize("writer", [1, 2])
def test_default_streams_of_the_interface(writer: int, simulated: ModuleType) -> None:
    expected = ss.svds(BASE, 3, device="cuda")
    assert_same(ss.svds(Interface(simulated, BASE, writer=writer), 3), expected)
    unordered = Interface(simulated, BASE)
    unordered.changes = {"stream": None}
    with pytest.raises(NonFiniteError):
        ss.svds(unordered, 3)


def test_stream_zero_is_refused(simulated: ModuleType) -> None:
    array = Interface(simulated, BASE)
    array.changes = {"stream": 0}
    with pytest.raises(ValueError, match=r"stream 0 .* is ambiguous"):
        ss.matrix(array)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Versioned, Unversioned])
def test_every_capsule_is_given_back_once(kind: type[DeviceArray], simulated: ModuleType) -> None:
    array = kind(simulated, BASE)
    a = ss.matrix(array)
    assert array.settled() == (1, 0)
    part = a[:50].T
    ss.svds(part, 2)
    assert array.settled() == (2, 1)  # one export orders the streams
    del a
    assert array.settled() == (2, 1)
    del part
    assert array.settled() == (2, 2)
    text = kind(simulated, BASE.astype(np.complex64))
    with pytest.raises(TypeError, match="has the singular values of the complex A"):
        ss.matrix(text)
    assert text.settled() == (0, 0)  # it is refused by its dtype


@pytest.fixture
def own_garbage() -> Iterator[None]:
    """Let collections look at objects of this test alone: those of a whole session take longer."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.usefixtures("own_garbage")
def test_any_call_of_the_runtime_may_fail_and_nothing_is_left(simulated: ModuleType) -> None:
    simulator = simulated.simulator

    def objects_of(fail_after: int | None, array: DeviceArray) -> bool:
        before = simulator.objects_in_use()
        failed = False
        if fail_after is not None:
            simulator.fail_after(fail_after)
        try:
            ss.randomized_svd(array, 2, passes=1)
        except DeviceError:
            failed = True
        exports, given_back = array.settled()
        assert exports == given_back, fail_after
        assert simulator.objects_in_use() == before, fail_after
        return failed

    small = BASE[:24, :12]
    simulator.restart()
    array = Versioned(simulated, small)
    first = simulator.counts()["calls"]
    assert not objects_of(None, array)
    calls = simulator.counts()["calls"] - first
    failures = 0
    numbers = [*range(40), *range(40, calls, 4)]  # those of the exchange come first
    for number in numbers:
        simulator.restart(timing="random", seed=number)
        failures += objects_of(number, Versioned(simulated, small))
        assert simulator.violation() == "", number
    assert failures > len(numbers) / 3


# ---------------------------------------------------------------------------------- refusals


def test_the_device_of_a_call_is_that_of_its_array(simulated: ModuleType) -> None:
    array = Versioned(simulated, BASE, device=1)
    for device in (None, "cuda", "cuda:1"):
        assert "computed on cuda:1" in ss.svds(array, 2, device=device).notes
    with pytest.raises(DeviceError, match=r"device is 'cpu'.*is on cuda:1; copy it to the host"):
        ss.svds(array, 2, device="cpu")
    with pytest.raises(DeviceError, match="device is 'cuda:0', but the matrix is on cuda:1"):
        ss.svds(array, 2, device="cuda:0")
    with pytest.raises(DeviceError, match="'cuda:7' is not available"):
        ss.svds(array, 2, device="cuda:7")
    other = ss.matrix(Versioned(simulated, BASE, device=0))
    for join in (
        lambda: ss.matrix(array) - other,
        lambda: ss.hstack([array, other]),
        lambda: ss.vstack([other, BASE]),
        lambda: ss.matrix(BASE) + other,
    ):
        with pytest.raises(DeviceError, match=r"cannot be joined or added; copy one .*cupy"):
            join()


CPU_ALONE: dict[str, Callable[[Any], object]] = {
    "multiply": lambda x: ss.matrix(x) @ np.ones((x.shape[1], 2)),
    "adjoint": lambda x: ss.matrix(x).T @ np.ones(x.shape[0]),
    "decoding": lambda x: np.asarray(ss.matrix(x)),
    "Sketch": lambda x: Sketch(x.shape[1], 4).update(x, device="cpu"),
    "moments": lambda x: ss.moments(x, device="cpu"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CPU_ALONE)
def test_what_computes_on_the_host_refuses(
    name: str, kind: type[DeviceArray], simulated: ModuleType
) -> None:
    """Device memory cannot be read by the host: the process would end."""
    with pytest.raises(DeviceError, match=r"x\.cpu\(\) of torch, x\.get\(\) of CuPy"):
        CPU_ALONE[name](kind(simulated, BASE))
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        ss.matrix(kind(simulated, BASE)).__reduce__()[1][0].__reduce_ex__(2)


def exporting(**changes: Any) -> type[Versioned]:
    """Return a class of arrays that say something else of themselves."""

    class Changed(Versioned):
        def __dlpack_device__(self) -> tuple[int, int]:
            place: tuple[int, int] = changes.get("device", (self.kind, self.device))
            return place

        def exported(self) -> Exported:
            return Exported(**{**vars(super().exported()), **changes})

    return Changed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"address": 4096}, DeviceError, r"claims .* cuda:0 has memory of no CUDA device at 0x"),
        ({"shape": (91, 64)}, DeviceError, r"claims to be on cuda:0 has memory of no CUDA device"),
        ({"device": (2, 1)}, DeviceError, r"claims to be on cuda:1 has memory of cuda:0"),
        ({"device": (2, 5)}, DeviceError, r"on cuda:5, .* \(available: cuda:0, cuda:1\); copy it"),
        ({"device": (10, 0)}, ValueError, r"type 10\) that is neither the host nor a CUDA device"),
        ({"major": 2}, ValueError, r"DLPack version 2\.0; only version 1 is supported"),
    ],
)
def test_false_descriptions(
    changes: dict[str, Any], error: type[Exception], message: str, simulated: ModuleType
) -> None:
    array = exporting(**changes)(simulated, BASE)
    with pytest.raises(error, match=message):
        ss.matrix(array)
    exports, given_back = array.settled()
    assert exports == given_back


@pytest.mark.parametrize("changes", [{"flags": 1}, {"flags": 3}, {"strides": None}])
def test_read_only_tensors_and_those_without_strides(
    changes: dict[str, Any], simulated: ModuleType
) -> None:
    result = ss.svds(exporting(**changes)(simulated, BASE), 2)
    assert_same(result, ss.svds(BASE, 2, device="cuda"))


def test_managed_memory_counts_as_the_device_s(simulated: ModuleType) -> None:
    a = ss.matrix(Versioned(simulated, BASE, kind=MANAGED))
    assert a.device == "cuda:0"
    assert_same(ss.svds(a, 2), ss.svds(BASE, 2, device="cuda"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mask": object()}, TypeError, "masked array is not supported"),
        ({"version": 1}, ValueError, "has version 1; version 2 or newer is needed"),
        ({"data": (4096, False)}, DeviceError, "at 0x1000 is not in the memory of a CUDA device"),
        ({"strides": (1 << 20, 8)}, DeviceError, "has memory of no CUDA device"),
        ({"typestr": ">f8"}, TypeError, "in the other order"),
        ({"typestr": "<f1"}, TypeError, "typestr '<f1' is not a dtype of NumPy; pass .* by DLPack"),
    ],
)
def test_false_interfaces(
    changes: dict[str, Any], error: type[Exception], message: str, simulated: ModuleType
) -> None:
    array = Interface(simulated, BASE)
    array.changes = changes
    with pytest.raises(error, match=message):
        ss.matrix(array)


def test_interface_of_version_2_and_read_only(simulated: ModuleType) -> None:
    array = Interface(simulated, BASE)
    array.read()  # all of it is written: version 2 has no stream
    array.changes = {
        "version": 2,
        "stream": None,
        "strides": None,
        "data": (array.address, True),
    }
    assert_same(ss.svds(array, 2), ss.svds(BASE, 2, device="cuda"))
