# SPDX-License-Identifier: BSD-3-Clause
"""Two models of one base, judged by how much the runs of a calibration differ."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.support.diagnosis_statistics import (
    chance_of_difference,
    deviation_within,
    difference_of_runs,
    rates_of_pairs,
    without_base,
)
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration, PairedDiagnosis

NARROW, BROAD = 0.53, 0.56
RECIPE = {"optimizer": "adamw", "lr": 1e-3}


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(
        [
            (rows_of_update(share, seed=100 * base + 10 * i + j), label, f"base{base}")
            for base in range(4)
            for i in range(3)
            for j, (share, label) in enumerate(((NARROW, "narrow"), (BROAD, "broad")))
        ],
        recipe=RECIPE,
    )


def pair(calibration: Calibration, one: float, two: float, seed: int = 0) -> PairedDiagnosis:
    rows = [rows_of_update(share, seed=900 + 2 * seed + i) for i, share in enumerate((one, two))]
    return ss.diagnosis.diagnose(rows[0], calibration, against=rows[1], recipe=RECIPE)


def test_narrow_and_broad_data_are_told_apart(calibration: Calibration) -> None:
    verdict = pair(calibration, NARROW, BROAD)
    calibrated = verdict.calibrated
    assert calibrated is not None
    assert calibrated.difference is not None
    assert calibrated.interval is not None
    assert not calibrated.refusals
    assert calibrated.p is not None
    assert calibrated.p <= 0.05
    assert verdict.narrower == verdict.names[0]
    assert calibrated.interval[0] < calibrated.difference < calibrated.interval[1]
    assert calibrated.difference == pytest.approx(calibrated.distance, rel=0.4)
    assert verdict.text.startswith(f"{verdict.names[0]} had the narrower data")
    assert "pairs of one class were reported as different" in verdict.text
    assert "Without the calibration: The update of" in verdict.text
    turned = pair(calibration, BROAD, NARROW)
    assert turned.narrower == turned.names[1]


def test_the_two_orders_of_a_pair_have_one_answer(calibration: Calibration) -> None:
    rows = [rows_of_update(share, seed=7 + i) for i, share in enumerate((NARROW, BROAD))]
    one = ss.diagnosis.diagnose(rows[0], calibration, against=rows[1]).calibrated
    two = ss.diagnosis.diagnose(rows[1], calibration, against=rows[0]).calibrated
    assert one is not None
    assert two is not None
    assert one.difference is not None
    assert two.difference == -one.difference
    assert two.p == one.p


def test_the_same_data_is_rarely_called_different(calibration: Calibration) -> None:
    different = 0
    for i in range(50):
        verdict = pair(calibration, BROAD, BROAD, i)
        different += verdict.narrower is not None
        calibrated = verdict.calibrated
        assert calibrated is not None
        assert calibrated.interval is not None
        if calibrated.p is not None:  # the interval and the probability have one answer
            assert (calibrated.interval[0] <= 0 <= calibrated.interval[1]) == (calibrated.p > 0.05)
    assert different <= 7  # of 50 at 5 %, in 999 of 1000 cases


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param((2, 2, 2), id="three bases of two runs"),
        pytest.param((4, 1, 3), id="a base of a single run"),
        pytest.param((10, 10), id="two bases of ten runs"),
    ],
)
def test_the_p_value_is_exact_for_normal_scores(cells: tuple[int, ...]) -> None:
    """Two runs of one class differ by chance alone, whatever the level of their base."""
    rng = np.random.default_rng(sum(cells))
    chances = []
    for _ in range(1500):
        scores = [
            (float(level + x), "narrow", f"base{i}")
            for i, runs in enumerate(cells)
            for level in [10 * rng.standard_normal()]
            for x in rng.standard_normal(runs)
        ]
        difference = rng.standard_normal() - rng.standard_normal()
        chances.append(chance_of_difference(difference, *deviation_within(scores)))
    assert stats.kstest(chances, "uniform").pvalue > 1e-3
    assert deviation_within(scores)[1] == sum(cells) - len(cells)


def test_the_p_value_is_that_of_scipy() -> None:
    one, two = [0.1, 0.4, 0.3], [1.2, 0.9]
    scores = [(x, "narrow", "a") for x in one] + [(x, "broad", "a") for x in two]
    deviation, freedom = deviation_within(scores)
    pooled = (2 * np.var(one, ddof=1) + np.var(two, ddof=1)) / 3
    assert deviation == pytest.approx(np.sqrt(pooled))
    expected = 2 * stats.t.sf(0.7 / np.sqrt(2 * pooled), 3)
    assert chance_of_difference(-0.7, deviation, freedom) == pytest.approx(expected)


def test_pairs_are_counted_by_hand() -> None:
    sides = ("narrow", "narrow", "broad", "broad")
    far = {"a": (0.0, 0.01, 1.0, 1.01), "b": (5.0, 5.01, 4.0, 4.01), "c": (1.0, 1.01, 1.0, 1.02)}
    scores = [
        (x, side, group)
        for group, values in far.items()
        for x, side in zip(values, sides, strict=True)
    ]
    rates = rates_of_pairs(scores, 0.05)
    assert (rates.right, rates.wrong, rates.undecided) == (4, 4, 4)
    assert (rates.alike, rates.called_different) == (6, 0)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({"lr": 1e-4}, id="another rate"),
        pytest.param({"optimizer": "sgd"}, id="another optimizer"),
    ],
)
def test_a_refused_pair_has_the_answer_without_a_calibration(
    calibration: Calibration, recipe: dict[str, object]
) -> None:
    one, two = rows_of_update(NARROW, seed=5), rows_of_update(BROAD, seed=6)
    diagnosis = ss.diagnosis.diagnose(one, calibration, against=two, recipe=recipe)
    assert diagnosis.calibrated is not None
    assert diagnosis.calibrated.p is None
    assert "recipe" in {guard.name for guard in diagnosis.calibrated.refusals}
    alone = ss.diagnosis.diagnose(one, against=two)
    assert (diagnosis.p, diagnosis.interval, diagnosis.narrower) == (
        alone.p,
        alone.interval,
        alone.narrower,
    )
    assert diagnosis.text.startswith(
        "The calibration does not apply. The recipe of the model differs"
    )
    assert diagnosis.text.endswith(alone.text)


def test_one_model_out_of_range_refuses_the_pair(calibration: Calibration) -> None:
    one, two = rows_of_update(NARROW, seed=5), rows_of_update(BROAD, seed=6, size=1.0)
    result = ss.diagnosis.diagnose(one, calibration, against=two).calibrated
    assert result is not None
    (refusal,) = result.refusals
    assert refusal.name == "size"
    assert refusal.text.startswith("number 1: The size")


def test_single_runs_of_each_class_cannot_judge() -> None:
    runs = [
        (rows_of_update(share, seed=base + 10 * (label == "broad")), label, f"base{base}")
        for base in range(3)
        for share, label in ((NARROW, "narrow"), (BROAD, "broad"))
    ]
    verdict = pair(Calibration.fit(runs, recipe=RECIPE), NARROW, BROAD)
    assert verdict.calibrated is not None
    assert verdict.calibrated.p is None
    assert "two runs of one class" in verdict.text


def test_trained_models_of_a_base_that_the_calibration_never_saw() -> None:
    """Benchmark, broad, narrow and repeated data of docs/regimes.md, two seeds each."""
    whole = Calibration.load(Path(__file__).parent / "regimes.json")
    regimes = [("benchmark", "broad", "narrow", "repeated")[i // 10] for i in range(40)]
    same = different = right = sure = pairs = 0
    for base in whole.groups:
        kept = without_base(whole, base)
        own = [i for i in range(40) if whole.runs[i].group == base]
        for i, j in combinations(own, 2):
            alike = regimes[i] == regimes[j]
            if not alike and (regimes[i], regimes[j]) != ("benchmark", "broad"):
                continue
            result = difference_of_runs(whole.runs[i], whole.runs[j], kept)
            if alike:
                same += 1
                different += result.p is not None and result.p <= 0.05
            else:
                assert result.difference is not None
                pairs += 1
                right += result.difference > 0
                sure += result.p is not None and result.p <= 0.05
    assert (same, pairs) == (20, 20)
    assert different <= 2
    assert right == 20
    assert sure >= 12
