# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints of 307 M parameters compared, whole processes: ours beside modeldelta.

    python -m venv /path/to/md && /path/to/md/bin/pip install modeldelta==0.4.4
    python benchmarks/pair.py --modeldelta /path/to/md/bin/modeldelta --threads 2 --json FILE

The checkpoints are those of `benchmarks/pairs.py`, made in a folder of --folder unless they are
there. Ours computes four spectra of every pair with all measures, angles and floors, at the default
effort; modeldelta the singular values of the difference, and a few numbers of them. Each tool is
started in a process of its own, one after the other, every other turn backwards; what is timed is
the process from its start to its end, imports and reading included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from minilm import timed
from pairs import SIZE, layout, write

from sigmascope.bench.machine import chosen_cores, describe


def main() -> None:
    arguments = argparse.ArgumentParser(description="Ours beside modeldelta on one pair.")
    arguments.add_argument("--modeldelta", metavar="COMMAND", help="of an environment that has it")
    arguments.add_argument("--folder", type=Path, help="where the checkpoints are, or are made")
    arguments.add_argument("--size", type=float, default=SIZE, help="of the update: |dW| / |W|")
    arguments.add_argument("--decay", type=float, default=0.0, help="how much of W is gone")
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    cores = chosen_cores(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        # In a process of its own: what is timed inherits the peak memory of this one.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            made = pool.submit(write, given.folder or Path(scratch), given.size, given.decay)
            before, after = made.result()
        ours = [sys.executable, "-m", "sigmascope", "compare", str(before), str(after)]
        ours += ["--quiet", "--threads", str(len(cores)), "--out", f"{scratch}/found.jsonl"]
        commands = {"sigmascope compare": ours}
        if given.modeldelta:
            theirs = [given.modeldelta, str(before), str(after), "--quiet"]
            commands["modeldelta"] = [*theirs, "--output", f"{scratch}/found.json"]
        found: dict[str, Any] = {
            "kind": "pair",
            "machine": describe(len(cores)),
            "parameters": sum(m * n for _, (m, n) in layout()),
            "size": given.size,
            "decay": given.decay,
        }
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
