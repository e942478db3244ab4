# SPDX-License-Identifier: BSD-3-Clause
"""Computing on one device makes no context on another one, and leaves no error to a later call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support import known_spectra

import sigmascope as ss
from sigmascope.errors import DeviceError

pytestmark = pytest.mark.unsanitized

A = known_spectra.exponential(24, 12)[0]


def values(device: str = "cuda:1") -> np.ndarray:
    return ss.randomized_svd(A, 2, passes=1, device=device).s


def test_only_the_chosen_device_gets_a_context(simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=3)
    values("cuda:1")
    assert simulated.simulator.contexts() == [1]
    ss.moments(A, device="cuda:2")
    assert simulated.simulator.contexts() == [1, 2]


def test_no_thread_of_a_pool_makes_another_one(simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: values(), range(4)))
    assert simulated.simulator.contexts() == [1]


def test_what_devices_there_are_is_asked_without_a_context(simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    assert ss.available_devices() == ["cpu", "cuda:0", "cuda:1"]
    assert simulated.simulator.contexts() == []
    simulated.free_memory(1)
    assert simulated.simulator.contexts() == [1]


def test_a_device_that_is_taken_does_not_matter_to_another_one(simulated: ModuleType) -> None:
    """As cuda:0 where another process has it alone, or all of its memory."""
    simulated.simulator.restart(devices=2)
    expected = values()
    simulated.simulator.restart(devices=2, occupied=0)
    np.testing.assert_array_equal(values(), expected)
    assert simulated.simulator.last_error() == 0
    with pytest.raises(DeviceError, match=r"cuda:0 .* cannot be used: cudaSetDevice: cudaErrorDev"):
        values("cuda:0")
    assert simulated.simulator.last_error() == 0


def test_the_device_of_before_is_chosen_again(simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    held = simulated.simulator.allocate(64, device=0)
    assert simulated.simulator.device_of_thread() == 0
    values()
    assert simulated.simulator.device_of_thread() == 0
    simulated.simulator.free(held)


def test_a_device_that_cannot_be_chosen_again_is_named_by_the_next_error(
    simulated: ModuleType,
) -> None:
    """The call has its answer. CUDA would return the error once more, from any later launch."""
    simulated.simulator.restart(devices=2)
    simulated.simulator.allocate(64, device=0)
    expected = values()  # later calls find pinned memory
    before = simulated.simulator.counts()["calls"]
    values()
    last = simulated.simulator.counts()["calls"] - before - 1
    simulated.simulator.fail_after(last)
    np.testing.assert_array_equal(values(), expected)
    assert simulated.simulator.last_error() == 0
    simulated.simulator.fail_after(6)
    with pytest.raises(DeviceError, match=r"; before that, cudaSetDevice: cudaErrorMemoryAllocat"):
        values()
    np.testing.assert_array_equal(values(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_any_call_of_a_search_on_tensor_cores_may_fail(dtype: str, simulated: ModuleType) -> None:
    """Each is an error, or a call that frees; never another answer."""
    kind = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    a = known_spectra.exponential(40, 24)[0].astype(kind)

    def search() -> ss.SVD:
        return ss.svds(a, 2, method="krylov", tol=1e-2, device="cuda")

    order: dict[str, Any] = {"timing": "random", "seed": 4}  # the same calls in each turn
    simulated.simulator.restart(**order)
    expected = search()
    counts = simulated.simulator.counts()
    failed = 0
    for number in range(counts["calls"]):
        simulated.simulator.restart(failing_call=number, **order)
        try:
            result = search()
        except DeviceError:
            failed += 1
        else:
            np.testing.assert_array_equal(result.s, expected.s)
            np.testing.assert_array_equal(result.U, expected.U)
        assert simulated.simulator.last_error() == 0, number
        assert simulated.simulator.objects_in_use() == 0, number
        assert simulated.simulator.violation() == "", number
    assert failed >= counts["launches"]
