# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value of small float64 matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers_of_small_matrices
import pytest
import workloads

PEERS = peers_of_small_matrices.SVDVALS


@pytest.mark.parametrize("order", [8, 16, 32, 64, 128, 256, 512, 1024, 2048])
def test_svdvals(
    order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any
) -> None:
    if smoke and order > 64:
        pytest.skip("not a small shape")
    A = workloads.dense("llm", order, order, workloads.TIMED, "f64")
    values = measure(
        lambda: peer.run(A),
        table="small_svdvals",
        case={"matrix": f"llm {order} x {order}"},
        peer=peer,
        rounds=20 if order <= 256 else 1,
        warmup_rounds=1 if turn == 0 else 0,
    )
    exact = workloads.reference(A)
    error = float(np.abs(values - exact).max() / exact[0])
    benchmark.extra_info["error"] = error
    assert error <= 1.4e-7
