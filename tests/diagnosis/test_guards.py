# SPDX-License-Identifier: BSD-3-Clause
"""Conditions under which a calibration does not apply, one by one, each with its numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tests.diagnosis.test_diagnoses import BROAD, NARROW, RECIPE, known_runs
from tests.support.diagnosis_statistics import distance_of_pattern, limit_of_pattern
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration, Diagnosis


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(known_runs(), recipe=RECIPE)


def outcome(result: Diagnosis, name: str) -> tuple[str, str]:
    guard = next(guard for guard in result.guards if guard.name == name)
    return guard.outcome, guard.text


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("rounding", {"rounding_floor": 0.06}, "above 5 % of ‖ΔW‖ in 100 % of the matrices"),
        ("formats", {"after_dtype": "BF16"}, "F32 BF16 .* of the calibration as F32 F32"),
        ("size", {"size": -1.0}, r"is -1\.\d+; in the calibration -2\.\d+ to -2\.\d+"),
        ("size", {"size": -4.0}, r"is -4\.\d+; in the calibration"),
        ("decay", {"decay_coefficient": -0.4}, r"decay coefficient is -0\.400; in the calibration"),
        ("architecture", {"width": 128}, "'text q' is 128 x 128; in the calibration: 64 x 64"),
        ("architecture", {"layers": 5}, "has 5 layers; in the calibration: 4"),
        ("adapter", {"rounding_effective_rank": None, "delta_mp_outliers": None}, "an adapter"),
        ("profile", {"projected_quantiles": [1.0] * 33}, "4/32 quantile of ΔW"),
    ],
)
def test_what_the_calibration_has_not_seen_is_refused(
    calibration: Calibration, name: str, options: dict[str, Any], text: str
) -> None:
    diagnosis = ss.diagnosis.diagnose(
        rows_of_update(NARROW, seed=9, **options), calibration, recipe=RECIPE
    )
    assert diagnosis.verdict == "refused"
    assert name in {guard.name for guard in diagnosis.refusals}
    assert re.search(text, outcome(diagnosis, name)[1]), outcome(diagnosis, name)[1]
    assert outcome(diagnosis, name)[1] in diagnosis.text


def test_few_matrices_or_places_are_refused(calibration: Calibration) -> None:
    rows = rows_of_update(NARROW, seed=9)
    few = ss.diagnosis.diagnose(rows[:11] + rows[-1:], calibration, recipe=RECIPE)
    assert outcome(few, "matrices")[0] == "passed"
    fewer = ss.diagnosis.diagnose(rows[:10] + rows[-1:], calibration, recipe=RECIPE)
    assert outcome(fewer, "matrices") == (
        "refused",
        "Only 11 matrices are used; a diagnosis needs 12.",
    )
    half = [row for row in rows if row["role"] in ("q", "k", "v")]
    diagnosis = ss.diagnosis.diagnose(half, calibration, recipe=RECIPE)
    assert outcome(diagnosis, "places") == (
        "refused",
        "Only 4 of the 16 places of the calibration are in the model.",
    )


def test_the_recipe_is_declared_or_a_condition(calibration: Calibration) -> None:
    rows = rows_of_update(NARROW, seed=9)
    assert outcome(ss.diagnosis.diagnose(rows, calibration, recipe=RECIPE), "recipe")[0] == "passed"
    silent = ss.diagnosis.diagnose(rows, calibration)
    assert outcome(silent, "recipe")[0] == "qualified"
    assert "optimizer = adamw, rate = 0.001" in silent.text
    other = ss.diagnosis.diagnose(rows, calibration, recipe={"rate": 3e-3})
    assert other.verdict == "refused"
    assert "rate = 0.003 where the calibration has 0.001" in other.text
    more = ss.diagnosis.diagnose(rows, calibration, recipe={"batch": 8})
    assert outcome(more, "recipe")[0] == "qualified"
    assert "does not record batch" in more.text


def test_matrices_that_did_not_change_are_a_condition(calibration: Calibration) -> None:
    rows = rows_of_update(NARROW, seed=9)
    rows[0] |= {"relative_change": 0.0}
    diagnosis = ss.diagnosis.diagnose(rows, calibration, recipe=RECIPE)
    assert (
        "1 matrices did not change" in diagnosis.text or "1 matrix did not change" in diagnosis.text
    )


def test_a_calibration_that_is_often_wrong_says_nothing() -> None:
    """Labels that are swapped in one base: verdicts on it are wrong."""
    runs = [
        (rows, {"narrow": "broad", "broad": "narrow"}[label] if group == "base0" else label, group)
        for rows, label, group in known_runs()
    ]
    calibration = Calibration.fit(runs, recipe=RECIPE, score="spread")
    rate = calibration.error_rate(0.05)
    diagnosis = ss.diagnosis.diagnose(rows_of_update(NARROW, seed=9), calibration, recipe=RECIPE)
    share = rate.wrong / rate.runs
    assert (outcome(diagnosis, "error rate")[0] == "refused") == (share > 0.05)


@pytest.mark.parametrize(("mislabelled", "expected"), [(1, "passed"), (2, "refused")])
def test_wrong_verdicts_are_at_most_as_many_as_the_level_allows(
    mislabelled: int, expected: str
) -> None:
    """One run in each of one or two bases is wrong, of 24 in all: 4.2 % and 8.3 %."""
    runs = known_runs()
    for base in range(mislabelled):
        rows, label, group = runs[6 * base]
        runs[6 * base] = rows, {"narrow": "broad", "broad": "narrow"}[label], group
    calibration = Calibration.fit(runs, recipe=RECIPE, score="spread")
    rate = calibration.error_rate(0.05)
    assert (rate.wrong, rate.runs) == (mislabelled, 24)
    diagnosis = ss.diagnosis.diagnose(rows_of_update(NARROW, seed=9), calibration, recipe=RECIPE)
    assert outcome(diagnosis, "error rate")[0] == expected


@pytest.mark.slow
def test_the_calibrations_own_runs_are_rarely_refused(calibration: Calibration) -> None:
    refused = 0
    runs = known_runs()
    for i, (rows, _, group) in [*enumerate(runs)][::3]:
        others = Calibration.fit(runs[:i] + runs[i + 1 :], recipe=RECIPE)
        refused += (
            ss.diagnosis.diagnose(rows, others, group=group, recipe=RECIPE).verdict == "refused"
        )
    assert refused <= 0.4 * len(runs) / 3  # the range of 23 runs of noise, widened by a quarter


def test_a_calibration_whose_broad_runs_lie_lower_says_nothing() -> None:
    """The labels the wrong way round: an update like all narrow runs gets no verdict."""
    runs = [
        (rows_of_update(share, seed=10 * i + j), label, f"base{i % 2}")
        for i in range(6)
        for j, (share, label) in enumerate(((0.56, "narrow"), (0.53, "broad")))
    ]
    diagnosis = ss.diagnosis.diagnose(
        rows_of_update(0.56, seed=99), Calibration.fit(runs, score="spread")
    )
    assert diagnosis.verdict == "refused"
    assert "order" in [guard.name for guard in diagnosis.refusals]
    assert "do not lie above the narrow ones" in diagnosis.text


def test_the_score_of_a_class_with_another_pattern_is_refused() -> None:
    """First layers far above, the others below: the mean is that of broad runs."""
    calibration = Calibration.fit(known_runs(), recipe=RECIPE, score="spread")
    options: dict[str, Any] = {"recipe": RECIPE, "group": "base0"}
    broad = rows_of_update(BROAD, seed=10)
    plain = ss.diagnosis.diagnose(broad, calibration, **options)
    assert plain.verdict == "broad"
    factors = {0: 1.45, 1: 0.88, 2: 0.88, 3: 0.89}
    mixed = [
        row | {"projected_effective_rank": row["projected_effective_rank"] * factors[row["layer"]]}
        for row in broad
    ]
    diagnosis = ss.diagnosis.diagnose(mixed, calibration, **options)
    assert diagnosis.score == pytest.approx(plain.score, abs=0.005)
    assert diagnosis.verdict == "refused"
    assert [guard.name for guard in diagnosis.refusals] == ["pattern"]
    assert re.search(
        r"are 1\d\.\d standard deviations from broad runs \(root mean square over 16\); those of "
        r"one group at most 2\.\d+ from the others\. The model is more than 50 % beyond this",
        outcome(diagnosis, "pattern")[1],
    )


def test_few_runs_have_no_pattern() -> None:
    few = Calibration.fit(known_runs(1, 3), score="spread")
    diagnosis = ss.diagnosis.diagnose(rows_of_update(NARROW, seed=9), few, group="base0")
    assert outcome(diagnosis, "pattern")[0] == "qualified"
    assert "it needs 4 narrow runs; there are 3" in outcome(diagnosis, "pattern")[1]


def test_the_distance_from_runs_is_in_standard_deviations() -> None:
    """Closed form: two runs at -1 and 1 have a standard deviation of the square root of two."""
    runs = np.array([[-1.0, 4.0, 0.0], [1.0, 4.0, 2.0]])
    assert distance_of_pattern(np.array([2.0, 9.0, 1.0]), runs) == pytest.approx(np.sqrt(2 / 3))


@pytest.mark.parametrize(
    ("runs", "most"), [(5, 0.02), pytest.param(8, 0.005, marks=pytest.mark.slow)]
)
def test_one_more_run_of_a_class_rarely_has_another_pattern(runs: int, most: float) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        known, one = rng.standard_normal((runs, 16)), rng.standard_normal(16)
        refused += distance_of_pattern(one, known) > limit_of_pattern(known)
    assert refused <= most * 1000
