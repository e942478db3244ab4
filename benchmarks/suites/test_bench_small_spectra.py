# SPDX-License-Identifier: BSD-3-Clause
"""Measures of the spectrum of small float64 matrices: from every value, and from a density."""

from __future__ import annotations

from typing import Any

import peers_of_small_matrices
import pytest
import workloads

PEERS = peers_of_small_matrices.SPECTRA


@pytest.mark.parametrize("order", [8, 16, 32, 64, 128, 256, 512, 1024, 2048])
def test_spectra(
    order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any
) -> None:
    if smoke and order > 64:
        pytest.skip("not a small shape")
    A = workloads.dense("llm", order, order, workloads.TIMED, "f64")
    rank = measure(
        lambda: peer.run(A),
        table="small_spectra",
        case={"matrix": f"llm {order} x {order}"},
        peer=peer,
        rounds=10 if order <= 256 else 1,
        warmup_rounds=1 if turn == 0 else 0,
    )
    exact = peers_of_small_matrices.rank_by_numpy(A)
    error = abs(rank - exact) / exact
    benchmark.extra_info["error"] = error
    assert error <= (0.05 if peer.name == peers_of_small_matrices.DENSITY else 1e-6)
