# SPDX-License-Identifier: BSD-3-Clause
"""Triplets of small float64 matrices, where calls cost as much as the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers_of_small_matrices
import pytest
import workloads

PEERS = peers_of_small_matrices.SVDS


@pytest.mark.parametrize("order", [8, 16, 32, 64, 128, 256, 512, 1024, 2048])
def test_svds(order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any) -> None:
    if smoke and order > 64:
        pytest.skip("not a small shape")
    A = workloads.dense("llm", order, order, workloads.TIMED, "f64")
    k = min(8, order // 2)
    U, s, Vt = measure(
        lambda: peer.run(A, k),
        table="small_svds",
        case={"matrix": f"llm {order} x {order}", "k": k},
        peer=peer,
        rounds=20 if order <= 256 else 1,
        warmup_rounds=1 if turn == 0 else 0,
    )
    exact = workloads.reference(A)
    error = float(np.abs(s - exact[:k]).max() / exact[0])
    residual = workloads.worst_residual(A, U, s, Vt)
    benchmark.extra_info.update(error=error, residual=residual)
    assert error <= peers_of_small_matrices.TOL
