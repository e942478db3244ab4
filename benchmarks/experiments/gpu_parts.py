# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the run on a GPU: each yields its results, by name, as soon as it has them."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope._host.native import cuda
from sigmascope.bench import BenchmarkPlan, Workload, compare, select
from sigmascope.bench.accuracy import reference
from sigmascope.bench.cuda.limits import device_work, measure_limits
from sigmascope.bench.results import ABSENT
from sigmascope.bench.workloads import llm, numpy_dtype
from sigmascope.errors import DeviceError, MemoryLimitError

from .gpu_scan import scan_of_layers

Results = Iterator[tuple[str, Any]]
RUN = {"threads": 1, "panel_rows": 0, "load_bytes": 0, "progress": None, "device_bytes": 1 << 33}
TOP, TOLERANCE = 64, 1e-3
LARGE, SQUARE = (28672, 8192), (4096, 4096)
SMALL = (300, 200)
"""Shapes of the matrices; the last one is for a rehearsal."""
TIMING = (
    *("accuracies", "setting", "seconds", "device_seconds", "peak"),
    *("error", "residual", "passes", "messages"),
)
"""Measurements of a backend that the run keeps; all others follow from them."""


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
    """Return a matrix like trained weights, in bfloat16, as it was prepared if it was."""
    kind = numpy_dtype("bfloat16")
    prepared = Path(os.environ.get("XDG_CACHE_HOME", "")) / f"weights-{rows}-{cols}.npy"
    if prepared.is_file():
        return np.asarray(np.load(prepared)).view(kind)
    return np.asarray(llm(rows, cols, 0), dtype=kind)


def prepare(folder: Path, rehearse: bool) -> None:
    """Write the matrices and the values that answers are held against, before a device is held."""
    for rows, cols in [SMALL] if rehearse else [LARGE, SQUARE]:
        A = weights(rows, cols)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"weights-{rows}-{cols}.npy", A.view(np.uint16))
        reference(A, folder / "sigmascope" / "bench")
        print(f"{rows} x {cols}: prepared in {folder}", flush=True)


def machine(_: bool) -> Results:
    """The device, and the versions of what computes on it."""
    yield "config", ss.show_config()
    yield "module", module().config()
    yield "chips", module().devices()


def bits(_: bool) -> Results:
    """Verbs of the device against those of the processor: how many numbers differ, and by what."""
    rng = np.random.default_rng(0)

    def compared(verb: Callable[..., NDArray[Any]], *given: Any, **options: Any) -> dict[str, Any]:
        host, device = (verb(*given, device=d, **options, **RUN) for d in (None, 0))
        differ = np.abs(device.astype(np.float64) - host)
        return {"differ": int(np.count_nonzero(differ)), "most": float(differ.max())}

    for f64 in (False, True):
        kind = np.float64 if f64 else np.float32
        xs = [rng.standard_normal((3001, k)).astype(kind) for k in (17, 1, 64)]
        c = rng.standard_normal((82, 33))
        y = rng.standard_normal((3001, 33)).astype(kind)
        name = f"float{64 if f64 else 32}"
        yield (
            f"gaussian {name}",
            compared(module().gaussian, 4001, 33, seed=1, column0=3, f64=f64),
        )
        yield f"inner {name}", compared(module().inner, xs, y, f64=f64)
        yield f"combine {name}", compared(module().combine, y, xs, c, f64=f64)
        a = ss.matrix(rng.standard_normal((3001, 257)).astype(kind)).native
        for transposed in (False, True):
            x = rng.standard_normal((3001 if transposed else 257, 33)).astype(kind)
            options = {"transposed": transposed, "f64": f64}
            yield (
                f"multiply {name}{', transposed' * transposed}",
                compared(module().product, a, "multiply", x, **options),
            )
    # By tensor cores, whose sums are other than the processor's.
    x = rng.standard_normal((264, 33)).astype(np.float32)
    for kind, name in itertools.product(("bfloat16", "float16"), ("multiply", "gram_step")):
        stored = ss.matrix(weights(1501, 264).astype(numpy_dtype(kind))).native
        options = {"transposed": False, "f64": False}
        yield f"{name} {kind}", compared(module().product, stored, name, x, **options)


def rounding(rehearse: bool) -> Results:
    """Products by tensor cores, of one part and of two: their error and their bias."""
    rng = np.random.default_rng(1)
    depths = (1024,) if rehearse else (1024, 8192, 28672, 131072)
    for depth, kind in itertools.product(depths, ("bfloat16", "float16")):
        A = rng.standard_normal((48, depth)).astype(numpy_dtype(kind))
        x = rng.standard_normal((depth, 16)).astype(np.float32)
        exact = A.astype(np.float64) @ x.astype(np.float64)
        a = ss.matrix(A).native
        made = module().product(a, "multiply", x, transposed=False, f64=False, device=0, **RUN)
        norm2 = float(np.vdot(exact, exact))
        yield (
            f"{depth} {kind}",
            {
                "error": float(np.linalg.norm(made - exact)) / norm2**0.5,
                "bias": float(np.vdot(made, exact)) / norm2 - 1,
            },
        )


