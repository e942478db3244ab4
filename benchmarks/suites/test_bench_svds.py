# SPDX-License-Identifier: BSD-3-Clause
"""Time of the k largest triplets by sigmascope; `sigmascope bench` compares other libraries."""

from __future__ import annotations

from typing import Any

import floors
import peers_of_kernels
import pytest
import workloads

PEERS = peers_of_kernels.SVDS


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("kind", ["llm", "decay"])
def test_svds(
    kind: str,
    dtype: str,
    tol: float,
    peer: peers_of_kernels.Peer,
    smoke: bool,
    measure: Any,
    benchmark: Any,
) -> None:
    m, n, k = (512, 448, 16) if smoke else (4096, 4096, 64)
    A = workloads.dense(kind, m, n, workloads.TIMED, dtype)
    top = measure(
        lambda: peer.run(A, k, tol),
        table="svds",
        case={"matrix": f"{kind} {m} x {n}", "dtype": dtype, "k": k, "tol": tol},
        peer=peer,
        rounds=7,
        least_work=lambda top: floors.search_of(A, top),
    )
    assert top.converged
    error = workloads.worst_relative_error(top.s, workloads.reference(A))
    residual = workloads.worst_residual(A, top.U, top.s, top.Vt)
    benchmark.extra_info.update(error=error, residual=residual)
    assert residual <= 1.01 * tol + 1e-5
