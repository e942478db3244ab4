# SPDX-License-Identifier: BSD-3-Clause
"""Best time of one product with a thin block, to compare two builds.

    python benchmarks/experiments/time_product.py 4096 4096 bf16 gram 32 --threads 2

VERB is multiply (A X), adjoint (A^T X), gram (A^T A X), split (the same with 16 bits of every
number), steer (with 8) or multiply_bf16 (A X with 8).
"""

from __future__ import annotations

import argparse
import time

import ml_dtypes
import numpy as np

import sigmascope as ss
from sigmascope import _core

DTYPES = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}
"""Storage dtypes, by the names that the command takes."""


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time one product with a thin block.")
    arguments.add_argument("rows", type=int)
    arguments.add_argument("columns", type=int)
    arguments.add_argument("dtype", choices=sorted(DTYPES))
    verbs = ["multiply", "adjoint", "gram", "split", "steer", "multiply_bf16"]
    arguments.add_argument("verb", choices=verbs)
    arguments.add_argument("width", type=int)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--calls", type=int, default=60)
    arguments.add_argument("--off", type=int, default=0, help="bytes from a cache line to A")
    arguments.add_argument("--turned", action="store_true", help="of A^T")
    given = arguments.parse_args()
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((given.rows, given.columns), dtype=np.float32)
    stored = numbers.astype(DTYPES[given.dtype])
    room = np.zeros(stored.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + given.off
    placed = room[start : start + stored.nbytes].view(stored.dtype).reshape(stored.shape)
    placed[...] = stored
    A = ss.matrix(placed)
    A = A.T if given.turned else A
    x = rng.standard_normal((A.shape[given.verb != "adjoint"], given.width)).astype(np.float32)
    best = np.inf
    for _ in range(given.calls + 1):
        started = time.perf_counter()
        _core.product_f32(
            A.native,
            x,
            given.verb,
            threads=given.threads,
            panel_rows=0,
            load_bytes=0,
            progress=None,
        )
        best = min(best, time.perf_counter() - started)
    print(f"{1e3 * best:.2f} ms")


if __name__ == "__main__":
    main()
