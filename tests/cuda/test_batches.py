# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that the simulated device computes together: bits, launches, failures, races."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.cuda_builds import (
    CPP,
    CUDA,
    PLAIN,
    ROOT,
    TSAN,
    Build,
    built,
    compiler,
    run_program,
)
from tests.support.tiers import parametrize_builds

import sigmascope as ss
from sigmascope._execution.batches import Batch
from sigmascope._execution.devices import device_of
from sigmascope.errors import DeviceError, NonFiniteError
from sigmascope.results import SVD

pytestmark = pytest.mark.unsanitized

Compute = Callable[[Any], Any]

SOURCES = [
    ROOT / "tests" / "cuda" / "batch_main.cpp",
    *(CUDA / "runtime" / f"{name}.cpp" for name in ("batch", "contexts")),
    *(CUDA / "memory" / f"{name}.cpp" for name in ("memory_pool", "pinned_memory", "upload")),
    *(CUDA / "kernels" / f"{name}.cu" for name in ("bytes", "gaussian", "verbs")),
    *(CPP / "storage" / f"{name}.cpp" for name in ("file", "memory")),
    CPP / "kernels" / "blocks" / "thread_pool.cpp",
]


def computed(matrices: Sequence[Any], compute: Compute, threads: int = 2) -> list[Any]:
    """Compute a result of each matrix in one batch; an error is the outcome of its matrix."""

    def outcome(index: int) -> object:
        try:
            return compute(matrices[index])
        except Exception as error:
            return error.with_traceback(None)

    count = len(matrices)
    device = device_of("cuda")
    with ThreadPoolExecutor(count) as pool, Batch(device, count, threads) as batch:
        calls = [pool.submit(batch.run, i, lambda i=i: outcome(i)) for i in range(count)]
        return [call.result() for call in calls]


def search(a: Any) -> SVD:
    return ss.svds(a, 3, method="krylov", block=4, tol=1e-3, device="cuda")


def sketch(a: Any) -> SVD:
    return ss.randomized_svd(a, 2, passes=1, device="cuda")


def decaying(seed: int, shape: tuple[int, int], decay: float = 0.8) -> NDArray[np.float64]:
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return numbers * decay ** np.arange(shape[1])


def bf16(a: NDArray[np.float64]) -> ss.Matrix:
    codes = (a.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return ss.matrix(codes, dtype="bf16")


STORED: dict[str, Compute] = {
    "float32": lambda a: a.astype(np.float32),
    "float64": lambda a: a,
    "bf16": bf16,
}


def assert_same_bits(result: Any, expected: Any) -> None:
    assert type(result) is type(expected), result
    for name in ("U", "s", "Vt", "errors", "residuals", "values", "row_norms"):
        wanted = getattr(expected, name, None)
        if wanted is not None:
            np.testing.assert_array_equal(getattr(result, name), wanted)


SHORT = {("bf16", (90, 40)), ("float64", (40, 90))}
"""Matrices of the short tier: of two bytes a number, and wide ones of eight."""


@pytest.mark.parametrize(
    ("stored", "shape"),
    [
        pytest.param(
            stored,
            shape,
            id=f"{stored}-{shape[0]}x{shape[1]}",
            marks=[] if (stored, shape) in SHORT else [pytest.mark.slow],
        )
        for stored in STORED
        for shape in ((90, 40), (40, 90))
    ],
)
def test_each_matrix_has_the_bits_of_a_call_of_its_own(
    stored: str, shape: tuple[int, int], simulated: ModuleType
) -> None:
    """Also where some converge in fewer steps, in any order of the device and of threads."""
    decays = (0.1, 0.9, 0.1)
    matrices = [STORED[stored](decaying(i, shape, decay)) for i, decay in enumerate(decays)]
    expected = [search(a) for a in matrices]
    assert len({one.passes for one in expected}) > 1
    for order, timing, threads in (("forward", "eager", 1), ("random", "random", 4)):
        simulated.simulator.restart(order=order, timing=timing, seed=threads)
        for result, wanted in zip(computed(matrices, search, threads), expected, strict=True):
            assert_same_bits(result, wanted)
        assert simulated.simulator.violation() == ""
        assert simulated.simulator.objects_in_use() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "compute",
    [
        lambda a: ss.svds(a, 3, method="gram", device="cuda"),
        lambda a: ss.svdvals(a, device="cuda"),
        lambda a: ss.randomized_svd(a, 3, passes=1, device="cuda"),
        lambda a: ss.moments(a, device="cuda"),
    ],
    ids=["gram", "svdvals", "randomized_svd", "moments"],
)
def test_other_functions_have_the_same_bits(compute: Compute, simulated: ModuleType) -> None:
    matrices = [decaying(seed, (40, 12)) for seed in range(3)]
    expected = [compute(a) for a in matrices]
    simulated.simulator.restart(timing="random")
    for result, wanted in zip(computed(matrices, compute), expected, strict=True):
        assert_same_bits(result, wanted)
    assert simulated.simulator.violation() == ""


@pytest.mark.nightly
def test_equal_matrices_have_the_launches_and_waits_of_two(simulated: ModuleType) -> None:
    a = decaying(0, (24, 8)).astype(np.float32)

    def counted(count: int) -> dict[str, int]:
        simulated.simulator.restart(memory=16 << 30)
        assert all(isinstance(result, SVD) for result in computed([a] * count, sketch))
        counts: dict[str, int] = simulated.simulator.counts()
        return {name: counts[name] for name in ("launches", "waits")}

    two = counted(2)
    assert two["launches"] > 10
    assert counted(128) == two
    more = counted(129)
    assert more["waits"] == two["waits"]
    assert more["launches"] == 2 * two["launches"]  # one launch serves 128 matrices at most