def answers(rehearse: bool) -> Results:
    """Searches on both devices: the difference of values, in units of both bounds."""
    A = weights(*((140, 100) if rehearse else (700, 500)))
    for kind in (A.dtype, np.float16, np.float32, np.float64):
        a = A.astype(kind)
        for name, solver in (
            ("svds", lambda a, **on: ss.svds(a, 8, **on)),
            ("randomized_svd", lambda a, **on: ss.randomized_svd(a, 8, **on)),
        ):
            host, device = solver(a), solver(a, device="cuda")
            again = solver(a, device="cuda")
            worst = np.max(np.abs(device.s - host.s) / (device.errors + host.errors))
            yield (
                f"{name} {np.dtype(kind).name}",
                {
                    "worst": float(worst),
                    "within": bool(worst <= 1),
                    "same_bits_again": bool(np.array_equal(device.s, again.s)),
                    "same_bits_as_cpu": bool(np.array_equal(device.s, host.s)),
                },
            )


def tests(rehearse: bool) -> Results:
    """Tests of arrays of torch and CuPy, and those of the mathematics that name a device."""
    if rehearse:
        yield "skipped", "these tests run on simulated devices elsewhere"
        return
    for name, paths in (
        ("arrays of libraries", ["tests/cuda/test_live_arrays.py"]),
        ("mathematics", ["tests/solvers", "-k", "cuda"]),
    ):
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "", *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        yield name, {"status": done.returncode, "end": done.stdout[-1500:]}


def small(_: bool) -> Results:
    """Products and a scan that take a moment, for tools under which everything is slow."""
    rng = np.random.default_rng(2)
    stored = ss.matrix(rng.standard_normal((64, 2048)).astype(numpy_dtype("bfloat16"))).native
    for columns in (16, 32, 64):
        x = rng.standard_normal((2048, columns)).astype(np.float32)
        options = {"transposed": False, "f64": False, "device": 0}
        made = module().product(stored, "gram_step", x, **options, **RUN)
        yield f"{columns} columns", float(np.linalg.norm(made))
    yield "moments", ss.moments(rng.standard_normal((200, 300)), device="cuda").mean
    yield "values", float(ss.svds(rng.standard_normal((60, 50)), 3, device="cuda").s[0])


