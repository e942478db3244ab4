# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of every entry by sigmascope and by others, and how fast the same bytes are read."""

from __future__ import annotations

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from peers_of_kernels import OURS, Array, Peer

import sigmascope as ss
from sigmascope import _core
from sigmascope._host.threads import resolve_threads

# --------------------------------------- statistics of a stored array: those of `MOMENTS_OF`

MOMENTS_OF = ("min", "max", "mean", "std", "skewness", "kurtosis", "row_norms", "column_norms")


def ours_moments(A: Any) -> dict[str, Any]:
    moments = ss.moments(A, histogram=False)
    return {name: getattr(moments, name) for name in MOMENTS_OF}


def numpy_moments(A: Array) -> dict[str, Any]:
    x = A.astype(np.float32)
    mean = x.mean(dtype=np.float64)
    d = x - np.float32(mean)
    squares = d * d
    variance = squares.mean(dtype=np.float64)
    return {
        "min": x.min(),
        "max": x.max(),
        "mean": mean,
        "std": np.sqrt(variance),
        "skewness": (squares * d).mean(dtype=np.float64) / variance**1.5,
        "kurtosis": (squares * squares).mean(dtype=np.float64) / variance**2,
        "row_norms": np.sqrt(np.einsum("ij,ij->i", x, x)),
        "column_norms": np.sqrt(np.einsum("ij,ij->j", x, x)),
    }


def ours_survey(A: Array) -> None:
    """Compute what every algorithm of ours needs first: norm, largest magnitude, NaN, infinity."""
    _core.survey(
        ss.matrix(A).native,
        threads=resolve_threads(None),
        panel_rows=0,
        load_bytes=0,
        progress=None,
    )


def read_memory(A: Array) -> None:
    """A yardstick: a maximum of 64-bit words by as many threads as there are."""
    threads = resolve_threads(None)
    words = np.array_split(A.reshape(-1).view(np.int64), threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(np.max, words))


MOMENTS = (
    Peer(OURS, "sigmascope", ours_moments),
    Peer("sigmascope, norm and NaN alone", "sigmascope", ours_survey),
    Peer("reading alone (numpy max)", "numpy", read_memory),
    Peer("numpy", "numpy", numpy_moments),
)


# ---------------------------------------------- the same of the one tensor of a safetensors file


def ours_moments_of_file(path: Path) -> dict[str, Any]:
    (matrix,) = ss.open_checkpoint(path).values()
    return ours_moments(matrix)


def read_file(path: Path) -> None:
    """A yardstick: positioned reads of 8 MiB, one after another, into the same buffer."""
    block = 8 * 2**20
    size = path.stat().st_size
    with mmap.mmap(-1, block) as buffer:
        buffer[::4096] = bytes(block // 4096)  # its pages are there before the first read
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        offset = 0
        while offset < size:
            offset += os.preadv(file, [buffer], offset)
        os.close(file)


MOMENTS_OF_FILE = (
    Peer(OURS, "sigmascope", ours_moments_of_file),
    Peer("reading alone (pread)", "numpy", read_file),
)
