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
from timed_calls import YARDSTICK, write_matrices

from sigmascope.bench.machine import chosen_cores, describe, thread_environment

CALLS = Path(__file__).with_name("timed_calls.py")
AGREE = 1e-3
"""Relative difference of the largest value that both builds may show."""


def timed(build: Path, folder: Path, cores: list[int], pattern: str) -> dict[str, dict[str, float]]:
    """Run the cases whose name fits the pattern in a process of its own."""
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable, os.fspath(CALLS)]
    environment = thread_environment(len(cores)) | {"PYTHONPATH": os.fspath(build)}
    done = subprocess.run(
        [*command, os.fspath(folder), str(len(cores)), pattern],
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
        write_matrices(Path(scratch))
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
        if case != YARDSTICK:
            ratios.append(ratio)
        spread = f"{each[0]:.2f} to {each[-1]:.2f}"
        medians = f"{np.median(old):8.4f} {np.median(new):8.4f}"
        print(f"{case:<42} {medians} {ratio:10.3f}  {spread}")
        if max(values[case]) - min(values[case]) > AGREE * max(map(abs, values[case])):
            sys.exit(f"{case}: the builds disagree: {sorted(values[case])}")
        results["cases"][case] = of | {"ratio": ratio}
    print(f"geometric mean of the ratios: {np.exp(np.mean(np.log(ratios))):.3f}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
