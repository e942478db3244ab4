# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value of a float32 matrix, against LAPACK's SVD in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers
import pytest
import workloads

PEERS = peers.SVDVALS
FLOORS = {
    peers.OURS: 1.4e-7,
    "numpy svd, float32": 1e-5,
    "numpy svd, float64": 1e-13,
    "numpy eigvalsh of the float64 Gram matrix": 1.4e-7,
}
"""The largest error that each method claims, in units of sigma_1."""


@pytest.mark.parametrize("order", [1024, 2048])
@pytest.mark.parametrize("kind", ["llm", "decay"])
def test_svdvals(
    kind: str, order: int, peer: peers.Peer, turn: int, smoke: bool, measure: Any, benchmark: Any
) -> None:
    n = order // 8 if smoke else order
    A = workloads.dense(kind, n, n, 0)
    values = measure(
        lambda: peer.run(A),
        table="svdvals",
        case={"matrix": f"{kind} {n} x {n}"},
        peer=peer,
        rounds=1,
        warmup_rounds=1 if turn == 0 else 0,
    )
    exact = workloads.reference(A)
    error = float(np.max(np.abs(values - exact)) / exact[0])
    benchmark.extra_info["error"] = error
    assert error <= FLOORS[peer.name]
