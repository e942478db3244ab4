# SPDX-License-Identifier: BSD-3-Clause
"""Thin products of bf16 numbers summed in fp32, by width of the block: the kernels that steer.

The block is exactly bf16, so that a product A X has the errors of fp32 sums alone; torch rounds its
result to bf16. A second factor, A X rounded to bf16, costs the gram step 2^-8. A block of float32
is two blocks of bf16, hi + lo, and an error of 2^-16: the same number of flops counts once.
"""

from __future__ import annotations

from typing import Any

import floors
import ml_dtypes
import numpy as np
import peers_of_kernels
import pytest
import workloads

PEERS = peers_of_kernels.ROUNDED_PRODUCTS
SAMPLE = 64


@pytest.mark.parametrize("k", [8, 16, 32, 64, 72, 80, 128, 256])
@pytest.mark.parametrize("verb", ["multiply", "gram"])
def test_rounded_product(
    verb: str, k: int, peer: peers_of_kernels.Peer, smoke: bool, measure: Any, benchmark: Any
) -> None:
    parts = peer.name == peers_of_kernels.TWO_PARTS
    if parts and verb == "gram":
        pytest.skip("of a product alone")
    m, n = (256, 344) if smoke else (4096, 28672)
    A = workloads.stored("bf16", m, n)
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, k), dtype=np.float32)
    if not parts:
        X = X.astype(ml_dtypes.bfloat16).astype(np.float32)
    result = measure(
        lambda: peer.run(A, X, verb),
        table="rounded_products",
        case={"dtype": "bf16", "shape": f"{m} x {n}", "product": verb, "k": k},
        peer=peer,
        rounds=7,
        work=(4.0 if verb == "gram" else 2.0) * m * n * k,
        unit="GFLOP/s",
        least_work=(lambda _: floors.product(A, k, "mixed", both=verb == "gram"))
        if peer.name == peers_of_kernels.OURS
        else None,
    )
    if isinstance(result, tuple):
        result = result[0]
    rows = rng.choice(result.shape[0], min(SAMPLE, result.shape[0]), replace=False)
    if verb == "multiply":
        left, right = A[rows].astype(np.float64), X.astype(np.float64)
    else:
        left = A[:, rows].T.astype(np.float64)
        right = (A.astype(np.float32) @ X).astype(np.float64)
    error = float(np.max(np.abs(result[rows] - left @ right) / (np.abs(left) @ np.abs(right))))
    benchmark.extra_info["error"] = error
    if peer.name == "torch, all in bf16" or (verb == "gram" and peer.name == peers_of_kernels.OURS):
        assert error <= 2.0**-7
    else:
        assert error <= (2.0**-16 if parts else 64 * 2.0**-24)
