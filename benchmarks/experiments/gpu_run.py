# SPDX-License-Identifier: BSD-3-Clause
"""Checks and timings that need a GPU, in one run of at most ten minutes.

    python -m benchmarks.experiments.gpu_run --out build/gpu.json
    SIGMASCOPE_SIMULATED=1 python -m benchmarks.experiments.gpu_run --rehearse --out build/gpu.json

The package must be installed with its module for CUDA (SIGMASCOPE_CUDA=ON). Every part runs in a
process of its own, with a limit of time; its result is on the disk before the next begins. A part
that needs torch is skipped where it is not installed. `--rehearse`: small sizes, for the simulated
device.
"""

from __future__ import annotations

import argparse
import importlib.util
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

Part = dict[str, Any]
RUN = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None, "device_bytes": 1 << 33}
TOP, TOLERANCE = 64, 1e-3


def module() -> Any:
    found = cuda()
    if found is None:
        raise SystemExit("sigmascope was built without CUDA: set SIGMASCOPE_CUDA=ON")
    return found


def timed(act: Callable[[], object], turns: int) -> float:
    """Return the median of the seconds of some turns, after one that is not counted."""
    act()
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def weights(rows: int, cols: int, rank: int) -> NDArray[np.float32]:
    """A bulk of noise and a power law above it, as trained weights have them."""
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.standard_normal((rows, cols), dtype=np.float32)
    edge = 0.02 * (rows**0.5 + cols**0.5)
    left, right = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for n in (rows, cols))
    values = 3 * edge * np.arange(1, rank + 1) ** -0.3
    return np.asarray(noise + (left * values) @ right.T, dtype=np.float32)


def machine(_: bool) -> Part:
    """The device, and the versions of what computes on it."""
    found = {"module": module().config(), "chips": module().devices()}
    return ss.show_config() | found


def bits(_: bool) -> Part:
    """Verbs of the device against those of the processor: how many numbers differ, and by what."""
    rng = np.random.default_rng(0)
    found: Part = {}

    def compared(name: str, verb: Callable[..., NDArray[Any]], *given: Any, **options: Any) -> None:
        host, device = (verb(*given, device=d, **options, **RUN) for d in (None, 0))
        differ = np.abs(device.astype(np.float64) - host)
        found[name] = {"differ": int(np.count_nonzero(differ)), "most": float(differ.max())}

    for f64 in (False, True):
        kind = np.float64 if f64 else np.float32
        xs = [rng.standard_normal((3001, k)).astype(kind) for k in (17, 1, 64)]
        c = rng.standard_normal((82, 33))
        y = rng.standard_normal((3001, 33)).astype(kind)
        bits_of = f"float{64 if f64 else 32}"
        compared(f"gaussian {bits_of}", module().gaussian, 4001, 33, seed=1, column0=3, f64=f64)
        compared(f"inner {bits_of}", module().inner, xs, y, f64=f64)
        compared(f"combine {bits_of}", module().combine, y, xs, c, f64=f64)
        a = ss.matrix(rng.standard_normal((3001, 257)).astype(kind))._native
        for transposed in (False, True):
            x = rng.standard_normal((3001 if transposed else 257, 33)).astype(kind)
            compared(
                f"multiply {bits_of}{', transposed' * transposed}",
                module().product, a, "multiply", x, transposed=transposed, f64=f64,
            )  # fmt: skip
    return found


def answers(_: bool) -> Part:
    """Searches on both devices: the difference of values, in units of both bounds."""
    found: Part = {}
    A = weights(700, 500, 40)
    for kind in (np.float32, np.float64):
        a = A.astype(kind)
        for name, solver in (
            ("svds", lambda a, **on: ss.svds(a, 8, **on)),
            ("randomized_svd", lambda a, **on: ss.randomized_svd(a, 8, **on)),
        ):
            host, device = solver(a), solver(a, device="cuda")
            again = solver(a, device="cuda")
            worst = np.max(np.abs(device.s - host.s) / (device.errors + host.errors))
            found[f"{name} {np.dtype(kind).name}"] = {
                "worst": float(worst),
                "within": bool(worst <= 1),
                "same_bits_again": bool(np.array_equal(device.s, again.s)),
                "same_bits_as_cpu": bool(np.array_equal(device.s, host.s)),
            }
    return found