@pytest.mark.slow
def test_a_matrix_that_differs_leaves_the_others_together(simulated: ModuleType) -> None:
    """A search of more steps has launches of its own once the others have ended."""
    easy, hard = decaying(0, (90, 40), 0.1), decaying(1, (90, 40), 0.9)

    def launches(matrices: list[Any]) -> int:
        simulated.simulator.restart()
        computed(matrices, search)
        count: int = simulated.simulator.counts()["launches"]
        return count

    together = launches([easy, easy, hard, easy, easy])
    assert together < launches([easy, easy]) + launches([hard, hard])


def test_a_matrix_that_fails_ends_alone(simulated: ModuleType) -> None:
    matrices = [decaying(seed, (50, 16)) for seed in range(4)]
    matrices[2][3, 5] = np.nan
    result = computed(matrices, search)
    assert isinstance(result[2], NonFiniteError)
    assert "first at (3, 5)" in str(result[2])
    for i in (0, 1, 3):
        assert_same_bits(result[i], search(matrices[i]))
    assert simulated.simulator.objects_in_use() == 0


def failed(compute: Callable[[], list[Any]], expected: list[Any]) -> int:
    """Return the number of matrices that a device fails for; the others have the same bits."""
    try:
        result = compute()
    except DeviceError:  # of the batch itself
        return len(expected)
    for one, wanted in zip(result, expected, strict=True):
        if not isinstance(one, DeviceError):
            assert_same_bits(one, wanted)
    return sum(isinstance(one, DeviceError) for one in result)


@pytest.mark.slow
def test_any_call_of_the_runtime_may_fail_and_nothing_is_left(simulated: ModuleType) -> None:
    """If one matrix does not get its memory, the other does not fail."""
    matrices = [decaying(seed, (20, 6)) for seed in range(2)]
    simulated.simulator.restart()
    expected = computed(matrices, sketch, threads=1)
    calls = simulated.simulator.counts()["calls"]
    failures: list[int] = []
    for number in range(0, calls, 5):
        simulated.simulator.restart(failing_call=number, timing="random", seed=number)
        failures.append(failed(lambda: computed(matrices, sketch, threads=1), expected))
        gc.collect()  # an error and the frames that it passed refer to each other
        assert simulated.simulator.objects_in_use() == 0, number
        assert simulated.simulator.violation() == "", number
        assert simulated.simulator.last_error() == 0, number
    assert 1 in failures
    assert len(failures) - failures.count(0) > len(failures) / 5  # most calls are of destructors


def test_a_launch_or_wait_that_fails_is_an_error_of_every_matrix(simulated: ModuleType) -> None:
    matrices = [decaying(seed, (6, 4)) for seed in range(2)]

    def outcomes() -> list[Any]:
        try:
            return computed(matrices, lambda a: ss.moments(a, device="cuda"), threads=1)
        except DeviceError:  # of the batch itself
            return []

    simulated.simulator.restart(memory_pools=False)  # which wait once more in the end
    outcomes()
    counts = simulated.simulator.counts()
    left = counts["launches"] + counts["waits"]
    for number in reversed(range(counts["calls"])):
        simulated.simulator.restart(memory_pools=False, failing_call=number, failure=719)
        result = outcomes()
        left -= bool(result) and all(isinstance(one, DeviceError) for one in result)
        if left == 0:
            return
    assert left == 0


def test_a_stack_is_computed_in_batches_that_fit(simulated: ModuleType) -> None:
    stack = np.stack([decaying(0, (24, 10))] * 6).astype(np.float32)
    expected = search(stack[0])

    def counted(memory: int, count: int) -> dict[str, int]:
        simulated.simulator.restart(memory=memory)
        result: Any = search(stack[:count])
        for i in range(count):
            assert_same_bits(result[i], expected)
        counts: dict[str, int] = simulated.simulator.counts()
        return counts

    two, six, few = counted(4 << 30, 2), counted(4 << 30, 6), counted(160 << 20, 6)
    for name in ("launches", "waits"):
        assert six[name] <= two[name] + 6
        assert few[name] > 1.5 * six[name]
    assert simulated.simulator.objects_in_use() == 0


def test_a_batch_that_is_closed_waits_for_nobody(simulated: ModuleType) -> None:
    a = decaying(0, (30, 10))
    native = simulated.Batch(0, matrices=2, threads=1)
    with pytest.raises(IndexError):
        native.enter(2)
    with ThreadPoolExecutor(1) as pool:
        batch = Batch(device_of("cuda"), 2, 1)
        begun = Event()
        call = pool.submit(batch.run, 0, lambda: (begun.set(), search(a))[1])
        with batch:
            assert begun.wait(60)
            assert not call.done()
        assert_same_bits(call.result(), search(a))
    with pytest.raises(ValueError, match="begins once, before the batch is closed"):
        batch.run(1, lambda: None)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@parametrize_builds(PLAIN, TSAN)
def test_no_order_of_threads_is_a_race(build: Build, tmp_path: Path, objects: Path) -> None:
    program = built(build, SOURCES, tmp_path, objects=objects)
    orders = [(0, 0, 1), (1, 1, 2), (2, 2, 5)]
    if build is TSAN:
        orders = orders[-1:]  # of five threads: half a minute
    for order, timing, threads in orders:
        status, text = run_program(build, program, order, timing, threads, 5, threads)
        assert status == 0, text
