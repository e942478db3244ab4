# SPDX-License-Identifier: BSD-3-Clause
"""The time that a plan estimates, against that of the scan, for spectra that decay slowly."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import workloads
from safetensors.numpy import save_file

import sigmascope as ss
from sigmascope.scanning.plans import WITHIN

CASES = [
    ("llm", 1024, 1024, "exact"),
    ("llm", 4096, 2048, "exact"),
    ("llm", 4096, 4096, "exact"),
    ("llm", 4096, 4096, "top"),
    ("llm", 4096, 4096, "density"),
    ("llm", 4096, 11008, "top"),
    ("llm", 4096, 11008, "density"),
]


@pytest.mark.parametrize(("kind", "m", "n", "effort"), CASES)
def test_estimate(
    kind: str, m: int, n: int, effort: str, tmp_path: Path, smoke: bool, benchmark: Any
) -> None:
    if smoke:
        m, n = m // 8, n // 8
    A = workloads.dense(kind, m, n, workloads.TIMED, "f32")
    save_file({"w": A}, tmp_path / "model.safetensors")
    checkpoint = ss.open_checkpoint(tmp_path)
    planned = ss.scan(checkpoint, effort=effort, memory_limit="4GiB", plan=True)
    ss.scan(checkpoint, effort=effort, memory_limit="4GiB")  # warm
    began = time.perf_counter()
    row = ss.scan(checkpoint, effort=effort, memory_limit="4GiB")["w"]
    seconds = time.perf_counter() - began
    assert row["status"] == "analysed"
    assert row["effort"] == planned["w"].effort
    benchmark.extra_info.update(
        table="plan",
        case={"matrix": f"{kind} {m} x {n}", "effort": effort},
        method="sigmascope",
        setting={
            "estimated": round(planned.seconds, 4),
            "measured": round(seconds, 4),
            "passes estimated": planned["w"].passes,
            "passes": row["passes"],
        },
    )
    benchmark.pedantic(lambda: ss.scan(checkpoint, effort=effort, memory_limit="4GiB"), rounds=3)
    if not smoke:
        ratio = planned.seconds / seconds
        assert 1 / WITHIN <= ratio <= WITHIN, f"estimated {ratio:.2f} times what it took"
