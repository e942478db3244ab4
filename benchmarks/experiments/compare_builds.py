# SPDX-License-Identifier: BSD-3-Clause
r"""Time of every kind of call in two builds of sigmascope, in turns: does a change cost time?

    python benchmarks/experiments/compare_builds.py OLD NEW --turns 5 --json FILE

OLD and NEW are folders from which `import sigmascope` finds each build. A process runs every case
once untimed, then three times, and gives the least processor time; processes of the two builds take
turns, in reverse order every other turn. The ratio is that of the medians over the turns. Both
builds are given the same matrices, and their largest values must agree. Where a default has
changed, both are given the number that is now the default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from sigmascope.bench.machine import chosen_cores, describe, thread_environment

CASES = """
import json, sys, time
from fnmatch import fnmatch
from pathlib import Path
import ml_dtypes
import numpy as np
import sigmascope as ss

folder, threads, pattern = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
f32, tall, long, f64 = (np.load(folder / f"{each}.npy") for each in ("f32", "tall", "long", "f64"))
tiny = np.ascontiguousarray(f64[:64, :64])
repeated = np.tile(f64[:600, :1], 400)
bf16, small = f32.astype(ml_dtypes.bfloat16), np.ascontiguousarray(f32[:768, :512])
ss.set_num_threads(threads)

def sketch():
    stream = ss.streaming.Sketch(4096, 32, seed=0)
    for rows in np.split(f32, 8):
        stream.update(rows)
    return stream.svd().s

def accumulate():
    gram = ss.streaming.GramAccumulator(50)
    gram.update(long)
    return gram.svd(8).s

def many(call, *arguments, **options):
    for _ in range(100):
        result = call(tiny, *arguments, **options)
    return result

def operator():
    from scipy.sparse.linalg import aslinearoperator
    return ss.svds(aslinearoperator(f64[:, :1500]), 8).s

def compare(effort):
    pair = (folder / f"{name}.safetensors" for name in ("before", "after"))
    row, = ss.compare(*pair, effort=effort, k=32).rows
    assert row["status"] == "analysed", row["reason"]
    return [row["relative_change"]]

CALLS = {
    "svds, 4096 x 4096 f32, k 64": lambda: ss.svds(f32, 64).s,
    "svds, 4096 x 4096 f32, k 64, tol 1e-6": lambda: ss.svds(f32, 64, tol=1e-6).s,
    "svds, 4096 x 4096 bf16, k 64": lambda: ss.svds(bf16, 64).s,
    "svds, 8192 x 1024 f32, k 32": lambda: ss.svds(tall, 32).s,
    "svds, 2048 x 2048 f64, k 32": lambda: ss.svds(f64, 32).s,
    "svds, 768 x 512 f32, k 16": lambda: ss.svds(small, 16).s,
    "randomized_svd, 4096 x 4096 f32, 5 passes": lambda: ss.randomized_svd(f32, 64, passes=5).s,
    "svdvals, 2048 x 2048 f64": lambda: ss.svdvals(f64).values,
    "svdvals, 2048 x 2048 f64, fast": lambda: ss.svdvals(f64, accuracy="fast").values,
    "svdvals, 768 x 512 f32": lambda: ss.svdvals(small).values,
    "spectral_density, 4096 x 4096 f32": lambda: [ss.spectral_density(f32).nuclear_norm().value],
    "spectrum, 4096 x 4096 bf16": lambda: ss.spectrum(bf16).top,
    "moments, 4096 x 4096 bf16": lambda: [ss.moments(bf16).std],
    "Sketch, 4096 x 4096 f32": sketch,
    "GramAccumulator, 500000 x 50 f32": accumulate,
    "svds, 500000 x 50 f32, k 8": lambda: ss.svds(long, 8).s,
    "randomized_svd, 500000 x 50 f32, 3 passes": lambda: ss.randomized_svd(long, 8, passes=3).s,
    "spectral_density, 500000 x 50 f32": lambda: [ss.spectral_density(long).nuclear_norm().value],
    "moments, 500000 x 50 f32": lambda: [ss.moments(long).std],
    "svds, operator 2048 x 1500 f64, k 8": operator,
    "svds, 600 x 400 f64 of rank 1, k 400": lambda: ss.svds(repeated, 400).s,
    "100 x svds, 64 x 64 f64, k 4": lambda: many(ss.svds, 4).s,
    "100 x randomized_svd, 64 x 64 f64, k 4": lambda: many(ss.randomized_svd, 4, passes=5).s,
    "100 x spectrum, 64 x 64 f64": lambda: many(ss.spectrum).top,
    "100 x svdvals, 64 x 64 f64": lambda: many(ss.svdvals).values,
    "100 x moments, 64 x 64 f64": lambda: [many(ss.moments).std],
    "compare, 4096 x 4096 f32, top": lambda: compare("top"),
    "compare, 4096 x 4096 f32, density": lambda: compare("density"),
}
found = {}
for name, call in CALLS.items():
    if not fnmatch(name, pattern):
        continue
    value, seconds = call(), []
    for _ in range(3):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    found[name] = {"seconds": min(seconds), "value": float(np.ravel(value)[0])}