def ceilings(rehearse: bool) -> Part:
    """Copy within the memory of the device, from pinned memory to it, and a product in bf16."""
    if rehearse or importlib.util.find_spec("torch") is None:
        return {"skipped": "needs torch and a device"}
    import torch

    gibibyte, order = 1 << 30, 8192
    one, two = (torch.empty(gibibyte, dtype=torch.uint8, device="cuda") for _ in range(2))
    pinned = torch.empty(gibibyte, dtype=torch.uint8, pin_memory=True)
    a = torch.randn(order, order, device="cuda", dtype=torch.bfloat16)

    def rate(act: Callable[[], object], work: float) -> float:
        def waited() -> None:
            act()
            torch.cuda.synchronize()

        return work / timed(waited, 10)

    return {
        "copy_bytes_per_second": rate(lambda: two.copy_(one), 2 * gibibyte),
        "host_to_device_bytes_per_second": rate(lambda: one.copy_(pinned), gibibyte),
        "bf16_flops_per_second": rate(lambda: a @ a, 2.0 * order**3),
    }


def steps(rehearse: bool) -> Part:
    """Seconds of one step of a density, from runs of two lengths on a matrix that stays."""
    rows, cols = (300, 200) if rehearse else (28672, 8192)
    a = ss.matrix(weights(rows, cols, 64))
    found: Part = {}
    for probes in (16, 32, 64):
        few, more = (
            timed(
                lambda probes=probes, passes=passes: ss.spectral_density(
                    a, probes=probes, passes=passes, device="cuda"
                ),
                3,
            )
            for passes in (2, 6 if not rehearse else 3)
        )
        found[str(probes)] = (more - few) / (4 if not rehearse else 1)
    return found


def searches(rehearse: bool) -> Part:
    """The largest values to a tolerance, and those of torch.svd_lowrank at an equal accuracy."""
    rows, cols, k = (300, 200, 6) if rehearse else (28672, 8192, TOP)
    A = weights(rows, cols, min(4 * k, 512))
    found: Part = {"seconds": timed(lambda: ss.svds(A, k, tol=TOLERANCE, device="cuda"), 3)}
    ours = ss.svds(A, k, tol=TOLERANCE, device="cuda")
    found |= {"passes": ours.passes, "converged": ours.converged}
    if rehearse or importlib.util.find_spec("torch") is None:
        return found
    import torch

    exact = torch.linalg.svdvals(torch.from_numpy(A).cuda())[:k].cpu().numpy()
    found["error"] = float(np.max(np.abs(ours.s - exact)) / exact[0])
    there = torch.from_numpy(A).cuda()
    for niter in (2, 4, 8, 16, 32, 64):
        values = torch.svd_lowrank(there, q=k + 10, niter=niter)[1][:k].cpu().numpy()
        error = float(np.max(np.abs(values - exact)) / exact[0])
        if error <= TOLERANCE:

            def peer(niter: int = niter) -> None:
                torch.svd_lowrank(there, q=k + 10, niter=niter)
                torch.cuda.synchronize()

            found["torch"] = {"niter": niter, "error": error, "seconds": timed(peer, 3)}
            break
    return found


def every_value(rehearse: bool) -> Part:
    """Every singular value, and torch.linalg.svdvals of the same matrix."""
    n = 200 if rehearse else 4096
    A = weights(n, n, 50)
    found: Part = {"order": n, "seconds": timed(lambda: ss.svdvals(A, device="cuda"), 1)}
    if not rehearse and importlib.util.find_spec("torch") is not None:
        import torch

        there = torch.from_numpy(A).cuda()
        found["torch_seconds"] = timed(lambda: torch.linalg.svdvals(there).cpu(), 1)
    return found


def sanitizers(rehearse: bool) -> Part:
    """compute-sanitizer's tools over the part `bits`."""
    program = shutil.which("compute-sanitizer")
    if rehearse or program is None:
        return {"skipped": "needs compute-sanitizer and a device"}
    found: Part = {}
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        command = [program, "--tool", tool, "--error-exitcode", "9", *own_command("bits", False)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found[tool] = {"status": done.returncode, "said": done.stdout[-500:]}
    return found


PARTS: dict[str, tuple[Callable[[bool], Part], int]] = {
    "machine": (machine, 30),
    "bits": (bits, 60),
    "answers": (answers, 60),
    "ceilings": (ceilings, 60),
    "steps": (steps, 90),
    "searches": (searches, 120),
    "every value": (every_value, 60),
    "sanitizers": (sanitizers, 120),
}
"""Parts in their order, with the most seconds of each: ten minutes together."""


def own_command(part: str, rehearse: bool) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.experiments.gpu_run", "--part", part]
    return [*command, "--rehearse"] if rehearse else command


def result_of(part: str, rehearse: bool) -> Part:
    """Run a part in a process of its own."""
    limit = PARTS[part][1]
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
