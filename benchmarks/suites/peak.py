# SPDX-License-Identifier: BSD-3-Clause
"""The peak of this machine, measured: no product, and no reading, can be faster."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).parent / "peak.cpp"


def peak(threads: int, sizes: Iterable[int] = ()) -> dict[str, float]:
    """GFLOP/s of multiply-adds in fp32 and fp64, bf16 dot products and tiles (Intel AMX), 0: none.

    And GB/s of reading an array of each size in bytes over and over, by the size in words. Empty
    without fused multiply-adds (AVX2) or a compiler.
    """
    compiler = shutil.which("g++")
    if compiler is None or " fma " not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "peak")
        flags = ["-O2", "-std=c++20", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(SOURCE), "-o", program], check=True)
        arguments = [str(threads), *(str(size) for size in sorted(set(sizes)))]
        printed = subprocess.run(
            [program, *arguments], check=True, capture_output=True, text=True
        ).stdout
    lines = (line.split() for line in printed.splitlines())
    return {name: float(rate) for name, rate in lines}
