# SPDX-License-Identifier: BSD-3-Clause
"""Commands timed from the start of their process to its end, on pinned cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

from sigmascope.bench.machine import thread_environment


def timed(command: list[str], cores: list[int]) -> dict[str, float]:
    """Return wall time, processor time and peak resident bytes of a process."""
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


def timed_in_turns(
    commands: dict[str, list[str]], cores: list[int], turns: int
) -> list[dict[str, Any]]:
    """Time every command once per turn, every other turn backwards; return the figures of each."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for turn in range(turns):
        for name in list(commands)[:: 1 - 2 * (turn % 2)]:
            runs[name].append(timed(commands[name], cores))
            print(f"turn {turn + 1}: {name}: {runs[name][-1]}", file=sys.stderr)
    return [
        {"name": name, **{key: [run[key] for run in of] for key in of[0]}}
        for name, of in runs.items()
    ]


def print_medians(tools: list[dict[str, Any]]) -> None:
    """Print one line for every command: median times, largest peak of memory."""
    for tool in tools:
        wall, used = (float(np.median(tool[key])) for key in ("seconds", "processor_seconds"))
        print(f"{tool['name']:<32} {wall:8.2f} s wall  {used:8.2f} s processor", end="")
        print(f"  {max(tool['peaks']) / 1e6:8.0f} MB")