def under(tool: list[str], seconds: float) -> dict[str, Any]:
    """Run the small part under a tool, in a process group that ends with it."""
    command = [*tool, sys.executable, "-m", "benchmarks.experiments.gpu_run", "--part", "small"]
    with tempfile.TemporaryFile("w+") as text:
        process = subprocess.Popen(
            command, stdout=text, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | str = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            status = f"took more than {seconds:g} s"
        text.seek(0)
        return {"status": status, "end": text.read()[-1500:]}


def sanitizers(rehearse: bool) -> Results:
    """The tools of compute-sanitizer, each over the small part."""
    program = shutil.which("compute-sanitizer")
    if rehearse or program is None:
        yield "skipped", "needs compute-sanitizer and a device"
        return
    for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
        yield tool, under([program, "--tool", tool, "--error-exitcode", "9"], 16)


def counters(rehearse: bool) -> Results:
    """The counters of one launch of each kernel, by ncu."""
    program = shutil.which("ncu")
    if rehearse or program is None:
        yield "skipped", "needs ncu and a device"
        return
    for kernel in ("multiply_group", "decode_rows", "survey_stretches", "add_groups"):
        options = ["--set", "basic", "--launch-count", "1", "--kernel-name", f"regex:{kernel}"]
        yield kernel, under([program, *options], 9)


def ceilings(rehearse: bool) -> Results:
    """Copies on the device and to it, a product in bf16, and how fast pinned memory is filled."""
    work = device_work()
    if work:
        yield "device", measure_limits(work)
    nbytes = 1 << (22 if rehearse else 28)
    source, to = np.ones(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
    for threads in (1, 4):
        pieces = list(
            zip(np.array_split(to, threads), np.array_split(source, threads), strict=True)
        )
        with ThreadPoolExecutor(threads) as pool:
            seconds = timed(lambda: list(pool.map(lambda pair: np.copyto(*pair), pieces)), 5)  # noqa: B023
        yield f"copies by {threads} threads, bytes per second", nbytes / seconds


def steps(rehearse: bool) -> Results:
    """Seconds of one step of a density, from runs of two lengths on a matrix that stays."""
    A = weights(*(SMALL if rehearse else LARGE))
    few, more = (2, 3) if rehearse else (2, 6)

    def seconds(a: ss.Matrix, **options: Any) -> float:
        def run(passes: int) -> Callable[[], object]:
            return lambda: ss.spectral_density(a, passes=passes, device="cuda", **options)

        turns = 1 if rehearse else 3
        return (timed(run(more), turns) - timed(run(few), turns)) / (more - few)

    codes = ss.matrix(A.view(np.uint16).astype(np.uint8) & 0xB7, dtype="f8_e4m3")
    matrices = {"bf16": ss.matrix(A), "fp8": codes} | {
        name: ss.matrix(A.astype(kind)) for name, kind in (("fp16", "float16"), ("fp32", "float32"))
    }
    for (name, a), probes in itertools.product(matrices.items(), (16, 32, 64)):
        yield f"{name}, {probes} columns", seconds(a, probes=probes)
    for rows in (512, 2048, 8192):
        single = {"probes": 16, "precision": "float32", "panel_rows": rows}
        yield f"fp32, 16 columns, panels of {rows} rows", seconds(matrices["fp32"], **single)


def compared(A: NDArray[Any], k: int, name: str, accuracies: list[float]) -> dict[str, Any]:
    """Time one backend at each accuracy, held against the values that were prepared."""
    title = f"llm, {A.shape[0]} x {A.shape[1]}, {A.dtype.name}"
    workload = Workload(title, lambda seed: A, synthetic=False)
    plan = BenchmarkPlan(k=k, accuracies=accuracies, turns=1, timeout=40)
    (entry,) = compare(workload, plan, select([name])).record()["entries"]
    result = {"status": entry["status"], "message": entry["message"]}
    if entry["status"] in ABSENT:
        return result
    tried = [rung for rung in entry["rungs"] if rung["seconds"] is not None]
    failed = next((rung["message"] for rung in entry["rungs"] if rung["message"]), "")
    message = entry["message"] or failed
    timings = [{name: timing[name] for name in TIMING} for timing in entry["timings"]]
    return result | {"message": message, "timings": timings, "tried": tried}


def searches(rehearse: bool) -> Results:
    """The largest values and vectors to a tolerance, and by other libraries at equal error."""
    A, k = weights(*(SMALL if rehearse else LARGE)), 6 if rehearse else TOP
    for name in ("ours-cuda", "torch-cuda-lowrank", "cusolver-gesvdr", "cupy-svds"):
        yield name, compared(A, k, name, [TOLERANCE])


def every_value(rehearse: bool) -> Results:
    """Every singular value, and by torch.linalg.svdvals and gesvdp."""
    A = weights(*(SMALL if rehearse else SQUARE))
    for name in ("ours-cuda-svdvals", "torch-cuda-svdvals", "cusolver-gesvdp"):
        yield name, compared(A, min(A.shape), name, [1e-2, 1e-6])


def full_device(rehearse: bool) -> Results:
    """A search while another process holds all but 1 GiB of the device."""
    if rehearse:
        yield "skipped", "needs a device"
        return
    program = (
        "import torch; free, _ = torch.cuda.mem_get_info();"
        "held = torch.empty(free - (1 << 30), dtype=torch.uint8, device='cuda');"
        "print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        yield "other process", other.stdout.readline().strip()
        try:
            result = ss.svds(weights(*LARGE), TOP, tol=TOLERANCE, device="cuda")
            yield "search", {"s": result.s[:3].tolist(), "notes": list(result.notes)}
        except (DeviceError, MemoryLimitError) as error:
            yield "search", f"{type(error).__name__}: {error}"
        other.communicate("\n")


def stacks(rehearse: bool) -> Results:
    """Seconds of searches in a stack of matrices, in one call and one after the other."""
    count, rows, cols, k = (3, 60, 40, 4) if rehearse else (64, 1024, 512, 16)
    A = weights(rows, cols)
    stack = np.stack([np.roll(A, i, axis=0) for i in range(count)])
    options: dict[str, Any] = {"k": k, "tol": TOLERANCE, "device": "cuda"}
    yield "together", timed(lambda: ss.svds(stack, **options), 3)
    yield "alone", timed(lambda: [ss.svds(a, **options) for a in stack], 1)
    result = ss.svds(stack, **options)
    same = [np.array_equal(result.s[i], ss.svds(stack[i], **options).s) for i in (0, count - 1)]
    yield "same_bits", bool(all(same))


def scan(rehearse: bool) -> Results:
    """A scan of ten layers from disk, over reading the same bytes."""
    yield "layers", scan_of_layers(rehearse)


PARTS: dict[str, tuple[Callable[[bool], Results], int]] = {
    "machine": (machine, 15),
    "bits": (bits, 25),
    "rounding": (rounding, 15),
    "answers": (answers, 20),
    "tests": (tests, 70),
    "sanitizers": (sanitizers, 66),
    "ceilings": (ceilings, 25),
    "steps": (steps, 70),
    "counters": (counters, 38),
    "searches": (searches, 100),
    "every value": (every_value, 45),
    "full device": (full_device, 25),
    "scan": (scan, 60),
    "stacks": (stacks, 20),
}
"""Parts in the order that settles most, with the most seconds of each: ten minutes together."""
