# SPDX-License-Identifier: BSD-3-Clause
"""Memory of a device that a call takes: all of it at once, as it is planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support import known_spectra

import sigmascope as ss

pytestmark = pytest.mark.unsanitized

CALLS: dict[str, Callable[..., Any]] = {
    "svds by Krylov spaces": lambda a, **o: ss.svds(a, 5, method="krylov", tol=1e-3, **o),
    "svds in float64": lambda a, **o: ss.svds(a, 5, method="krylov", precision="float64", **o),
    "svds by the Gram matrix": lambda a, **o: ss.svds(a, 5, method="gram", **o),
    "randomized_svd": lambda a, **o: ss.randomized_svd(a, 5, passes=4, **o),
    "randomized_svd in one pass": lambda a, **o: ss.randomized_svd(a, 5, passes=1, **o),
    "svdvals": ss.svdvals,
    "spectral_density": ss.spectral_density,
    "moments": ss.moments,
}


def matrices() -> dict[str, Any]:
    """Matrices of several dtypes and layouts, tall and wide, and a sum of two."""
    tall, _ = known_spectra.exponential(240, 64)
    wide = tall.T.astype(np.float32)
    added = ss.matrix(tall) + ss.matrix(tall[:, ::-1].copy())
    return {
        "float64": tall,
        "float32, wide": wide,
        "float16, by columns": np.asfortranarray(tall.astype(np.float16)),
        "a sum": added,
    }


@pytest.mark.parametrize("shape", [(4096, 200), (200, 4096)], ids=["tall", "wide"])
def test_the_planned_memory_has_room_for_panels_of_the_transpose(
    shape: tuple[int, int], cuda_module: ModuleType
) -> None:
    """A panel has 64 rows of length 4096, of the matrix or of its transpose, in float64."""
    a = ss.matrix(np.ones(shape))
    nbytes = cuda_module.panel_bytes(
        a.native, panel_rows=64, panel_numbers=0, columns=1, tensors=False
    )
    stored, decoded = 3 * 64 * shape[1] * 8, 64 * 4096 * 8
    assert stored + decoded <= nbytes <= 1.2 * (stored + decoded)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1 << 30, 96 << 20])
@pytest.mark.parametrize("name", CALLS)
def test_each_native_call_reserves_its_memory_once(
    name: str, memory: int, simulated: ModuleType
) -> None:
    for kind, a in matrices().items():
        simulated.simulator.restart(memory=memory, pools_keep=False)
        CALLS[name](a, device="cuda")
        counts = simulated.simulator.counts()
        assert counts["pools"] > 0
        assert counts["allocations"] == counts["pools"], kind
        assert simulated.simulator.objects_in_use() == 0


KEPT = 32 << 20
"""Bytes that a pool keeps for the next call."""


def test_a_second_call_makes_no_stream_and_no_pool(simulated: ModuleType) -> None:
    """Nor does it take memory of the device: a small matrix has less work in it than that."""
    a = known_spectra.exponential(60, 24)[0].astype(np.float32)
    options: dict[str, Any] = {"method": "krylov", "device": "cuda", "panel_rows": 16}
    expected = ss.svds(a, 2, **options)
    before = simulated.simulator.counts()
    np.testing.assert_array_equal(ss.svds(a, 2, **options).s, expected.s)
    after = simulated.simulator.counts()
    made = ("streams", "pools", "allocations", "pinned_allocations")
    assert {name: after[name] - before[name] for name in made} == dict.fromkeys(made, 0)
    assert after["launches"] > before["launches"]
    assert simulated.simulator.bytes_in_use() <= KEPT


def test_a_device_uses_nothing_of_another(simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    a = known_spectra.exponential(60, 24)[0]
    expected = ss.svds(a, 2, method="krylov", device="cuda:0")
    before = simulated.simulator.counts()
    result = ss.svds(a, 2, method="krylov", device="cuda:1")
    np.testing.assert_array_equal(result.s, expected.s)
    after = simulated.simulator.counts()
    assert (after["streams"], after["pools"]) == (before["streams"] * 2, before["pools"] * 2)


def test_memory_that_is_kept_counts_as_free(simulated: ModuleType) -> None:
    free = simulated.free_memory(0)
    ss.svds(known_spectra.exponential(60, 24)[0], 2, method="krylov", device="cuda")
    assert simulated.simulator.bytes_in_use() > 0
    assert simulated.free_memory(0) == free
    simulated.simulator.free_spares()
    assert simulated.simulator.bytes_in_use() == 0
    assert simulated.free_memory(0) == free


def test_a_large_call_gives_its_memory_back(simulated: ModuleType) -> None:
    a = np.ones((1200, 4096), np.float64)
    held = simulated.simulator.allocate(1)
    ss.svds(a, 2, method="krylov", tol=1e-2, device="cuda")
    assert 0 < simulated.simulator.bytes_in_use() <= KEPT + 1
    simulated.simulator.free(held)


def test_threads_have_streams_and_pools_of_their_own(simulated: ModuleType) -> None:
    """Their order changes no bit, and the next calls use what the first have made."""
    a = known_spectra.exponential(60, 24)[0]
    expected = ss.svds(a, 2, method="krylov", device="cuda")

    def search(_: int) -> Any:
        return ss.svds(a, 2, method="krylov", device="cuda").s

    with ThreadPoolExecutor(4) as threads:
        for s in threads.map(search, range(12)):
            np.testing.assert_array_equal(s, expected.s)
    counts = simulated.simulator.counts()
    assert counts["streams"] <= 2 * 5
    assert counts["pools"] <= 5
    assert simulated.simulator.violation() == ""
    assert simulated.simulator.objects_in_use() == 0


def test_what_is_kept_makes_room_for_a_call_that_needs_it(simulated: ModuleType) -> None:
    """A device whose memory is full, but for what a pool keeps and a tenth more."""
    a, larger = (known_spectra.exponential(n, 24)[0] for n in (60, 900))
    search: dict[str, Any] = {"k": 2, "method": "krylov", "panel_rows": 16, "device": "cuda"}
    expected = ss.svds(larger, **search)
    needed = simulated.simulator.bytes_in_use()
    simulated.simulator.free_spares()
    ss.svds(a, **search)
    assert simulated.simulator.bytes_in_use() < needed
    held = simulated.simulator.allocate((1 << 30) - needed * 10 // 9)
    np.testing.assert_allclose(ss.svds(larger, **search).s, expected.s, rtol=1e-13)
    simulated.simulator.free(held)


@pytest.mark.parametrize("name", CALLS)
def test_a_device_without_pools_has_the_same_bits(name: str, simulated: ModuleType) -> None:
    a = known_spectra.exponential(120, 40)[0].astype(np.float32)
    expected = CALLS[name](a, device="cuda")
    simulated.simulator.restart(memory_pools=False, timing="random")
    result = CALLS[name](a, device="cuda")
    assert simulated.simulator.counts()["pools"] == 0
    assert simulated.simulator.objects_in_use() == 0
    assert simulated.simulator.violation() == ""
    names = {field.name for field in dataclasses.fields(expected)} - {"seconds"}
    for column in names:
        mine, wanted = getattr(result, column), getattr(expected, column)
        if isinstance(wanted, (np.ndarray, float, int, str, bool)):
            np.testing.assert_array_equal(mine, wanted)
