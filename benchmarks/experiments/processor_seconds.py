# SPDX-License-Identifier: BSD-3-Clause
"""Processor seconds of calls on weights, beside those recorded for this kind of processor.

    python benchmarks/experiments/processor_seconds.py             # --record keeps them

The gate prints this table at its end, so that a change which makes calls dearer is seen when it is
made. Times are also given in multiples of a yardstick, NumPy's product of a 4096 x 4096 matrix and
64 columns in the same process, and it is multiples that are compared: they depend less on the clock
and on neighbours. Nothing fails here; `compare_builds.py` measures two builds in turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from timed_calls import YARDSTICK, write_matrices

import sigmascope as ss
from sigmascope.bench.machine import thread_environment

CALLS = Path(__file__).with_name("timed_calls.py")
RECORD = Path(__file__).parents[1] / "results" / "processor-seconds.json"


def measure(pattern: str) -> dict[str, float]:
    """Return the processor seconds of each call that fits the pattern, and of the yardstick."""
    with tempfile.TemporaryDirectory() as folder:
        write_matrices(Path(folder))
        run = subprocess.run(
            [sys.executable, str(CALLS), folder, "1", pattern],
            env=thread_environment(1),
            check=True,
            stdout=subprocess.PIPE,
        )
    return {name: timing["seconds"] for name, timing in json.loads(run.stdout).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Processor seconds of calls on weights.")
    parser.add_argument("--cases", default="weights:*", help="a pattern of their names")
    parser.add_argument(
        "--record", action="store_true", help="keep the multiples for this processor"
    )
    given = parser.parse_args()
    kind = str(ss.show_config()["isa"])
    seconds = measure(given.cases)
    unit = seconds.pop(YARDSTICK)
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded = records.get(kind, {})
    print(f"{kind}; {YARDSTICK} takes {unit:.4f} s of a processor")
    print(f"{'call':<42} {'seconds':>8} {'multiple':>9} {'recorded':>9} {'ratio':>6}")
    for name, value in seconds.items():
        multiple, before = value / unit, recorded.get(name)
        known = f"{before:9.1f} {multiple / before:6.2f}" if before else f"{'-':>9} {'-':>6}"
        print(f"{name:<42} {value:8.3f} {multiple:9.1f} {known}")
    if given.record:
        measured = {name: round(value / unit, 1) for name, value in seconds.items()}
        records[kind] = {**recorded, **measured}
        RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
