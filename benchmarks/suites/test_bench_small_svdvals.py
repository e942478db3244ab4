# SPDX-License-Identifier: BSD-3-Clause
"""Every singular value of small float64 matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import peers_of_small_matrices as small
import workloads

PEERS = small.SVDVALS


@small.ORDERS
def test_svdvals(
    order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any
) -> None:
    A, values = small.timed("small_svdvals", order, peer, smoke, measure)
    exact = workloads.reference(A)
    error = float(np.abs(values - exact).max() / exact[0])
    benchmark.extra_info["error"] = error
    assert error <= 1.4e-7
