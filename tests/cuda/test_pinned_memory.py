# SPDX-License-Identifier: BSD-3-Clause
"""Pinned memory of the process: lent to calls, bounded, and given back whatever fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.cuda_builds import (
    ASAN,
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
from tests.support.upload_timeline import FILLED, LINKED, list_uploads, model_timeline

import sigmascope as ss
from sigmascope._execution.memory import elementwise_need
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope.results import SVD

pytestmark = pytest.mark.unsanitized

SOURCES = [
    ROOT / "tests" / "cuda" / "pinned_main.cpp",
    *(CUDA / "memory" / f"{name}.cpp" for name in ("pinned_memory", "upload")),
    CUDA / "kernels" / "bytes.cu",
    CPP / "kernels" / "blocks" / "thread_pool.cpp",
    *(CPP / "storage" / f"{name}.cpp" for name in ("file", "memory")),
]


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@parametrize_builds(PLAIN, ASAN, TSAN)
def test_threads_and_copies_share_it(build: Build, tmp_path: Path, objects: Path) -> None:
    program = built(build, SOURCES, tmp_path, objects=objects)
    for timing in range(3):
        status, text = run_program(build, program, 2, timing, tmp_path / "numbers")
        assert status == 0, text


@pytest.mark.parametrize("threads", [1, 4, 8])
def test_an_upload_takes_as_long_as_the_slower_of_host_and_link(
    threads: int, simulated: ModuleType
) -> None:
    """One buffer is filled while another is copied: but for the first and the last, see `draw`."""
    uploads = list_uploads(simulated, 96 << 20, threads)
    copies = model_timeline(uploads, threads)
    nbytes = [copied.nbytes for copied in copies]
    assert sum(nbytes) >= 96 << 20
    assert max(nbytes) <= 8 << 20
    filling, copying = sum(nbytes) / (threads * FILLED), sum(nbytes) / LINKED
    begun_and_ended = max(nbytes) / (threads * FILLED) + max(nbytes) / LINKED
    assert copies[-1].copied[1] <= max(filling, copying) + begun_and_ended
    one_at_a_time = [step for copy in uploads if copy[0] for step in (copy, (0, 0))]
    waits = [(0, i // 2 + 1) if i % 2 else step for i, step in enumerate(one_at_a_time)]
    serial = model_timeline(waits, threads)[-1].copied[1]
    assert serial == pytest.approx(filling + copying)  # what one buffer would take


def numbers() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((300, 90)).astype(np.float32)


def test_a_second_call_pins_nothing(simulated: ModuleType) -> None:
    calls = (
        lambda: ss.svds(numbers(), 3, device="cuda"),
        lambda: ss.svdvals(numbers(), device="cuda"),
        lambda: ss.moments(numbers(), device="cuda"),
    )
    for call in calls:
        call()
    pinned = simulated.simulator.counts()["pinned_allocations"]
    assert 0 < pinned <= 8
    for call in calls:
        call()
    assert simulated.simulator.counts()["pinned_allocations"] == pinned
    assert simulated.simulator.objects_in_use() == 0


@pytest.mark.slow
def test_calls_in_threads_have_the_bits_of_one(simulated: ModuleType) -> None:
    expected = ss.svds(numbers(), 3, device="cuda")

    def decompose(_: int) -> SVD:
        return ss.svds(numbers(), 3, device="cuda", num_threads=1)

    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            for result in pool.map(decompose, range(16)):
                np.testing.assert_array_equal(result.s, expected.s)
                np.testing.assert_array_equal(result.U, expected.U)
        assert simulated.simulator.violation() == ""
        assert simulated.simulator.objects_in_use() == 0


@pytest.mark.parametrize("wide", [False, True])
def test_a_matrix_in_a_file_is_read_and_copied_once(
    wide: bool, simulated: ModuleType, tmp_path: Path
) -> None:
    """Also a Gram matrix by columns takes the rows that are on the device."""
    a = np.ascontiguousarray(numbers().T) if wide else numbers()
    (tmp_path / "numbers").write_bytes(b"!" + a.tobytes())
    stored = ss.tensor(tmp_path / "numbers", 1, a.shape, "f32")
    for solver in (
        lambda matrix: ss.svds(matrix, 3, method="krylov", device="cuda").s,
        lambda matrix: ss.svdvals(matrix, device="cuda").values,
    ):
        expected = solver(a)
        simulated.simulator.restart()
        np.testing.assert_array_equal(solver(stored), expected)
        assert stored.nbytes <= simulated.simulator.counts()["bytes_to_device"] < 2 * stored.nbytes


def test_no_file_is_loaded_that_a_device_takes(simulated: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "numbers").write_bytes(bytes(4 * 3000 * 2000))
    stored = ss.tensor(tmp_path / "numbers", 0, (3000, 2000), "f32")

    def loaded(a: ss.Matrix, *, several: bool = False) -> int:
        call = CallOptions.of(a, device="cuda", memory_limit="1GiB")
        worst = elementwise_need if several else None
        return CallMemory(a, call).plan(elementwise_need, "a call", worst=worst).loaded_nbytes

    assert loaded(stored) == 0
    assert loaded(stored, several=True) == loaded(stored.T) == stored.nbytes
    simulated.simulator.restart(memory=135 << 20)  # which has no room for the stored numbers
    assert loaded(stored) == stored.nbytes
