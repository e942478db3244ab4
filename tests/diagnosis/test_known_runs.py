# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts on trained models of known data: the calibration of docs/regimes.md as a fixture.

Both files are made by `benchmarks/regimes`: regimes.json is the calibration of its report, and
runs.json holds the rows of runs that are not in it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

import sigmascope as ss
from sigmascope.diagnosis import Calibration, Diagnosis

HERE = Path(__file__).parent
FOUND = json.loads((HERE / "runs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.load(HERE / "regimes.json")


def others(group: str, regime: str | None = None) -> list[dict[str, Any]]:
    results = [
        run for run in FOUND["others"] if run["group"] == group and regime in (None, run["regime"])
    ]
    assert results
    return results


def told(run: dict[str, Any], calibration: Calibration, **options: Any) -> Diagnosis:
    diagnosis = ss.diagnosis.diagnose(run["rows"], calibration, **options)
    assert isinstance(diagnosis, Diagnosis)
    return diagnosis


def test_broad_data_makes_the_more_spread_update_in_every_matched_pair() -> None:
    spreads = {(run["regime"], run["base"], run["seed"]): run["spread"] for run in FOUND["main"]}
    pairs = [key[1:] for key in spreads if key[0] == "broad"]
    assert len(pairs) == 10
    for pair in pairs:
        assert spreads["broad", *pair] > spreads["benchmark", *pair]
        assert spreads["broad", *pair] > spreads["narrow", *pair]
        assert spreads["repeated", *pair] > spreads["broad", *pair]


def test_few_verdicts_are_wrong_or_undecided(calibration: Calibration) -> None:
    rate = calibration.error_rate(0.05)
    assert rate.groups == 5
    assert rate.runs >= 65
    assert rate.wrong <= 2
    assert rate.undecided <= 0.2 * rate.runs


@pytest.mark.parametrize("group", ["base1", None])
def test_narrow_data_with_the_whole_vocabulary_is_not_called_broad(
    calibration: Calibration, group: str | None
) -> None:
    """Its score alone is that of broad data; its pattern over places is not."""
    for run in others("worded"):
        own = run["base"] if group else None
        assert told(run, calibration, group=own).verdict in ("refused", "unlike both")


@pytest.mark.parametrize(("regime", "verdict"), [("benchmark", "narrow"), ("broad", "broad")])
@pytest.mark.parametrize("own", [False, True])
def test_runs_of_the_recipe_are_told(
    calibration: Calibration, regime: str, verdict: str, own: bool
) -> None:
    for run in others("increments", regime):
        result = told(run, calibration, group=run["base"] if own else None, recipe=run["recipe"])
        assert result.verdict == verdict, result.text


@pytest.mark.parametrize("group", ["muon", "sgd", "higher rate", "adapter"])
def test_another_recipe_is_seen_where_it_shows(calibration: Calibration, group: str) -> None:
    for run in others(group):
        assert told(run, calibration).verdict == "refused"


@pytest.mark.parametrize("group", ["third of the rate", "muon", "sgd", "higher rate", "adapter"])
def test_another_recipe_that_is_declared_is_refused(calibration: Calibration, group: str) -> None:
    for run in others(group):
        verdict = told(run, calibration, recipe=run["recipe"])
        assert "recipe" in {guard.name for guard in verdict.refusals}


def test_the_spread_of_other_recipes_is_at_another_level() -> None:
    """The runs of Muon are far above, so that no level carries over."""
    broad = fmean(run["spread"] for run in FOUND["main"] if run["regime"] == "broad")
    for run in others("muon"):
        values = [
            row["projected_effective_rank"] / min(row["rows"], row["columns"])
            for row in run["rows"]
        ]
        assert fmean(values) > 1.3 * math.exp(broad)
