# SPDX-License-Identifier: BSD-3-Clause
"""A scan of ten layers of the shapes of a model with 70B parameters, from disk to a GPU.

The ten layers are written first, each to a file of its own, and taken out of the page cache before
they are read: once as they are, for the speed of the disk, and once by the scan.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.bench.workloads import llm, numpy_dtype

LAYERS = 10
MIB = 1 << 20
PROJECTIONS = {
    "self_attn.q_proj": (1.0, 1.0),
    "self_attn.k_proj": (0.125, 1.0),
    "self_attn.v_proj": (0.125, 1.0),
    "self_attn.o_proj": (1.0, 1.0),
    "mlp.gate_proj": (3.5, 1.0),
    "mlp.up_proj": (3.5, 1.0),
    "mlp.down_proj": (1.0, 3.5),
}
"""Rows and columns of each matrix, in units of the width of the model."""


def scan_of_layers(rehearse: bool) -> dict[str, Any]:
    """Seconds of a scan on a GPU, and of reading the same bytes."""
    width = 64 if rehearse else 8192
    folder = Path(tempfile.mkdtemp(prefix="sigmascope-layers-"))
    try:
        nbytes = write_layers(folder, width)
        drop(folder)
        read = seconds_of_reading(folder)
        drop(folder)
        started = time.perf_counter()
        scan = ss.scan(folder, effort="top", k=8 if rehearse else 64, device="cuda")
        seconds = time.perf_counter() - started
        return {
            "bytes": nbytes,
            "matrices": len(scan.analysed),
            "converged": sum(bool(row["converged"]) for row in scan.analysed),
            "read_seconds": read,
            "scan_seconds": seconds,
            "scan_over_read": seconds / read,
        }
    finally:
        shutil.rmtree(folder)


def write_layers(folder: Path, width: int) -> int:
    """Write the layers and return their bytes; matrices of one shape differ by order of rows."""
    made: dict[tuple[int, int], NDArray[Any]] = {}
    total = 0
    for layer in range(LAYERS):
        header: dict[str, Any] = {}
        parts: list[NDArray[Any]] = []
        end = 0
        for name, (rows, cols) in PROJECTIONS.items():
            shape = (int(rows * width), int(cols * width))
            if shape not in made:
                made[shape] = np.asarray(llm(*shape, 0), dtype=numpy_dtype("bfloat16"))
            span = [end, end := end + made[shape].nbytes]
            parts += made[shape][layer:], made[shape][:layer]
            entry = {"dtype": "BF16", "shape": shape, "data_offsets": span}
            header[f"model.layers.{layer}.{name}.weight"] = entry
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 4096 + 4088)
        path = folder / f"model-{layer + 1:05}-of-{LAYERS:05}.safetensors"
        with open(path, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for part in parts:
                file.write(memoryview(part.view(np.uint8).reshape(-1)))
        total += end
    return total


def drop(folder: Path) -> None:
    """Take the files out of the page cache."""
    for path in folder.glob("*.safetensors"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_of_reading(folder: Path) -> float:
    buffer = bytearray(16 * MIB)
    started = time.perf_counter()
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - started
