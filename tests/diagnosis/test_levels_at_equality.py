# SPDX-License-Identifier: BSD-3-Clause
"""Levels and limits of diagnoses exactly at their values, and next to them on both sides."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.diagnosis.test_diagnoses import BROAD, NARROW, RECIPE, known_runs
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import (
    Calibration,
    Diagnosis,
    PairedDiagnosis,
    diagnose_increments,
)

TURNED = {"narrow": "broad", "broad": "narrow"}


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(known_runs(), recipe=RECIPE)


def with_wrong_labels(runs_of_base: dict[int, int]) -> Calibration:
    """Fit a calibration in which the first runs of some bases have the other label."""
    runs = known_runs()
    for base, count in runs_of_base.items():
        for i in range(6 * base, 6 * base + count):
            rows, label, group = runs[i]
            runs[i] = rows, TURNED[label], group
    return Calibration.fit(runs, recipe=RECIPE, score="spread")


def below(x: float) -> float:
    return math.nextafter(x, 0.0)


def diagnosis_of(
    calibration: Calibration, rows: list[Any] | None = None, **options: Any
) -> Diagnosis:
    rows = rows_of_update(NARROW, seed=9) if rows is None else rows
    return ss.diagnosis.diagnose(rows, calibration, recipe=RECIPE, **options)


def outcome(result: Diagnosis, name: str) -> str:
    return next(guard.outcome for guard in result.guards if guard.name == name)


@pytest.mark.parametrize("wrong", [1, 2])
def test_a_calibration_may_be_wrong_exactly_as_often_as_the_level(wrong: int) -> None:
    calibration = with_wrong_labels(dict.fromkeys(range(wrong), 1))
    level = wrong / 24
    for alpha, expected in ((level, "passed"), (below(level), "refused")):
        rate = calibration.error_rate(alpha)
        assert (rate.wrong, rate.runs) == (wrong, 24)
        assert outcome(diagnosis_of(calibration, alpha=alpha), "error rate") == expected


def test_pairs_may_have_the_wrong_sign_exactly_as_often_as_the_level() -> None:
    """One of four bases has all labels turned: 9 of the 36 pairs of its calibration."""
    calibration = with_wrong_labels({0: 6})
    rows = [rows_of_update(share, seed=9 + i) for i, share in enumerate((NARROW, BROAD))]
    for alpha, expected in ((0.25, "passed"), (below(0.25), "refused")):
        pair: PairedDiagnosis = ss.diagnosis.diagnose(
            rows[0], calibration, against=rows[1], recipe=RECIPE, alpha=alpha
        )
        assert pair.calibrated is not None
        assert pair.calibrated.rates.wrong == 9
        guards = {guard.name: guard.outcome for guard in pair.calibrated.guards}
        assert guards["pairs"] == expected


def test_a_class_is_unlikely_from_its_probability_on(calibration: Calibration) -> None:
    """A score between the classes: the less likely one is excluded at its own probability."""
    rows = rows_of_update(math.sqrt(NARROW * BROAD) * math.exp(0.01), seed=5)
    usual = diagnosis_of(calibration, rows, group="base1")
    chances = {"narrow": usual.p_narrow, "broad": usual.p_broad}
    assert None not in chances.values()
    likely = max(chances, key=lambda side: chances[side] or 0.0)
    larger = chances[likely]
    assert larger is not None
    for alpha, word in ((larger, "unlike both"), (below(larger), likely)):
        assert diagnosis_of(calibration, rows, group="base1", alpha=alpha).verdict == word


def test_two_models_differ_from_the_probability_of_their_difference_on(
    calibration: Calibration,
) -> None:
    one, two = rows_of_update(NARROW, seed=9), rows_of_update(BROAD, seed=10)
    usual = ss.diagnosis.diagnose(one, calibration, against=two, recipe=RECIPE)
    assert usual.calibrated is not None
    p = usual.calibrated.p
    assert p is not None
    at, under = (
        ss.diagnosis.diagnose(one, calibration, against=two, recipe=RECIPE, alpha=alpha)
        for alpha in (p, below(p))
    )
    assert at.narrower == at.names[0]
    assert at.text.startswith(f"{at.names[0]} had the narrower data")
    assert under.narrower is None
    assert under.text.startswith("The breadths of the data do not differ significantly")


def test_a_run_has_changed_from_the_probability_of_its_split_on() -> None:
    updates = [rows_of_update(share, seed=i) for i, share in enumerate([0.56] * 6 + [0.50] * 4)]
    p = diagnose_increments(updates).p
    assert p == pytest.approx(2 / 70)
    assert diagnose_increments(updates, alpha=p).changed
    assert not diagnose_increments(updates, alpha=below(p)).changed


def test_the_least_probability_of_a_change_may_be_the_level() -> None:
    """Ten increments without a change: 2 of 70 orders are the fewest that a split can have."""
    updates = [rows_of_update(0.56, seed=i) for i in range(10)]
    least = diagnose_increments(updates).least_p
    assert "the smallest possible p" not in diagnose_increments(updates, alpha=least).text
    assert "the smallest possible p" in diagnose_increments(updates, alpha=below(least)).text


@pytest.mark.parametrize(("rounded", "expected"), [(11, "passed"), (12, "refused")])
def test_rounding_of_half_of_the_matrices_is_refused(
    calibration: Calibration, rounded: int, expected: str
) -> None:
    rows = rows_of_update(NARROW, seed=9)
    for row in rows[:rounded]:
        row["rounding_floor"] = 0.06
    assert outcome(diagnosis_of(calibration, rows), "rounding") == expected


@pytest.mark.parametrize(("floor", "expected"), [(0.05, "passed"), (0.0501, "refused")])
def test_rounding_of_a_twentieth_of_a_change_does_not_count(
    calibration: Calibration, floor: float, expected: str
) -> None:
    rows = rows_of_update(NARROW, seed=9, rounding_floor=floor)
    assert outcome(diagnosis_of(calibration, rows), "rounding") == expected


def test_half_of_the_places_of_a_calibration_suffice(calibration: Calibration) -> None:
    rows = [row for row in rows_of_update(NARROW, seed=9) if row["role"] not in ("up", "down")]
    result = diagnosis_of(calibration, rows)
    (guard,) = (guard for guard in result.guards if guard.name == "places")
    assert guard.text == "8 of the 16 places of the calibration are in the model."
    assert guard.outcome == "passed"


@pytest.mark.parametrize(("blocks", "has_p"), [(5, False), (6, True)])
def test_six_blocks_have_a_probability(blocks: int, has_p: bool) -> None:
    """A layer has two blocks, of its attention and of its MLP."""
    one, two = (
        [
            row
            for row in rows_of_update(0.5 + 0.05 * i, layers=3, seed=i)
            if blocks == 6 or row["layer"] < 2 or row["role"] not in ("up", "down")
        ]
        for i in range(2)
    )
    pair: PairedDiagnosis = ss.diagnosis.diagnose(one, against=two)
    assert pair.blocks == blocks
    assert (pair.p is not None) == has_p
    updates = [one, two] * 4
    assert (diagnose_increments(updates).p is not None) == has_p
