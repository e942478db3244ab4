# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints of one matrix, and the memory that work on them takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from tests.support.checkpoints import entry

SIZES = {"F32": 4, "BF16": 2, "F64": 8}

# Not ru_maxrss: a child begins with what its parent held when it was forked, and a test run that
# has imported a large library would hide all that the child uses. VmHWM belongs to the program.
_PEAK = """
{work}
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""


def peak(work: str) -> int:
    """Return the peak resident bytes of a fresh interpreter that does some work."""
    process = subprocess.run(
        [sys.executable, "-c", _PEAK.format(work=work)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return int(process.stdout) * 1024


def written(folder: Path, rows: int, columns: int, dtype: str = "F32") -> Path:
    """Noise, and a few directions above it: written piece by piece, once."""
    path = folder / f"{rows}x{columns}{dtype}.safetensors"
    if path.exists():
        return path
    size = rows * columns * SIZES[dtype]
    header = json.dumps({"w": entry(dtype, (rows, columns), (0, size))}).encode()
    rng = np.random.default_rng(0)
    height = max(min(rows, 2**21 // columns), 1)
    piece = rng.standard_normal((height, columns), dtype=np.float32)
    spikes = rng.standard_normal((24, columns), dtype=np.float32)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, rows, height):
            # rows turned against each other, so that the pieces are not copies
            weights = rng.standard_normal((height, 24), dtype=np.float32) * np.geomspace(1, 0.2, 24)
            numbers = np.roll(piece, rng.integers(columns), 1) + weights @ spikes
            numbers = numbers[: rows - start].astype("<f8" if dtype == "F64" else "<f4")
            if dtype == "BF16":  # truncated
                numbers = (numbers.view("<u4") >> 16).astype("<u2")
            file.write(numbers.tobytes())
    return path
