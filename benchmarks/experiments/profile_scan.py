# SPDX-License-Identifier: BSD-3-Clause
r"""Shares of the processor's time of a scan: reading, products, orthogonalisation, small dense.

    CXXFLAGS=-fno-omit-frame-pointer pip install . -Ccmake.build-type=RelWithDebInfo
    python benchmarks/experiments/profile_scan.py models/llama-70b --include 'model.layers.7.*' \
        --json shares.json

The script needs Linux perf, and a build with symbols and frame pointers, as above. Stacks are
sampled by the processor's clock, so a thread that waits for the disk is not seen; the number of
busy cores shows it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from scale_checkpoint import SCAN, drop

from sigmascope.bench.machine import chosen_cores, describe, thread_environment

RATE = 199  # samples per second and thread

PARTS = (
    ("statistics of the elements", r"survey|element_pass|moments|count_codes"),
    ("products", r"CpuBackend<\w+>::(stream|multiply|gram_step|steer)|TilePanels"),
    ("orthogonalisation", r"CpuBackend<\w+>::(inner|combine|gaussian)|orthonormalize"),
    ("small dense", r"openblas|eigh|quadrature|Small|lapack"),
    ("reading", r"pread|read_exactly|iomap|blk_|loop_|submit_bio|read_rectangle"),
    ("waiting for the other thread", r"worker_loop|ThreadPool"),
)
"""Names of the parts, each with what a stack of it holds; the first that fits counts."""


def part_of(stack: str) -> str:
    """Return the part that a sampled stack belongs to."""
    return next((name for name, sign in PARTS if re.search(sign, stack)), "other")


def sampled(command: list[str], cores: list[int], folder: Path) -> tuple[Counter[str], float]:
    """Run a command under perf; samples by part, and the seconds that it took."""
    data = folder / "perf.data"
    record = ["perf", "record", "-q", "-g", "-e", "cpu-clock", "-F", str(RATE), "-o", str(data)]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))]
    subprocess.run([*pinned, *record, *command], check=True, env=thread_environment(len(cores)))
    script = ["perf", "script", "-i", str(data), "-F", "time,ip,sym,dso"]
    text = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    stacks = [stack for stack in text.split("\n\n") if stack.strip()]
    times = [float(stack.split(":", 1)[0]) for stack in stacks]
    return Counter(part_of(stack) for stack in stacks), max(times) - min(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Shares of the time of a scan.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--include", action="append")
    arguments.add_argument("--memory", default="1.8GiB")
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    options = {
        "effort": "density",
        "k": 64,
        "tol": 1e-3,
        "memory_limit": given.memory,
        "reading": "uncached",
        "num_threads": len(cores),
        "include": given.include,
    }
    drop(given.folder)
    command = [sys.executable, "-c", SCAN, str(given.folder), json.dumps(options)]
    with tempfile.TemporaryDirectory() as place:
        samples, seconds = sampled(command, cores, Path(place))
    total = sum(samples.values())
    results: dict[str, Any] = {"kind": "shares", "machine": describe(len(cores))}
    results["what"] = " ".join([given.folder.name, *(given.include or ())])
    results["busy"] = total / RATE / seconds
    results["seconds"] = seconds
    results["shares"] = {name: count / total for name, count in samples.most_common()}
    for name, share in results["shares"].items():
        print(f"{name:<32} {100 * share:5.1f} %")
    print(f"{results['busy']:.2f} cores busy, {seconds:.1f} s")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
