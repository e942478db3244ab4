# SPDX-License-Identifier: BSD-3-Clause
"""Panels on a simulated device: how large they are, and which numbers of a matrix stay there."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support import known_spectra
from tests.support.coverings import covered

import sigmascope as ss
from sigmascope._execution.devices import Device
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope._execution.reading import DevicePlan
from sigmascope.solvers.krylov import KrylovSettings

pytestmark = pytest.mark.unsanitized

RUN = {"threads": 1, "load_bytes": 0, "progress": None, "device": 0, "f64": False}
DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "f16": np.float16,
    "f32": np.float32,
    "f8": ml_dtypes.float8_e4m3fn,
}
PLENTY = 1 << 24


def density(
    module: ModuleType, a: ss.Matrix, products: str, steps: int = 3, **memory: int
) -> dict[str, Any]:
    options = {"panel_rows": 0, "device_bytes": 0} | memory
    made: dict[str, Any] = module.density(
        a.native, block=4, steps=steps, seed=1, products=products, **options, **RUN
    )
    assert module.simulator.violation() == ""
    assert module.simulator.objects_in_use() == 0
    return made


def numbers(dtype: str, rows: int = 320, cols: int = 72) -> ss.Matrix:
    rng = np.random.default_rng(rows)
    return ss.matrix(rng.standard_normal((rows, cols)).astype(DTYPES[dtype]))


@pytest.mark.slow
@covered(
    dtype=DTYPES.keys(),
    products=["full", "split", "rounded"],
    stored={"stored numbers stay": PLENTY, "are copied": 0},
    parts={"those in bf16 stay": PLENTY, "are made in each pass": 0},
    size=[{"panel_rows": 64}, {"device_panel_numbers": 72 * 128}, {}],
)
def test_size_of_panels_and_what_stays_change_no_bit(
    dtype: str,
    products: str,
    stored: int,
    parts: int,
    size: dict[str, int],
    cuda_module: ModuleType,
) -> None:
    a = numbers(dtype)
    expected = density(cuda_module, a, products)
    cuda_module.simulator.restart(timing="random", seed=2)
    memory = {"device_bytes": stored, "device_parts_bytes": parts} | size
    made = density(cuda_module, a, products, **memory)
    for name, value in expected.items():
        if name != "seconds":
            np.testing.assert_array_equal(made[name], value)


@pytest.mark.parametrize("products", ["full", "split", "rounded"])
def test_rows_that_are_in_bf16_already_leave_the_others_as_they_are(
    products: str, cuda_module: ModuleType
) -> None:
    """Parts of such a matrix are never complete: the rows in bf16 are multiplied where they lie."""
    a = ss.vstack([numbers("f16", rows=128), numbers("bf16", rows=192)])
    expected = density(cuda_module, a, products, panel_rows=64)
    made = density(
        cuda_module, a, products, panel_rows=64, device_bytes=PLENTY, device_parts_bytes=PLENTY
    )
    for name, value in expected.items():
        if name != "seconds":
            np.testing.assert_array_equal(made[name], value)


@pytest.mark.parametrize("dtype", ["f16", "f32", "f8"])
def test_numbers_in_bf16_that_stay_are_multiplied_at_once(
    dtype: str, cuda_module: ModuleType
) -> None:
    """After the first pass nothing of the matrix is copied or decoded: as if it had one panel."""
    a = numbers(dtype, rows=640, cols=64)

    def counted(steps: int, panel_rows: int) -> dict[str, int]:
        cuda_module.simulator.restart()
        memory = {"panel_rows": panel_rows, "device_parts_bytes": PLENTY}
        density(cuda_module, a, "rounded", steps, **memory)
        counts: dict[str, int] = cuda_module.simulator.counts()
        return counts

    def of_three_steps(name: str, panel_rows: int) -> int:
        return counted(5, panel_rows)[name] - counted(2, panel_rows)[name]

    assert of_three_steps("launches", 64) == of_three_steps("launches", 640)
    assert of_three_steps("bytes_to_device", 64) < a.nbytes / 4  # coefficients of blocks


def test_larger_panels_are_fewer(cuda_module: ModuleType) -> None:
    a = numbers("f32", rows=640, cols=64)

    def launches(panel_numbers: int) -> int:
        cuda_module.simulator.restart()
        density(cuda_module, a, "full", device_panel_numbers=panel_numbers)
        count: int = cuda_module.simulator.counts()["launches"]
        return count

    assert launches(64 * 64) > launches(320 * 64) > launches(640 * 64) == launches(1 << 30)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "split", "mixed"])
@pytest.mark.parametrize("dtype", ["f16", "f32"])
def test_whatever_the_memory_holds_the_bits_are_the_same(
    dtype: str, precision: str, simulated: ModuleType
) -> None:
    """From the least memory that a call accepts to more than it uses; and never more than that."""
    A, _ = known_spectra.polynomial(320, 200)
    a = ss.matrix(A.astype(DTYPES[dtype]))

    def search(memory: int) -> ss.SVD:
        simulated.simulator.restart(memory=memory, pools_keep=False)
        return ss.svds(
            a, 4, method="krylov", precision=precision, tol=1e-2, device="cuda", panel_rows=64
        )

    expected = search(1 << 30)
    refused, accepted = 0, 1 << 30
    while accepted - refused > 1024:
        middle = (refused + accepted) // 2
        try:
            search(middle)
        except ss.errors.MemoryLimitError:
            refused = middle
        else:
            accepted = middle
    copied = []
    for more in (0, a.nbytes // 2, a.nbytes, 2 * a.nbytes, 4 * a.nbytes):
        result = search(accepted + more)
        for name in ("s", "errors", "U"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
        counts = simulated.simulator.counts()
        assert counts["allocations"] == counts["pools"]
        copied.append(counts["bytes_to_device"])
    assert copied == sorted(copied, reverse=True)
    assert copied[0] > 2 * copied[-1]  # with the least memory, nothing stays


@pytest.mark.parametrize("precision", ["float64", "split", "mixed"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plan_counts_all_that_stays(dtype: str, precision: str, simulated: ModuleType) -> None:
    """Whatever the memory, the numbers stay if they are counted, and are counted if they stay."""
    a = numbers(dtype)
    settings = KrylovSettings(a.shape, 4, 1e-2, 16, precision, vectors=True, density=False)

    def plan(nbytes: int) -> DevicePlan:
        device = Device("cuda:0", 0).share(nbytes)
        call = CallOptions.of(a, device=device, panel_rows=64)
        memory = CallMemory(a, dataclasses.replace(call, precision=precision))
        return memory.device_plan(settings.need(), "a search")

    alone = plan(1 << 30)
    taken = alone.planned_nbytes - alone.parts_nbytes - a.nbytes
    ways = set()
    for eighths in range(49):
        nbytes = taken + eighths * a.nbytes // 8
        made = plan(nbytes)
        stays = made.stored_nbytes >= a.nbytes
        assert made.planned_nbytes == taken + stays * a.nbytes + made.parts_nbytes
        assert made.planned_nbytes <= nbytes
        ways.add((stays, made.parts_nbytes > 0))
    assert {(False, False), (True, alone.parts_nbytes > 0)} <= ways
    with pytest.raises(ss.errors.MemoryLimitError):
        plan(taken - 1)
