# SPDX-License-Identifier: BSD-3-Clause
r"""Time, memory and page cache of scans of whole checkpoints, and the planted values they find.

    cd benchmarks/experiments
    python make_checkpoints.py ../../models qwen-0.5b llama-3b llama-7b llama-34b llama-70b
    python scale_checkpoint.py ../../models/* --memory 1.8GiB \
        --json ../results/scale.json --plot ../results/scale.png
    python scale_checkpoint.py ../../models/llama-70b --memory 1.8GiB --effort exact \
        --include 'model.layers.[0-9].*' --json ../results/exact.json

Every file is read from disk, past the page cache. Each scan runs in a process of its own. A planted
value is found if its distance from the value that theory expects is at most its error bound plus
4 sigma, the fluctuation of the value itself.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from whole_processes import timed

import sigmascope as ss
from sigmascope.bench.machine import chosen_cores, describe
from sigmascope.results import Scan

SCAN = """
import json, sys
import sigmascope as ss

ss.scan(sys.argv[1], **json.loads(sys.argv[2]))
"""

FLUCTUATION = 4.0  # of a planted value, in units of the noise of one entry

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


def cached(path: Path) -> int:
    """Bytes of a file that are in the page cache."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        pages = np.zeros(-(-size // mmap.PAGESIZE), dtype=np.uint8)
        if libc.mincore(start, size, pages.ctypes.data) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        libc.munmap(start, size)
    return mmap.PAGESIZE * int(np.sum(pages & 1))


def drop(folder: Path) -> None:
    """Take the files of a checkpoint out of the page cache."""
    for path in folder.glob("*.safetensors"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def planted(folder: Path, result: Scan) -> dict[str, Any]:
    """Compare the values found with those planted: the worst distance over the allowed one."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    worst, count, missed = 0.0, 0, 0
    for row in result.analysed:
        made = truth["kinds"][truth["uses"][row["name"]]]
        observed = np.array(made["observed"])
        allowed = np.array(row["top_errors"][: len(observed)]) + FLUCTUATION * made["sigma"]
        off = np.abs(np.array(row["top"][: len(observed)]) - observed) / allowed
        worst, count = max(worst, float(off.max())), count + len(off)
        missed += int(np.sum(off > 1))
    return {"values": count, "missed": missed, "worst": worst}


def measured(folder: Path, given: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Scan one checkpoint in a process of its own."""
    drop(folder)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "scan.jsonl"
        options = {
            "effort": given.effort,
            "k": 64,
            "tol": 1e-3,
            "accuracy": given.accuracy,
            "memory_limit": given.memory,
            "reading": "uncached",
            "num_threads": len(cores),
            "include": given.include,
            "out": str(out),
        }
        command = [sys.executable, "-c", SCAN, str(folder), json.dumps(options)]
        run = timed(command, cores)
        result = Scan.load(out)
    files = sorted(folder.glob("*.safetensors"))
    part = {"whole": whole(folder, result, run["seconds"])} if given.include else {}
    return part | {
        "name": folder.name,
        "bytes": result.bytes,
        "rows": len(result),
        "analysed": len(result.analysed),
        "failed": len(result.failed),
        "unconverged": len(result.unconverged),
        "passes": [min(x := [row["passes"] for row in result.analysed]), max(x)],
        "cached": sum(map(cached, files)),
        "planted": planted(folder, result),
        **run,
    }


def whole(folder: Path, result: Scan, seconds: float) -> float:
    """Seconds that all of a checkpoint would take by the same route, from a part of it.

    A shape that was measured takes its mean share of the process, one that was not as much as
    the measured one of most entries per multiply-add of a Gram matrix.
    """

    def products(shape: tuple[int, ...]) -> float:
        return math.prod(shape) * min(shape)

    taken: dict[tuple[int, ...], list[float]] = {}
    for row in result.analysed:
        taken.setdefault((row["rows"], row["columns"]), []).append(row["seconds"])
    mean = {shape: sum(times) / len(times) for shape, times in taken.items()}
    largest = max(mean, key=math.prod)
    shapes = [matrix.shape for matrix in ss.open_checkpoint(folder).values()]
    unmeasured = mean[largest] / products(largest)
    total = sum(mean.get(shape, unmeasured * products(shape)) for shape in shapes)
    return seconds * total / sum(map(sum, taken.values()))


def slopes(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Exponents of time and of peak memory over bytes, by least squares in logarithms."""
    size = [math.log(run["bytes"]) for run in runs]
    return {
        key: float(np.polyfit(size, [math.log(run[key]) for run in runs], 1)[0])
        for key in ("seconds", "peaks")
    }


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Plot time and peak memory over the size of the checkpoint."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    size = np.array([run["bytes"] for run in runs]) / 1e9
    minutes = np.array([run["seconds"] for run in runs]) / 60
    left.loglog(size, minutes, "o-", color="#0072b2", label="measured")
    linear = size * float(np.exp(np.mean(np.log(minutes / size))))
    left.loglog(size, linear, "--", color="0.6", label="proportional to size")
    left.set(xlabel="checkpoint (GB)", ylabel="minutes", title="Time, two cores")
    left.legend(frameon=False)
    peak = np.array([run["peaks"] for run in runs]) / 2**30
    right.semilogx(size, peak, "o-", color="#d55e00")
    right.set(xlabel="checkpoint (GB)", ylabel="peak resident memory (GiB)", title="Memory")
    right.set_ylim(0, max(2.0, 1.1 * peak.max()))
    for axes in (left, right):
        axes.set_xticks(size, [f"{run['bytes'] / 1e9:.0f}" for run in runs])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Scans of whole checkpoints.")
    arguments.add_argument("folders", nargs="+", type=Path)
    arguments.add_argument("--effort", default="density")
    arguments.add_argument("--accuracy", default="reference")
    arguments.add_argument("--memory", default="1.5GiB")
    arguments.add_argument("--include", action="append")
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--plot", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    results: dict[str, Any] = {"kind": "scale", "machine": describe(len(cores))}
    results |= {"effort": given.effort, "accuracy": given.accuracy, "memory": given.memory}
    results |= {"include": given.include, "runs": []}
    for folder in given.folders:
        results["runs"].append(measured(folder, given, cores))
        print(json.dumps(results["runs"][-1]), file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results["runs"].sort(key=lambda run: run["bytes"])
    if len(results["runs"]) > 1:
        results["slopes"] = slopes(results["runs"])
        print(f"slopes over bytes: {results['slopes']}", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.plot:
        draw(results["runs"], given.plot)


if __name__ == "__main__":
    main()
