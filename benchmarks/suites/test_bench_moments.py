# SPDX-License-Identifier: BSD-3-Clause
"""Elementwise, row and column statistics in one pass, in stored bytes per second."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import floors
import numpy as np
import peers_of_kernels
import peers_of_moments
import pytest
import workloads

PEERS = peers_of_moments.MOMENTS


@lru_cache(maxsize=1)
def exact(dtype: str, m: int, n: int) -> dict[str, Any]:
    x = workloads.stored(dtype, m, n).astype(np.float64)
    results = {
        "row_norms": np.linalg.norm(x, axis=1),
        "column_norms": np.linalg.norm(x, axis=0),
        "min": x.min(),
        "max": x.max(),
        "mean": x.mean(),
        "std": x.std(),
    }
    x -= results["mean"]
    x /= results["std"]
    cubes = x**3
    return {**results, "skewness": cubes.mean(), "kurtosis": np.vdot(cubes, x) / x.size}


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f8_e4m3"])
def test_moments(
    dtype: str, peer: peers_of_kernels.Peer, smoke: bool, measure: Any, benchmark: Any
) -> None:
    m, n = (256, 344) if smoke else (4096, 11008)
    A = workloads.stored(dtype, m, n)
    result = measure(
        lambda: peer.run(A),
        table="moments",
        case={"dtype": dtype, "shape": f"{m} x {n}"},
        peer=peer,
        rounds=7,
        work=A.nbytes,
        unit="GB/s",
        least_work=(lambda _: floors.reading(A)) if peer.name == peers_of_kernels.OURS else None,
    )
    if result is not None:  # not of what only reads
        error = worst_error(result, exact(dtype, m, n))
        benchmark.extra_info["error"] = error
        assert error <= (1e-9 if peer.name == peers_of_kernels.OURS else 1e-3)


def worst_error(result: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Relative; but the mean and the skewness are near zero: of the deviation, and of one."""
    scale = {**wanted, "mean": wanted["std"], "skewness": 1.0}
    return max(
        float(np.max(np.abs(result[name] - wanted[name]) / scale[name]))
        for name in peers_of_moments.MOMENTS_OF
    )
