# SPDX-License-Identifier: BSD-3-Clause
"""Memory of a device that a call takes: all of it at once, as it is planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
        simulated.simulator.restart(memory=memory)
        CALLS[name](a, device="cuda")
        counts = simulated.simulator.counts()
        assert counts["pools"] > 0
        assert counts["allocations"] == counts["pools"], kind
        assert simulated.simulator.objects_in_use() == 0


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
