# SPDX-License-Identifier: BSD-3-Clause
"""A report on the runs: the sign in matched pairs, the ladder, verdicts, controls, guards.

    python -m benchmarks.regimes.report --json build/regimes/found.json \
        --calibration build/regimes/regimes.json

Every number is reached by the product's own functions from saved comparisons.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from sigmascope.diagnosis import Calibration, diagnose

from .found import Found, increments_of, load, of
from .measures import behaviour, ladder, levels, matched_pairs, novelty, novelty_design, permutation
from .plan import main_plan
from .run import FOLDER, record_path
from .runs import STEPS


def calibration_of(result: Sequence[Found]) -> Calibration:
    """Return the calibration: narrow and broad regimes, and the ends of the ladder."""
    runs = []
    for x in [*of(result, "main"), *of(result, "ladder")]:
        label = x.label
        if isinstance(label, float):
            label = "narrow" if label <= 2 else "broad" if label >= 32 else None
        runs.append((x.rows, label, x.run.base))
    recipe = next(x.run.recipe for x in result if x.run.group == "main")
    return Calibration.fit(runs, recipe=recipe)


def verdicts(outcome: Sequence[Found], calibration: Calibration) -> dict[str, Any]:
    """Return the verdicts on the calibration's runs, and on runs that it never saw."""
    rate = calibration.error_rate(0.05)
    result: dict[str, Any] = {"error_rate": rate.to_dict(), "text": rate.text(), "groups": {}}
    for group in dict.fromkeys(x.run.group for x in outcome):
        chosen = of(outcome, group, *(("repeated",) if group in ("main", "ladder") else ()))
        by_regime: dict[str, dict[str, dict[str, int]]] = {}
        for x in chosen:
            own = x.run.base if x.run.base in calibration.groups else None
            said = by_regime.setdefault(_data(x), {"undeclared": {}, "declared": {}})
            for key, recipe in (("undeclared", None), ("declared", x.run.recipe)):
                verdict = diagnose(x.rows, calibration, group=own, recipe=recipe).verdict
                said[key][verdict] = said[key].get(verdict, 0) + 1
        if by_regime:
            result["groups"][group] = by_regime
    return result


def _data(x: Found) -> str:
    """Return the words for the data of a run, and for what else its group varies."""
    run = x.run
    words = [run.regime]
    if run.cells:
        words = [f"{run.cells} {run.regime}", *filter(None, [run.novelty])]
    if run.pool and run.regime != "repeated":
        words.append("repeated")
    if run.group == "dose" and run.steps != STEPS:
        words.append(f"{run.steps} steps")
    return ", ".join(words)


def own_refusals(result: Sequence[Found]) -> dict[str, int]:
    """Return how many runs of the calibration are refused by that of all other runs."""
    chosen = [x for x in result if x.run.group in ("main", "ladder")]
    refused = 0
    for x in chosen:
        rest = calibration_of([y for y in result if y is not x])
        refused += diagnose(x.rows, rest, group=x.run.base).verdict == "refused"
    return {"runs": len(chosen), "refused": refused}


def paired_tests(result: Sequence[Found]) -> dict[str, dict[str, int]]:
    """Return paired diagnoses: the same data with another seed, and benchmark against broad data.

    A calibration is that of the other bases.
    """
    counts = {
        way: dict.fromkeys(
            ("same_data", "same_data_rejected", "benchmark_broad", "sign_right", "significant"), 0
        )
        for way in ("blocks", "calibrated")
    }
    main = of(result, "main")
    for base in dict.fromkeys(x.run.base for x in main):
        calibration = calibration_of([x for x in result if x.run.base != base])
        for x, y in combinations([x for x in main if x.run.base == base], 2):
            diagnosis = diagnose(x.rows, calibration, against=y.rows)
            assert diagnosis.calibrated is not None
            assert diagnosis.calibrated.difference is not None
            for way, difference, p in (
                ("blocks", diagnosis.difference, diagnosis.p),
                ("calibrated", diagnosis.calibrated.difference, diagnosis.calibrated.p),
            ):
                significant = p is not None and p <= 0.05
                if x.run.regime == y.run.regime:
                    counts[way]["same_data"] += 1
                    counts[way]["same_data_rejected"] += significant
                elif {x.run.regime, y.run.regime} == {"benchmark", "broad"}:
                    counts[way]["benchmark_broad"] += 1
                    counts[way]["sign_right"] += (difference > 0) == (y.run.regime == "broad")
                    counts[way]["significant"] += significant
    return counts


def controls(result: Sequence[Found]) -> dict[str, dict[str, Any]]:
    """Return the ladder by numbers that must say nothing: W' alone, the size of the update."""

    def trained_weights(x: Found) -> dict[Any, float]:
        return {
            (row["layer"], row["role"]): math.log(
                row["after_effective_rank"] / min(row["rows"], row["columns"])
            )
            for row in x.rows
            if row["status"] == "analysed" and row["layer"] is not None
        }

    return {
        "E at every place": ladder(result, lambda x: x.update.places),
        "mean of E": ladder(result, lambda x: {"mean": x.spread}),
        "control: trained weights alone": ladder(result, trained_weights),
        "control: size of the update": ladder(result, lambda x: {"size": x.update.size}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Report on the runs of the experiment.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--permutations", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--calibration", type=Path)
    given = parser.parse_args()
    outcome = load(given.folder)
    missing = [
        run.name
        for run in main_plan()
        if run.base and not record_path(given.folder, run.name).exists()
    ]
    if missing:
        print(f"{len(missing)} runs of the main plan are missing", file=sys.stderr)
    calibration = calibration_of(outcome)
    result = {
        "pairs": matched_pairs([*outcome, *increments_of(outcome, given.folder)]),
        "levels": levels(outcome),
        "ladder": controls(outcome),
        "permutation": permutation(outcome, given.permutations),
        "verdicts": verdicts(outcome, calibration),
        "own": own_refusals(outcome),
        "paired": paired_tests(outcome),
        "novelty": novelty(outcome),
        "novelty_design": novelty_design(outcome) if of(outcome, "novelty") else {},
        "behaviour": behaviour(given.folder),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.calibration:
        calibration.save(given.calibration)


if __name__ == "__main__":
    main()
