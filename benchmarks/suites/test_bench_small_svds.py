# SPDX-License-Identifier: BSD-3-Clause
"""Triplets of small float64 matrices, where calls cost as much as the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers_of_small_matrices as small
import workloads

PEERS = small.SVDS


@small.ORDERS
def test_svds(order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any) -> None:
    A, (U, s, Vt) = small.timed("small_svds", order, peer, smoke, measure)
    exact = workloads.reference(A)
    error = float(np.abs(s - exact[: len(s)]).max() / exact[0])
    benchmark.extra_info.update(error=error, residual=workloads.worst_residual(A, U, s, Vt))
    assert len(s) == small.wanted(A)
    assert error <= small.TOL
