# SPDX-License-Identifier: BSD-3-Clause
"""The floating-point peak of this machine, measured: no product can be faster."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).parent / "peak.cpp"


@lru_cache
def peak(threads: int) -> dict[str, float]:
    """GFLOP/s of fp32 multiply-adds, bf16 dot products and bf16 tiles (Intel AMX), 0 for none.

    Empty without fused multiply-adds (AVX2) or a compiler.
    """
    compiler = shutil.which("g++")
    if compiler is None or " fma " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "peak")
        flags = ["-O2", "-std=c++20", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(SOURCE), "-o", program], check=True)
        said = subprocess.run(
            [program, str(threads)], check=True, capture_output=True, text=True
        ).stdout
    fp32, bf16, tiles = (float(number) for number in said.split())
    return {"fp32": fp32, "bf16": bf16, "tiles": tiles}
