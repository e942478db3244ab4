# SPDX-License-Identifier: BSD-3-Clause
"""Measures of the spectrum of small float64 matrices: from every value, and from a density."""

from __future__ import annotations

from typing import Any

import peers_of_small_matrices as small

PEERS = small.SPECTRA


@small.ORDERS
def test_spectra(
    order: int, peer: Any, turn: int, smoke: bool, measure: Any, benchmark: Any
) -> None:
    A, rank = small.timed("small_spectra", order, peer, smoke, measure)
    exact = small.rank_by_numpy(A)
    error = abs(rank - exact) / exact
    benchmark.extra_info["error"] = error
    assert error <= (0.05 if peer.name == small.DENSITY else 1e-6)
