# SPDX-License-Identifier: BSD-3-Clause
"""A process that runs cases one after the other, and says on its output what came of each.

A case that takes too much processor time, or waits too long, ends the process: the runner sees
which case it was, as it does when the process crashes.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .calls import run
from .cases import draw, numbers
from .outcome import Outcome
from .shrinking import save, shrunk

CPU, WALL = 120.0, 900.0
"""Seconds that one case may take."""


def main() -> None:
    job = json.loads(sys.argv[1])
    saved = {tuple(group): count for *group, count in job["saved"]}
    first, end = job["first"], job["end"]
    for index in [first] if job["alone"] else numbers(first, end):
        if job["until"] and time.time() > job["until"]:
            break
        case = draw(job["seed"], index)
        if not case.matches(job["only"]):
            continue
        tell({"began": index})
        signal.setitimer(signal.ITIMER_PROF, CPU)
        signal.setitimer(signal.ITIMER_REAL, WALL)
        outcome = run(case)
        record = outcome.record() | {"index": index, "function": case.function, "kind": case.kind}
        record["dtype"], record["line"] = case.dtype, ""
        if outcome.findings:
            group = (case.function, outcome.main.what, case.kind)
            record["main"] = outcome.main.what
            if saved.get(group, 0) < job["each"]:
                saved[group] = saved.get(group, 0) + 1
                record["line"] = kept(case, outcome, job)
        tell(record)


def kept(case: Any, outcome: Outcome, job: dict[str, Any]) -> str:
    smaller, seen = shrunk(case, outcome)
    return save(smaller, seen, job["isa"], Path(job["folder"]))


def tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
