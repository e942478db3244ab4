# SPDX-License-Identifier: BSD-3-Clause
"""Checks and timings that need a GPU, in one run of at most ten minutes.

    python -m benchmarks.experiments.gpu_run --out build/gpu.json
    SIGMASCOPE_SIMULATED=1 python -m benchmarks.experiments.gpu_run --rehearse --out build/gpu.json

The package must be installed with its module for CUDA (SIGMASCOPE_CUDA=ON). Every part runs in a
process of its own, with a limit of time; its result is on the disk before the next begins. Searches
and every value are comparisons of `sigmascope bench`, whose backends say what they lack where they
are not installed. `--rehearse`: small sizes, for the simulated device.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope._host.native import cuda
from sigmascope.bench import BenchmarkPlan, Workload, compare, select
from sigmascope.bench.cuda.limits import device_work, measure_limits
from sigmascope.bench.workloads import llm, numpy_dtype

from .gpu_scan import scan_of_layers

Part = dict[str, Any]
RUN = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None, "device_bytes": 1 << 33}
TOP, TOLERANCE = 64, 1e-3


def module() -> Any:
    result = cuda()
    if result is None:
        raise SystemExit("sigmascope was built without CUDA: set SIGMASCOPE_CUDA=ON")
    return result


def timed(act: Callable[[], object], turns: int) -> float:
    """Return the median of the seconds of some turns, after one that is not counted."""
    act()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def weights(rows: int, cols: int) -> NDArray[Any]:
    """Return a matrix like trained weights, in bfloat16."""
    return np.asarray(llm(rows, cols, 0), dtype=numpy_dtype("bfloat16"))


def machine(_: bool) -> Part:
    """The device, and the versions of what computes on it."""
    results = {"module": module().config(), "chips": module().devices()}
    return ss.show_config() | results


def bits(_: bool) -> Part:
    """Verbs of the device against those of the processor: how many numbers differ, and by what."""
    rng = np.random.default_rng(0)
    results: Part = {}

    def compared(name: str, verb: Callable[..., NDArray[Any]], *given: Any, **options: Any) -> None:
        host, device = (verb(*given, device=d, **options, **RUN) for d in (None, 0))
        differ = np.abs(device.astype(np.float64) - host)
        results[name] = {"differ": int(np.count_nonzero(differ)), "most": float(differ.max())}

    for f64 in (False, True):
        kind = np.float64 if f64 else np.float32
        xs = [rng.standard_normal((3001, k)).astype(kind) for k in (17, 1, 64)]
        c = rng.standard_normal((82, 33))
        y = rng.standard_normal((3001, 33)).astype(kind)
        bits_of = f"float{64 if f64 else 32}"
        compared(f"gaussian {bits_of}", module().gaussian, 4001, 33, seed=1, column0=3, f64=f64)
        compared(f"inner {bits_of}", module().inner, xs, y, f64=f64)
        compared(f"combine {bits_of}", module().combine, y, xs, c, f64=f64)
        a = ss.matrix(rng.standard_normal((3001, 257)).astype(kind)).native
        for transposed in (False, True):
            x = rng.standard_normal((3001 if transposed else 257, 33)).astype(kind)
            compared(
                f"multiply {bits_of}{', transposed' * transposed}",
                module().product, a, "multiply", x, transposed=transposed, f64=f64,
            )  # fmt: skip
    # By tensor cores, whose sums are other than the processor's.
    stored = ss.matrix(weights(1501, 264)).native
    x = rng.standard_normal((264, 33)).astype(np.float32)
    for name in ("multiply", "gram_step", "steer"):
        compared(f"{name} bfloat16", module().product, stored, name, x, transposed=False, f64=False)
    return results


def rounding(rehearse: bool) -> Part:
    """Products by tensor cores, of one part and of two: their error and their bias."""
    rng = np.random.default_rng(1)
    results: Part = {}
    depths = (1024, 8192) if rehearse else (1024, 8192, 28672, 131072)
    for depth, kind in itertools.product(depths, ("bfloat16", "float16")):
        A = rng.standard_normal((48, depth)).astype(numpy_dtype(kind))
        x = rng.standard_normal((depth, 16)).astype(np.float32)
        exact = A.astype(np.float64) @ x.astype(np.float64)
        a = ss.matrix(A).native
        made = module().product(a, "multiply", x, transposed=False, f64=False, device=0, **RUN)
        norm2 = float(np.vdot(exact, exact))
        results[f"{depth} {kind}"] = {
            "error": float(np.linalg.norm(made - exact)) / norm2**0.5,
            "bias": float(np.vdot(made, exact)) / norm2 - 1,
        }
    return results


def answers(rehearse: bool) -> Part:
    """Searches on both devices: the difference of values, in units of both bounds."""
    results: Part = {}
    A = weights(*((140, 100) if rehearse else (700, 500)))
    for kind in (A.dtype, np.float32, np.float64):
        a = A.astype(kind)
        for name, solver in (
            ("svds", lambda a, **on: ss.svds(a, 8, **on)),
            ("randomized_svd", lambda a, **on: ss.randomized_svd(a, 8, **on)),
        ):
            host, device = solver(a), solver(a, device="cuda")
            again = solver(a, device="cuda")
            worst = np.max(np.abs(device.s - host.s) / (device.errors + host.errors))
            results[f"{name} {np.dtype(kind).name}"] = {
                "worst": float(worst),
                "within": bool(worst <= 1),
                "same_bits_again": bool(np.array_equal(device.s, again.s)),
                "same_bits_as_cpu": bool(np.array_equal(device.s, host.s)),
            }
    return results


def ceilings(_: bool) -> Part:
    """Copy within the memory of the device, from pinned memory to it, and a product in bf16."""
    work = device_work()
    return measure_limits(work) if work else {"skipped": "needs torch or CuPy, and a device"}


def steps(rehearse: bool) -> Part:
    """Seconds of one step of a density, from runs of two lengths on a matrix that stays."""
    rows, cols = (140, 100) if rehearse else (28672, 8192)
    a = ss.matrix(weights(rows, cols))
    few, more = (2, 3) if rehearse else (2, 6)

    def seconds(probes: int, passes: int, precision: str) -> float:
        options: Part = {"probes": probes, "passes": passes, "precision": precision}
        return timed(lambda: ss.spectral_density(a, device="cuda", **options), 3)

    return {
        f"{probes}, {precision}": (
            seconds(probes, more, precision) - seconds(probes, few, precision)
        )
        / (more - few)
        for probes in (16, 32, 64)
        for precision in ("split", "float32")
    }


def compared(A: NDArray[Any], k: int, names: list[str], accuracies: list[float]) -> Part:
    """Compare backends on one matrix, whose reference is computed once and kept on the disk."""
    title = f"llm, {A.shape[0]} x {A.shape[1]}, {A.dtype.name}"
    workload = Workload(title, lambda seed: A, synthetic=False)
    plan = BenchmarkPlan(k=k, accuracies=accuracies, turns=1, timeout=40)
    return compare(workload, plan, select(names)).record()


def searches(rehearse: bool) -> Part:
    """The largest values and vectors to a tolerance, and by torch.svd_lowrank."""
    rows, cols, k = (300, 200, 6) if rehearse else (28672, 8192, TOP)
    peers = ["ours-cuda", "torch-cuda-lowrank"]
    return compared(weights(rows, cols), k, peers, [TOLERANCE])


def other_searches(rehearse: bool) -> Part:
    """The same by cuSOLVER, CuPy and cuML."""
    rows, cols, k = (300, 200, 6) if rehearse else (28672, 8192, TOP)
    peers = ["cusolver-gesvdr", "cupy-svds", "cuml", "cupy"]
    return compared(weights(rows, cols), k, peers, [TOLERANCE])


def every_value(rehearse: bool) -> Part:
    """Every singular value, and by torch.linalg.svdvals and gesvdp."""
    n = 64 if rehearse else 4096
    peers = ["ours-cuda-svdvals", "torch-cuda-svdvals", "cusolver-gesvdp"]
    return compared(weights(n, n), n, peers, [1e-2, 1e-6])


def stacks(rehearse: bool) -> Part:
    """Seconds of searches in a stack of matrices, in one call and one after the other."""
    count, rows, cols, k = (3, 60, 40, 4) if rehearse else (64, 1024, 512, 16)
    A = weights(rows, cols)
    stack = np.stack([np.roll(A, i, axis=0) for i in range(count)])
    options: Part = {"k": k, "tol": TOLERANCE, "device": "cuda"}
    together = timed(lambda: ss.svds(stack, **options), 3)
    alone = timed(lambda: [ss.svds(a, **options) for a in stack], 1)
    result = ss.svds(stack, **options)
    same = [np.array_equal(result.s[i], ss.svds(stack[i], **options).s) for i in (0, count - 1)]
    return {"together": together, "alone": alone, "same_bits": bool(all(same))}


def sanitizers(rehearse: bool) -> Part:
    """compute-sanitizer's tools over the part `bits`."""
    program = shutil.which("compute-sanitizer")
    if rehearse or program is None:
        return {"skipped": "needs compute-sanitizer and a device"}
    results: Part = {}
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        command = [program, "--tool", tool, "--error-exitcode", "9", *own_command("bits", False)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        results[tool] = {"status": done.returncode, "said": done.stdout[-500:]}
    return results


PARTS: dict[str, tuple[Callable[[bool], Part], int]] = {
    "machine": (machine, 15),
    "bits": (bits, 35),
    "rounding": (rounding, 20),
    "answers": (answers, 30),
    "ceilings": (ceilings, 25),
    "steps": (steps, 60),
    "searches": (searches, 110),
    "other searches": (other_searches, 80),
    "every value": (every_value, 60),
    "stacks": (stacks, 30),
    "scan": (scan_of_layers, 85),
    "sanitizers": (sanitizers, 50),
}
"""Parts in their order, with the most seconds of each: ten minutes together."""


def own_command(part: str, rehearse: bool) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.experiments.gpu_run", "--part", part]
    return [*command, "--rehearse"] if rehearse else command


def result_of(part: str, rehearse: bool) -> Part:
    """Run a part in a process of its own."""
    limit = PARTS[part][1] * (4 if rehearse else 1)  # the simulated device is slow
    started = time.perf_counter()
    try:
        done = subprocess.run(
            own_command(part, rehearse), capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {limit} s"}
    if done.returncode != 0:
        return {"failed": done.stderr[-2000:]}
    result: Part = json.loads(done.stdout)
    return result | {"seconds_of_part": round(time.perf_counter() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and time the engine on a GPU.")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--part", choices=list(PARTS), help="one part, as JSON")
    parser.add_argument("--rehearse", action="store_true", help="small sizes")
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part][0](given.rehearse)))
        return
    results: dict[str, Part] = {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        results[part] = result_of(part, given.rehearse)
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"{part}: {json.dumps(results[part])[:300]}", flush=True)


if __name__ == "__main__":
    main()
