# SPDX-License-Identifier: BSD-3-Clause
r"""Time to compare two checkpoints of 307 M parameters: `sigmascope compare` and modeldelta.

    python -m venv /path/to/md && /path/to/md/bin/pip install modeldelta==0.4.4
    python benchmarks/experiments/compare_pair.py --modeldelta /path/to/md/bin/modeldelta \
        --threads 2 --json FILE

The checkpoints are those of make_pair.py, made in the folder of --folder unless they are there.
Ours computes four spectra of every pair with all measures, angles and floors, at the default
effort. modeldelta computes the singular values of the difference, and a few numbers of them. The
tools run one after the other, each in a process of its own, every other turn backwards. The time is
that of the whole process, with its imports and its reading.
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

from make_pair import SIZE, layout, write
from whole_processes import print_medians, timed_in_turns

from sigmascope.bench.machine import chosen_cores, describe


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time sigmascope and modeldelta on one pair.")
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
        results: dict[str, Any] = {
            "kind": "pair",
            "machine": describe(len(cores)),
            "parameters": sum(m * n for _, (m, n) in layout()),
            "size": given.size,
            "decay": given.decay,
        }
        results["tools"] = timed_in_turns(commands, cores, given.turns)
    print_medians(results["tools"])
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
