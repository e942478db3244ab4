# SPDX-License-Identifier: BSD-3-Clause
r"""Time to analyse every matrix of a real model: `sigmascope scan` and weightwatcher.

    python -m venv /path/to/ww && /path/to/ww/bin/pip install weightwatcher torch
    python benchmarks/experiments/compare_minilm.py --weightwatcher /path/to/ww/bin/python \
        --threads 2 --json FILE

The model is that of `sigmascope demo`, fetched once, unless another folder with a model.safetensors
is named. The tools run one after the other, each in a process of its own, every other turn
backwards. The time is that of the whole process, with its imports and its reading.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from whole_processes import print_medians, timed_in_turns

from sigmascope.bench.machine import chosen_cores, describe
from sigmascope.cli.demo import fetch

ANALYZE = """
import sys, weightwatcher
details = weightwatcher.WeightWatcher(model=sys.argv[1]).analyze()
print(len(details), "matrices", file=sys.stderr)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(
        description="Time sigmascope and weightwatcher on one model."
    )
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
    results: dict[str, Any] = {"kind": "minilm", "machine": describe(len(cores))}
    results["tools"] = timed_in_turns(commands, cores, given.turns)
    print_medians(results["tools"])
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