print(json.dumps(found))
"""
AGREE = 1e-3
"""Relative difference of the largest value that both builds may show."""


def matrices(folder: Path) -> None:
    """Write the matrices: Gaussian noise with a few large values on top."""
    rng = np.random.default_rng(0)
    for name, (m, n), dtype in (
        ("f32", (4096, 4096), np.float32),
        ("tall", (8192, 1024), np.float32),
        ("long", (500_000, 50), np.float32),
        ("f64", (2048, 2048), np.float64),
    ):
        A = rng.standard_normal((m, n), dtype=np.float32).astype(dtype)
        left, right = rng.standard_normal((m, 12)), rng.standard_normal((12, n))
        A += ((left * np.geomspace(0.4, 0.05, 12)) @ right).astype(dtype)
        np.save(folder / f"{name}.npy", A)
        if name == "f32":
            save_file({"w": A}, folder / "before.safetensors")
            changed = np.float32(1e-3) * rng.standard_normal((m, n), dtype=np.float32)
            save_file({"w": A + changed}, folder / "after.safetensors")


def timed(build: Path, folder: Path, cores: list[int], pattern: str) -> dict[str, dict[str, float]]:
    """Run the cases whose name fits the pattern in a process of its own."""
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable, "-c", CASES]
    environment = thread_environment(len(cores)) | {"PYTHONPATH": os.fspath(build)}
    done = subprocess.run(
        [*command, str(folder), str(len(cores)), pattern],
        env=environment,
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
    )
    result: dict[str, dict[str, float]] = json.loads(done.stdout)
    return result


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time two builds of sigmascope in turns.")
    arguments.add_argument("old", type=Path)
    arguments.add_argument("new", type=Path)
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--cases", default="*", help="a pattern of their names")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    builds = {"old": given.old.resolve(), "new": given.new.resolve()}
    seconds: dict[str, dict[str, list[float]]] = {}
    values: dict[str, set[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        matrices(Path(scratch))
        for turn in range(given.turns):
            for name in list(builds)[:: 1 - 2 * (turn % 2)]:
                print(f"turn {turn + 1}: {name}", file=sys.stderr)
                for case, seen in timed(builds[name], Path(scratch), cores, given.cases).items():
                    seconds.setdefault(case, {}).setdefault(name, []).append(seen["seconds"])
                    values.setdefault(case, set()).add(seen["value"])
    results: dict[str, Any] = {"kind": "builds", "machine": describe(len(cores)), "cases": {}}
    ratios = []
    print(f"{'case':<42} {'old, s':>8} {'new, s':>8} {'new / old':>10}  least to most")
    for case, of in seconds.items():
        old, new = np.array(of["old"]), np.array(of["new"])
        each, ratio = np.sort(new / old), float(np.median(new) / np.median(old))
        ratios.append(ratio)
        spread = f"{each[0]:.2f} to {each[-1]:.2f}"
        medians = f"{np.median(old):8.4f} {np.median(new):8.4f}"
        print(f"{case:<42} {medians} {ratio:10.3f}  {spread}")
        if max(values[case]) - min(values[case]) > AGREE * max(values[case]):
            sys.exit(f"{case}: the builds disagree: {sorted(values[case])}")
        results["cases"][case] = of | {"ratio": ratio}
    print(f"geometric mean of the ratios: {np.exp(np.mean(np.log(ratios))):.3f}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
