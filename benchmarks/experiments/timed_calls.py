# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of call on matrices that another process wrote: its processor time, as JSON.

    python timed_calls.py FOLDER THREADS PATTERN

`compare_builds.py` and `processor_seconds.py` run it. A call runs once untimed, then three times;
the least processor time counts. The module uses public names alone, so that it runs with the builds
of other commits.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import sigmascope as ss

Call = Callable[[], Any]
SPIKES = 60
PAIR = (("q", 1024, 1024), ("k", 256, 1024), ("o", 1024, 1024), ("up", 2816, 1024))
SHAPES = (*PAIR, ("down", 1024, 2816))


def trained_like(m: int, n: int, seed: int) -> NDArray[np.float32]:
    """Return Gaussian noise and spikes from three times its edge down into the bulk."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((m, n), dtype=np.float32) * np.float32(0.02)
    u, v = (np.linalg.qr(rng.standard_normal((side, SPIKES), np.float32))[0] for side in (m, n))
    sizes = 0.02 * (m**0.5 + n**0.5) * 3 * np.arange(1, SPIKES + 1) ** -0.5
    spikes: NDArray[np.float32] = (u * sizes.astype(np.float32)) @ v.T
    return noise + spikes


def write_matrices(folder: Path) -> None:
    """Write the matrices: noise with a few large values, and weights as they are after training."""
    rng = np.random.default_rng(0)
    for name, (m, n), dtype in (
        ("f32", (4096, 4096), np.float32),
        ("tall", (8192, 1024), np.float32),
        ("long", (500_000, 50), np.float32),
        ("f64", (2048, 2048), np.float64),
    ):
        A: NDArray[Any] = rng.standard_normal((m, n), dtype=np.float32).astype(dtype)
        left, right = rng.standard_normal((m, 12)), rng.standard_normal((12, n))
        A += ((left * np.geomspace(0.4, 0.05, 12)) @ right).astype(dtype)
        np.save(folder / f"{name}.npy", A)
        if name == "f32":
            save_file({"w": A}, folder / "before.safetensors")
            changed = np.float32(1e-3) * rng.standard_normal((m, n), dtype=np.float32)
            save_file({"w": A + changed}, folder / "after.safetensors")
    np.save(folder / "wide.npy", trained_like(4096, 11008, 4))
    np.save(folder / "square.npy", trained_like(4096, 4096, 3))
    before: dict[str, NDArray[Any]] = {}
    after: dict[str, NDArray[Any]] = {}
    for layer in range(4):
        for name, m, n in SHAPES:
            key = (
                f"model.layers.{layer}.{'self_attn' if name in 'qko' else 'mlp'}.{name}_proj.weight"
            )
            w = trained_like(m, n, 10 * layer + len(before))
            change = rng.standard_normal((m, 8), np.float32) @ rng.standard_normal(
                (8, n), np.float32
            )
            change *= 0.01 * np.linalg.norm(w) / np.linalg.norm(change)
            noise = 2e-5 * rng.standard_normal(w.shape, dtype=np.float32)
            before[key] = w.astype(ml_dtypes.bfloat16)
            after[key] = (before[key].astype(np.float32) + change + noise).astype(
                ml_dtypes.bfloat16
            )
    save_file(before, folder / "model.safetensors")
    save_file(after, folder / "tuned.safetensors")


def calls_of(folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield every kind of call with its name."""
    f32, tall, long, f64 = (
        np.load(folder / f"{each}.npy") for each in ("f32", "tall", "long", "f64")
    )
    square, wide = (
        np.load(folder / "square.npy"),
        np.load(folder / "wide.npy").astype(ml_dtypes.bfloat16),
    )
    tiny = np.ascontiguousarray(f64[:64, :64])
    middle = np.ascontiguousarray(square[:256, :256])
    repeated = np.tile(f64[:600, :1], 400)
    bf16, small = f32.astype(ml_dtypes.bfloat16), np.ascontiguousarray(f32[:768, :512])
    block = np.ones((4096, 64), np.float32)

    def sketch() -> Any:
        stream = ss.streaming.Sketch(4096, 32, seed=0)
        for rows in np.split(f32, 8):
            stream.update(rows)
        return stream.svd().s

    def accumulate() -> Any:
        gram = ss.streaming.GramAccumulator(50)
        gram.update(long)
        return gram.svd(8).s

    def repeat(count: int, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        for _ in range(count):
            result = call(*arguments, **options)
        return result

    def operator() -> Any:
        from scipy.sparse.linalg import aslinearoperator

        return ss.svds(aslinearoperator(f64[:, :1500]), 8).s

    def compare(before: str, after: str, effort: Any, k: int) -> Any:
        pair = (folder / f"{name}.safetensors" for name in (before, after))
        rows = list(ss.compare(*pair, effort=effort, k=k).rows)
        assert all(row["status"] == "analysed" for row in rows), [row["reason"] for row in rows]
        return [row["relative_change"] for row in rows]

    def scan() -> Any:
        return [
            row["top"][0] for row in ss.scan(folder / "model.safetensors", effort="density").rows
        ]

    yield YARDSTICK, lambda: f32 @ block
    yield "svds, 4096 x 4096 f32, k 64", lambda: ss.svds(f32, 64).s
    yield "svds, 4096 x 4096 f32, k 64, tol 1e-6", lambda: ss.svds(f32, 64, tol=1e-6).s
    yield "svds, 4096 x 4096 bf16, k 64", lambda: ss.svds(bf16, 64).s
    yield "svds, 8192 x 1024 f32, k 32", lambda: ss.svds(tall, 32).s
    yield "svds, 2048 x 2048 f64, k 32", lambda: ss.svds(f64, 32).s
    yield "svds, 768 x 512 f32, k 16", lambda: ss.svds(small, 16).s
    yield (
        "randomized_svd, 4096 x 4096 f32, 5 passes",
        lambda: ss.randomized_svd(f32, 64, passes=5).s,
    )
    yield "svdvals, 2048 x 2048 f64", lambda: ss.svdvals(f64).values
    yield "svdvals, 2048 x 2048 f64, fast", lambda: ss.svdvals(f64, accuracy="fast").values
    yield "svdvals, 768 x 512 f32", lambda: ss.svdvals(small).values
    yield (
        "spectral_density, 4096 x 4096 f32",
        lambda: [ss.spectral_density(f32).nuclear_norm().value],
    )
    yield "spectrum, 4096 x 4096 bf16", lambda: ss.spectrum(bf16).top
    yield "moments, 4096 x 4096 bf16", lambda: [ss.moments(bf16).std]
    yield "Sketch, 4096 x 4096 f32", sketch
    yield "GramAccumulator, 500000 x 50 f32", accumulate
    yield "svds, 500000 x 50 f32, k 8", lambda: ss.svds(long, 8).s
    yield (
        "randomized_svd, 500000 x 50 f32, 3 passes",
        lambda: ss.randomized_svd(long, 8, passes=3).s,
    )
    yield (
        "spectral_density, 500000 x 50 f32",
        lambda: [ss.spectral_density(long).nuclear_norm().value],
    )
    yield "moments, 500000 x 50 f32", lambda: [ss.moments(long).std]
    yield "svds, operator 2048 x 1500 f64, k 8", operator
    yield "svds, 600 x 400 f64 of rank 1, k 400", lambda: ss.svds(repeated, 400).s
    yield "100 x svds, 64 x 64 f64, k 4", lambda: repeat(100, ss.svds, tiny, 4).s
    yield (
        "100 x randomized_svd, 64 x 64 f64, k 4",
        lambda: repeat(100, ss.randomized_svd, tiny, 4, passes=5).s,
    )
    yield "100 x spectrum, 64 x 64 f64", lambda: repeat(100, ss.spectrum, tiny).top
    yield "100 x svdvals, 64 x 64 f64", lambda: repeat(100, ss.svdvals, tiny).values
    yield "100 x moments, 64 x 64 f64", lambda: [repeat(100, ss.moments, tiny).std]
    yield "compare, 4096 x 4096 f32, top", lambda: compare("before", "after", "top", 32)
    yield "compare, 4096 x 4096 f32, density", lambda: compare("before", "after", "density", 32)
    yield "weights: svds, 4096 x 4096 f32, 1e-3", lambda: ss.svds(square, 64, tol=1e-3).s
    yield "weights: svds, 4096 x 4096 f32, 1e-6", lambda: ss.svds(square, 64, tol=1e-6).s
    yield "weights: svds, 4096 x 11008 bf16, 1e-3", lambda: ss.svds(wide, 64, tol=1e-3).s
    yield "weights: top, 4096 x 11008 bf16", lambda: ss.spectrum(wide, effort="top", k=64).top
    yield "weights: density, 4096 x 11008 bf16", lambda: ss.spectrum(wide, k=64).top
    yield (
        "weights: spectral_density, 4096 x 11008",
        lambda: [ss.spectral_density(wide).nuclear_norm().value],
    )
    yield "weights: 50 x svds, 256 x 256 f32, k 8", lambda: repeat(50, ss.svds, middle, 8).s
    yield "weights: scan, 20 tensors, density", scan
    yield "weights: compare, 20 pairs, density", lambda: compare("model", "tuned", "density", 64)
    yield "weights: compare, 20 pairs, exact", lambda: compare("model", "tuned", "exact", 16)


YARDSTICK = "NumPy: product 4096 x 4096 x 64 f32"


def main() -> None:
    folder, threads, pattern = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ss.set_num_threads(threads)
    timings = {}
    for name, call in calls_of(folder):
        if name != YARDSTICK and not fnmatch(name, pattern):
            continue
        value, seconds = call(), []
        for _ in range(3):
            began = time.process_time()
            call()
            seconds.append(time.process_time() - began)
        timings[name] = {"seconds": min(seconds), "value": float(np.ravel(value)[0])}
    print(json.dumps(timings))


if __name__ == "__main__":
    main()
