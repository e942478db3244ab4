# SPDX-License-Identifier: BSD-3-Clause
"""Thin products A X, A^T X and the Krylov step A^T (A X), by storage and width of the block.

A sample of the result is held against float64. A product that torch makes all in bf16 is rounded to
bf16: some 1000 times less accurate than the others.
"""

from __future__ import annotations

from typing import Any

import floors
import numpy as np
import peers_of_kernels
import pytest
import workloads
from numpy.typing import NDArray

PEERS = peers_of_kernels.PRODUCTS
SAMPLE = 64


@pytest.mark.parametrize("k", [8, 16, 32, 64])
@pytest.mark.parametrize("verb", ["multiply", "adjoint", "gram"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "f8_e4m3"])
def test_product(
    dtype: str,
    verb: str,
    k: int,
    peer: peers_of_kernels.Peer,
    smoke: bool,
    measure: Any,
    benchmark: Any,
) -> None:
    if not peer.takes(dtype):
        pytest.skip(f"{peer.name} takes {', '.join(peer.dtypes)} only")
    m, n = (256, 344) if smoke else (4096, 11008)
    A = workloads.stored(dtype, m, n)
    rng = np.random.default_rng(k)
    X = rng.standard_normal((m if verb == "adjoint" else n, k), dtype=np.float32)
    result = measure(
        lambda: peer.run(A, X, verb),
        table="products",
        case={"dtype": dtype, "shape": f"{m} x {n}", "product": verb, "k": k},
        peer=peer,
        rounds=7,
        work=(4.0 if verb == "gram" else 2.0) * m * n * k,
        unit="GFLOP/s",
        least_work=(lambda _: floors.product(A, k, "float32", both=verb == "gram"))
        if peer.name == peers_of_kernels.OURS
        else None,
    )
    error = _error(A, X, verb, result)
    benchmark.extra_info["error"] = error
    # Sums of n products in float32: rounding grows with the length at worst, its root in practice.
    assert error <= (2.0**-6 if "bf16" in peer.name else 64 * 2.0**-24)


def _error(A: NDArray[Any], X: NDArray[Any], verb: str, result: Any) -> float:
    """The largest error of a sample of rows, relative to the sums of the terms' magnitudes."""
    if verb == "gram":
        # The second product is held against its own first factor, which is held against A X.
        both, image = result
        return max(_error(A, X, "multiply", image), _error(A, image, "adjoint", both))
    height = result.shape[0]
    rows = np.random.default_rng(1).choice(height, min(SAMPLE, height), replace=False)
    left = (A[:, rows].T if verb == "adjoint" else A[rows]).astype(np.float64)
    right = X.astype(np.float64)
    bound = np.abs(left) @ np.abs(right)
    return float(np.max(np.abs(result[rows] - left @ right) / bound))
