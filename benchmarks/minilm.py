# SPDX-License-Identifier: BSD-3-Clause
"""Every matrix of a real model, whole processes: ours beside weightwatcher's analyze.

    python -m venv /path/to/ww && /path/to/ww/bin/pip install weightwatcher torch
    python benchmarks/minilm.py --weightwatcher /path/to/ww/bin/python --threads 2 --json FILE

The model is that of `sigmascope demo`, fetched once, unless another folder with a model.safetensors
is named. Each tool is started in a process of its own, one after the other, every other turn
backwards; what is timed is the process from its start to its end, imports and reading included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sigmascope.bench.machine import chosen_cores, describe, thread_environment
from sigmascope.cli.demo import fetch

ANALYZE = """
import sys, weightwatcher
details = weightwatcher.WeightWatcher(model=sys.argv[1]).analyze()
print(len(details), "matrices", file=sys.stderr)
"""


def timed(command: list[str], cores: list[int]) -> dict[str, float]:
    """Wall time, processor time and peak resident bytes of a process."""
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    # A process inherits the peak of the one that forked it: taskset, which is small, by vfork.
    started = time.perf_counter()
    process = subprocess.Popen(
        pinned,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=thread_environment(len(cores)),
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.decode()}")
    used = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "processor_seconds": used, "peaks": usage.ru_maxrss * 1024.0}


def main() -> None:
    arguments = argparse.ArgumentParser(description="Ours beside weightwatcher on one model.")
    arguments.add_argument(
        "--weightwatcher", metavar="PYTHON", help="of an environment that has it"
    )
    arguments.add_argument("--model", type=Path, help="a folder with a model.safetensors")
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    model = str(given.model or fetch())
    scan = [sys.executable, "-m", "sigmascope", "scan", model, "--effort", "exact", "--quiet"]
    commands = {"sigmascope scan --effort exact": [*scan, "--threads", str(len(cores))]}
    if given.weightwatcher:
        commands["weightwatcher analyze"] = [given.weightwatcher, "-c", ANALYZE, model]
    found: dict[str, Any] = {"kind": "minilm", "machine": describe(len(cores))}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for turn in range(given.turns):
        for name in list(commands)[:: 1 - 2 * (turn % 2)]:
            runs[name].append(timed(commands[name], cores))
            print(f"turn {turn + 1}: {name}: {runs[name][-1]}", file=sys.stderr)
    found["tools"] = [
        {"name": name, **{key: [run[key] for run in of] for key in of[0]}}
        for name, of in runs.items()
    ]
    for tool in found["tools"]:
        wall, used = (float(np.median(tool[key])) for key in ("seconds", "processor_seconds"))
        print(f"{tool['name']:<32} {wall:8.2f} s wall  {used:8.2f} s processor", end="")
        print(f"  {max(tool['peaks']) / 1e6:8.0f} MB")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
