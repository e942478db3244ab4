# SPDX-License-Identifier: BSD-3-Clause
"""The block and the method that the cost model picks, against the fastest ones."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import workloads

import sigmascope as ss
from sigmascope._execution import costs

CASES = [
    ("llm", "f64", 64, 64, 4, 1e-3),
    ("llm", "f64", 128, 128, 8, 1e-2),
    ("llm", "f64", 256, 256, 8, 1e-6),
    ("llm", "f64", 512, 512, 8, 1e-6),
    ("llm", "f32", 256, 256, 8, 1e-3),
    ("llm", "f32", 512, 512, 16, 1e-3),
    ("llm", "f32", 1024, 1024, 64, 1e-3),
    ("llm", "f32", 2048, 2048, 32, 1e-3),
    ("llm", "f32", 4096, 4096, 16, 1e-3),
    ("llm", "f32", 4096, 4096, 64, 1e-3),
    ("llm", "f32", 4096, 4096, 64, 1e-5),
    ("llm", "f32", 4096, 11008, 64, 1e-3),
    ("decay", "f32", 2048, 2048, 64, 1e-3),
]


@pytest.mark.parametrize(("kind", "dtype", "m", "n", "k", "tol"), CASES)
def test_choice(
    kind: str, dtype: str, m: int, n: int, k: int, tol: float, smoke: bool, benchmark: Any
) -> None:
    if smoke:
        m, n, k = max(m // 8, 16), max(n // 8, 16), max(k // 8, 1)
    A = ss.matrix(workloads.dense(kind, m, n, workloads.TIMED, dtype))
    narrowest = 4 if dtype == "f64" else 8
    ways: dict[str, dict[str, Any]] = {
        f"block {b}": {"method": "krylov", "block": b}
        for b in (4, 8, 16, 32, 64)
        if narrowest <= b <= max(min(m, n) // 8, 8)
    }
    if min(m, n) <= 1024:
        ways["Gram matrix"] = {"method": "gram"}
    chosen = ss.svds(A, k, tol=tol)
    name = f"block {chosen.block}" if chosen.block else "Gram matrix"
    assert chosen.block in (0, costs.best_block(costs.Search((m, n), k, tol, chosen.precision)))
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(2 if smoke else 5):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            began = time.perf_counter()
            top = ss.svds(A, k, tol=tol, **ways[way])
            seconds[way].append(time.perf_counter() - began)
            assert top.converged
    medians = {way: float(np.median(times)) for way, times in seconds.items()}
    fastest = min(medians, key=lambda way: medians[way])
    benchmark.extra_info.update(
        table="costs",
        case={"matrix": f"{kind} {m} x {n}", "dtype": dtype, "k": k, "tol": tol},
        method=name,
        setting={"fastest": fastest, **{way: round(t, 6) for way, t in medians.items()}},
    )
    benchmark.pedantic(lambda: ss.svds(A, k, tol=tol), rounds=3)
    if not smoke:
        assert medians[name] <= 1.5 * medians[fastest], medians
