# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value of a stored matrix, against LAPACK in float64. Conversions are timed."""

from __future__ import annotations

from typing import Any

import floors
import numpy as np
import peers_of_kernels
import pytest
import workloads

PEERS = peers_of_kernels.SVDVALS
FLOORS = {
    peers_of_kernels.OURS: 1.4e-7,
    peers_of_kernels.FAST: 5e-4,
    peers_of_kernels.TWO_STAGE: 1.4e-7,
    "numpy svd, float32": 1e-5,
    "numpy svd, float64": 1e-13,
    "numpy eigvalsh of the float64 Gram matrix": 1.4e-7,
}
"""The largest error that each method claims, in units of sigma_1."""

SLOW = {"numpy svd, float32", "numpy svd, float64", "numpy eigvalsh of the float64 Gram matrix"}
"""Timed once above order 2048, without a warm-up: they take a minute there, or ten."""


@pytest.mark.parametrize("order", [1024, 2048, 4096, 8192])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("kind", ["llm", "decay"])
def test_svdvals(
    kind: str,
    dtype: str,
    order: int,
    peer: peers_of_kernels.Peer,
    turn: int,
    smoke: bool,
    measure: Any,
    benchmark: Any,
    request: pytest.FixtureRequest,
) -> None:
    if order > 4096 and not request.config.getoption("bench_large"):
        pytest.skip("--bench-large asks for it")
    slow = order > 2048 and peer.name in SLOW
    if slow and turn > 0:
        pytest.skip("timed once")
    n = order // 8 if smoke else order
    A = workloads.dense(kind, n, n, 0).astype(workloads.DTYPES[dtype])
    values = measure(
        lambda: peer.run(A),
        table="svdvals",
        case={"matrix": f"{kind} {n} x {n}", "dtype": dtype},
        peer=peer,
        rounds=1,
        warmup_rounds=1 if turn == 0 and not slow else 0,
        least_work=(lambda _: floors.every_value(A))
        if peer.name == peers_of_kernels.OURS
        else None,
    )
    exact = workloads.reference(A)
    error = np.abs(values - exact) / exact[0]
    large = float(error[exact > 1e-3 * exact[0]].max())
    benchmark.extra_info["error"] = float(error.max())
    benchmark.extra_info["error above 1e-3"] = large
    assert error.max() <= FLOORS[peer.name]
    if peer.name == peers_of_kernels.FAST and kind == "llm" and n >= 2048:
        assert large < 2e-7
