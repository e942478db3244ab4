# SPDX-License-Identifier: BSD-3-Clause
"""The example calibration that the package ships: some runs of the experiment's calibration.

python -m benchmarks.regimes.example tests/diagnosis/regimes.json \\
    python/sigmascope/diagnosis/example.json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from sigmascope.diagnosis import Calibration
from sigmascope.diagnosis.runs import labelled_runs
from sigmascope.diagnosis.validation import score_of

from .fixture import shortened

OF_EACH = 4
"""Runs of each class and group: with 40 in all, no verdict on them is wrong or undecided."""


def example_of(calibration: Calibration) -> Calibration:
    """Return a calibration of the first runs of each class and group, marked as an example."""
    runs = tuple(
        run
        for group in calibration.groups
        for side in ("narrow", "broad")
        for run in [r for r in calibration.runs if (r.group, r.label) == (group, side)][:OF_EACH]
    )
    limits = calibration.narrow_at_most, calibration.broad_at_least
    score = score_of(labelled_runs(runs, *limits), "auto")
    return replace(calibration, runs=runs, score=score, example=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example calibration.")
    parser.add_argument("calibration", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    example_of(Calibration.load(given.calibration)).save(given.out)
    record = json.loads(
        given.out.read_text(encoding="utf-8"), parse_float=lambda x: shortened(float(x))
    )
    text = json.dumps(record, separators=(",", ":"))
    given.out.write_text(text.replace('{"label"', '\n{"label"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
