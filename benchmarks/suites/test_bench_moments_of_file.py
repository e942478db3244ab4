# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of a bf16 tensor in a file, and the rate at which the file can be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peers_of_kernels
import peers_of_moments
import pytest
import workloads

PEERS = peers_of_moments.MOMENTS_OF_FILE


@pytest.fixture(scope="module")
def stored_file(smoke: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A safetensors file of 1 GiB: the same 256 rows over and over, written out to the disk."""
    path = tmp_path_factory.mktemp("moments") / "stored.safetensors"
    rows, columns, times = (8, 512, 4) if smoke else (256, 32768, 64)
    piece = workloads.stored("bf16", rows, columns).tobytes()
    entry = {
        "dtype": "BF16",
        "shape": [rows * times, columns],
        "data_offsets": [0, times * len(piece)],
    }
    header = json.dumps({"w": entry}).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(times):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    yield path
    path.unlink()


def forget(path: Path) -> None:
    """Drop a file's pages from the cache of the system."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


@pytest.mark.parametrize("state", ["in the page cache", "on the disk"])
def test_moments_of_file(
    state: str,
    peer: peers_of_kernels.Peer,
    smoke: bool,
    stored_file: Path,
    measure: Any,
    benchmark: Any,
) -> None:
    result = measure(
        lambda: peer.run(stored_file),
        table="moments_of_file",
        case={"file": state},
        peer=peer,
        rounds=7,
        work=stored_file.stat().st_size,
        unit="GB/s",
        prepare=(lambda: forget(stored_file)) if state == "on the disk" else None,
    )
    if result is not None:  # not of what only reads
        rows, columns = (8, 512) if smoke else (256, 32768)
        piece = workloads.stored("bf16", rows, columns).astype(np.float64)
        norms = np.linalg.norm(piece, axis=1)
        error = float(np.max(np.abs(result["row_norms"][-rows:] - norms) / norms))
        benchmark.extra_info["error"] = error
        assert error <= 1e-9
