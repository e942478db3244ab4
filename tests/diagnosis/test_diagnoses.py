# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts of a calibration on models of known spread: words, numbers, sentences, invariance."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.support.diagnosis_statistics import class_of_runs, judgement
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration

NARROW, BROAD = 0.53, 0.56
RECIPE = {"optimizer": "adamw", "rate": 1e-3}


def known_runs(groups: int = 4, each: int = 3) -> list[tuple[Any, Any, str]]:
    """Narrow and broad runs of several bases, whose levels differ a little."""
    return [
        (rows_of_update(share * math.exp(0.01 * g), seed=100 * g + 10 * i + s), label, f"base{g}")
        for g in range(groups)
        for i in range(each)
        for s, (share, label) in enumerate(((NARROW, "narrow"), (BROAD, "broad")))
    ]


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(known_runs(), recipe=RECIPE)


@pytest.mark.parametrize("group", ["base1", None])
@pytest.mark.parametrize(("share", "word"), [(NARROW, "narrow"), (BROAD, "broad")])
def test_a_run_like_known_ones_is_told(
    calibration: Calibration, share: float, word: str, group: str | None
) -> None:
    rows = rows_of_update(share * math.exp(0.01), seed=999)
    diagnosis = ss.diagnosis.diagnose(rows, calibration, group=group, recipe=RECIPE)
    assert diagnosis.verdict == word
    assert not diagnosis.refusals
    assert diagnosis.sources == (("groups",) * 2 if group is None else ("own runs",) * 2)
    assert diagnosis.interval is not None
    assert diagnosis.position is not None
    assert diagnosis.interval[0] < diagnosis.position < diagnosis.interval[1]
    assert abs(diagnosis.position - (word == "broad")) < 0.5
    assert ("new to the base" in diagnosis.text) == (word == "narrow")
    assert diagnosis.error_rate is not None
    assert diagnosis.error_rate.text() in diagnosis.text
    assert "benchmark" not in json.dumps(diagnosis.to_dict()).lower()


def test_between_the_classes_there_is_no_verdict(calibration: Calibration) -> None:
    middle = rows_of_update(math.sqrt(NARROW * BROAD) * math.exp(0.01), seed=5)
    diagnosis = ss.diagnosis.diagnose(middle, calibration, group="base1")
    assert diagnosis.verdict in ("not distinguishable", "unlike both")
    wide = Calibration.fit(
        [
            (rows_of_update(share, noise=0.2, seed=seed), label, "one")
            for seed in range(6)
            for share, label in ((NARROW, "narrow"), (BROAD, "broad"))
        ],
        score="spread",
    )
    diagnosis = ss.diagnosis.diagnose(rows_of_update(0.545, noise=0.2, seed=77), wide, recipe={})
    assert diagnosis.verdict == "not distinguishable"
    assert "only one group" in diagnosis.text


def test_breadths_at_the_limits_of_the_classes_belong_to_them() -> None:
    """Breadths of at most 2 are narrow, those of 32 or more broad, and 5 is neither."""
    runs = [
        (rows_of_update(share, seed=10 * i + s), breadth, "base")
        for i in range(4)
        for s, (share, breadth) in enumerate(((NARROW, 2.0), (0.545, 5.0), (BROAD, 32.0)))
    ]
    calibration = Calibration.fit(runs, score="spread")
    for share, word in ((NARROW, "narrow"), (BROAD, "broad")):
        diagnosis = ss.diagnosis.diagnose(rows_of_update(share, seed=99), calibration, group="base")
        assert diagnosis.verdict == word


def test_between_classes_far_apart_a_model_is_unlike_both() -> None:
    runs = [
        (rows_of_update(share, seed=10 * i + s), label, "base")
        for i in range(6)
        for s, (share, label) in enumerate(((0.45, "narrow"), (0.65, "broad")))
    ]
    calibration = Calibration.fit(runs, score="spread")
    between = ss.diagnosis.diagnose(rows_of_update(0.55, seed=99), calibration, group="base")
    assert between.verdict == "unlike both"
    assert "lies between narrow and broad runs, and would be rare among both" in between.text


def test_the_verdict_is_the_table_of_both_chances() -> None:
    runs = [(x, "narrow", "a") for x in (0.0, 0.1, -0.1)]
    runs += [(x, "broad", "a") for x in (1.0, 1.1, 0.9)]
    words = {x: judgement(x, runs, "a").word for x in (-5.0, 0.0, 0.5, 1.0, 5.0)}
    assert words == {-5.0: "narrow", 0.0: "narrow", 0.5: "unlike both", 1.0: "broad", 5.0: "broad"}
    assert judgement(0.5, runs, "a", 0.001).word == "not distinguishable"
    assert judgement(0.0, runs, "a").rank_p_broad == 1 / 4
    assert judgement(0.25, runs, "a").position == pytest.approx(0.25)


@pytest.mark.parametrize("wide", ["narrow", "broad"])
def test_the_interval_of_a_position_is_as_wide_as_the_wider_class(wide: str) -> None:
    """Runs 0.3 apart and runs 0.01 apart give one interval, whichever of both are narrow."""
    runs = [
        (level + (0.3 if label == wide else 0.01) * off, label, "a")
        for level, label in ((0.0, "narrow"), (1.0, "broad"))
        for off in (-1, 0, 1)
    ]
    low, high = judgement(0.5, runs, "a").interval
    half_width = 0.3 * math.sqrt(4 / 3) * stats.t.ppf(0.975, 2)
    assert (low, high) == pytest.approx((0.5 - half_width, 0.5 + half_width))


@pytest.mark.parametrize(
    ("own", "source", "count"),
    [(3, "own runs", 3), (1, "own runs, spread of all groups", 1), (0, "groups", 2)],
)
def test_levels_come_from_what_there_is(own: int, source: str, count: int) -> None:
    runs = [(x, "narrow", g) for g in ("b", "c") for x in (0.0, 0.2)]
    runs += [(5.0 + 0.1 * i, "narrow", "a") for i in range(own)]
    result = class_of_runs("narrow", runs, "a")
    assert (result.source, result.count) == (source, count)
    assert result.level.mean == pytest.approx(5.0 + 0.05 * (own - 1) if own else 0.1)


@pytest.mark.parametrize(
    ("missing", "levels"),
    [
        (None, "3 narrow runs (0) and 3 broad runs (1)"),
        ("broad", "3 narrow runs (0) and 2 broad groups (1)"),
        ("narrow", "2 narrow groups (0) and 3 broad runs (1)"),
        ("both", "2 narrow groups (0) and 2 broad groups (1)"),
    ],
    ids=["runs of both", "groups of broad runs", "groups of narrow runs", "groups of both"],
)
def test_an_answer_says_of_each_class_whether_runs_or_groups_are_its_level(
    missing: str | None, levels: str
) -> None:
    """A base has three runs of each class, or the other two bases are what is known."""
    runs = [
        run for run in known_runs(groups=3) if run[2] != "base1" or missing not in (run[1], "both")
    ]
    update = rows_of_update(NARROW * math.exp(0.01), seed=999)
    group = None if missing == "both" else "base1"
    diagnosis = ss.diagnosis.diagnose(update, Calibration.fit(runs, score="spread"), group=group)
    assert f"between {levels}" in diagnosis.text


@pytest.mark.parametrize("own", [0, 1, 3])
def test_ranks_count_runs_of_other_bases_at_the_level_of_its_own(own: int) -> None:
    """Wherever the levels of the others lie; without own runs, that is all that is known."""
    narrow, broad = (0.0, 0.1, 0.2), (1.0, 1.1, 1.2)

    def ranks(level: float) -> tuple[float, float]:
        runs = [
            (x + there, side, base)
            for base, there, most in (("a", 0.0, own), ("b", 0.0, 3), ("c", level, 3))
            for side, scores in (("narrow", narrow), ("broad", broad))
            for x in scores[:most]
        ]
        result = judgement(0.55, runs, "a")
        return result.rank_p_narrow, result.rank_p_broad

    if own:
        assert ranks(7.0) == ranks(-7.0) == ranks(0.0) == (1 / (7 + own),) * 2
    else:
        assert ranks(0.0) == (1 / 7, 1 / 7)
        assert ranks(7.0) == (4 / 7, 1 / 7)


def test_nothing_depends_on_order_scale_or_names(calibration: Calibration) -> None:
    rows = rows_of_update(NARROW, seed=3)
    plain = ss.diagnosis.diagnose(rows, calibration)
    shuffled = list(np.random.default_rng(0).permutation(np.array(rows, dtype=object)))
    renamed = [row | {"name": f"other.{i}", "delta_fro_norm": 1e9} for i, row in enumerate(rows)]
    for other in (shuffled, renamed):
        diagnosis = ss.diagnosis.diagnose(other, calibration)
        assert diagnosis.verdict == plain.verdict
        assert diagnosis.score == pytest.approx(plain.score, abs=1e-12)


def test_a_calibration_is_saved_and_loaded(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "regimes.json"
    calibration.save(path)
    loaded = Calibration.load(path)
    assert (loaded.runs, loaded.score, loaded.recipe) == (
        calibration.runs,
        calibration.score,
        calibration.recipe,
    )
    rows = rows_of_update(BROAD, seed=12)
    assert (
        ss.diagnosis.diagnose(rows, loaded).to_dict()
        == ss.diagnosis.diagnose(rows, calibration).to_dict()
    )


def test_a_saved_calibration_keeps_what_counts_as_narrow_and_broad(tmp_path: Path) -> None:
    runs = [(rows_of_update(0.5, seed=k), k, "base") for k in (1, 2, 3, 4, 20, 40, 60, 80)]
    saved = Calibration.fit(runs, narrow_at_most=3, broad_at_least=60)
    saved.save(tmp_path / "calibration.json")
    for calibration in (saved, Calibration.load(tmp_path / "calibration.json")):
        assert (calibration.narrow_at_most, calibration.broad_at_least) == (3.0, 60.0)
        sides = [run.side for run in calibration.labelled()]
        assert sides == ["narrow"] * 3 + [None] * 3 + ["broad"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a calibration"),
        ("[]", "schema is not"),
        ('{"schema": "sigmascope.scan"}', "schema is not"),
        ('{"schema": "sigmascope.calibration", "version": 2}', "reads version 1"),
        ('{"schema": "sigmascope.calibration", "version": 1}', "not a complete calibration"),
    ],
)
def test_other_files_are_not_calibrations(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        Calibration.load(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        (known_runs(1)[:1], {}, "has no broad run"),
        ([(rows_of_update(0.5), "wide", "a")], {}, "a label must be"),
        ([(rows_of_update(0.5), 0.5, "a")], {}, "a breadth of 1 or more"),
        ([(rows_of_update(0.5), True, "a")], {}, "a label must be"),
        (known_runs(1), {"score": "fitted"}, "a fitted score needs 16 labelled runs of 2 groups"),
        (known_runs(1), {"score": "best"}, "auto, spread or fitted"),
        (known_runs(1), {"narrow_at_most": 40.0}, "below broad_at_least"),
    ],
)
def test_runs_that_make_no_calibration(runs: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Calibration.fit(runs, **options)


def test_breadths_are_octaves_and_classes() -> None:
    """Runs between the classes enter the regression, and are not diagnosed."""
    runs = [
        (rows_of_update(0.5 * k**0.02, seed=10 * g + i), k, f"base{g}")
        for g in range(3)
        for i, k in enumerate((1, 2, 4, 8, 16, 32, 64, 118))
    ]
    calibration = Calibration.fit(runs)
    assert calibration.score.kind == "fitted"
    rate = calibration.error_rate()
    assert rate.runs == 3 * 5
    assert rate.groups == 3
    scores = [calibration.score.of(run.values) for run in calibration.labelled()]
    breadths = [math.log2(run.label) for run in calibration.runs]
    assert np.corrcoef(scores, breadths)[0, 1] > 0.9


def test_a_place_that_an_update_lacks_counts_as_average(tmp_path: Path) -> None:
    """It once counted as the value 0, far below every run."""
    saved = Calibration.fit(known_runs(8))
    assert saved.score.kind == "fitted"
    saved.save(tmp_path / "calibration.json")
    for calibration in (saved, Calibration.load(tmp_path / "calibration.json")):
        score, runs = calibration.score, [run.values for run in calibration.labelled()]
        for place in score.places:
            average = float(np.mean([values[place] for values in runs]))
            rest = {key: value for key, value in runs[0].items() if key != place}
            assert score.of(rest) == pytest.approx(score.of(rest | {place: average}), rel=1e-12)


def test_nothing_of_a_group_enters_its_own_verdicts() -> None:
    """With labels at random, verdicts left out are as often wrong as right."""
    rng = np.random.default_rng(0)
    right = wrong = 0
    for trial in range(12):
        labels = [str(label) for label in rng.permutation(["narrow", "broad"] * 12)]
        runs = [
            (rows_of_update(0.5, seed=1000 * trial + i), label, f"base{i % 4}")
            for i, label in enumerate(labels)
        ]
        rate = Calibration.fit(runs).error_rate(0.4)
        right += rate.narrow.right + rate.broad.right
        wrong += rate.wrong
    assert right + wrong > 20
    assert abs(right - wrong) <= 4 * math.sqrt(right + wrong)


def test_without_a_calibration_it_is_said_what_cannot_be_told() -> None:
    diagnosis = ss.diagnosis.diagnose(rows_of_update(0.5))
    assert diagnosis.verdict == "no calibration"
    assert (
        "remains unknown: to answer that takes a calibration, made from runs whose data is known"
        in diagnosis.text
    )
    assert (
        diagnosis.position
        is diagnosis.p_narrow
        is diagnosis.rank_p_broad
        is diagnosis.error_rate
        is None
    )


def test_arguments_are_checked(calibration: Calibration) -> None:
    rows = rows_of_update(0.5)
    with pytest.raises(ValueError, match="no group 'x'; it has base0, base1"):
        ss.diagnosis.diagnose(rows, calibration, group="x")
    with pytest.raises(ValueError, match="alpha = 0"):
        ss.diagnosis.diagnose(rows, calibration, alpha=0.0)
    with pytest.raises(ValueError, match="do not need a group"):
        ss.diagnosis.diagnose(rows, calibration, against=rows, group="base0")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="a recipe needs a calibration to compare with"):
        ss.diagnosis.diagnose(rows, recipe={"lr": 1.0})
    with pytest.raises(ValueError, match="a group needs a calibration"):
        ss.diagnosis.diagnose(rows, group="base0")
    with pytest.raises(TypeError, match="expected a scan, a file or a checkpoint"):
        ss.diagnosis.diagnose(3)  # type: ignore[call-overload]


def test_what_an_update_tells_alone() -> None:
    rows = rows_of_update(0.5)
    assert "times as large as the rounding" in ss.diagnosis.diagnose(rows).text
    embedding = rows[0] | {"name": "embed", "role": "embed", "layer": None, "rows": 1000}
    for changed, sentence in ((37, "37 of 1000 rows of the input embedding changed"), (1000, "")):
        diagnosis = ss.diagnosis.diagnose([*rows, embedding | {"changed_rows": changed}])
        assert ("embedding" in diagnosis.text) == bool(sentence)
        assert sentence in diagnosis.text
    towers = [embedding | {"tower": each, "changed_rows": 37} for each in ("text", "vision")]
    text = ss.diagnosis.diagnose([*rows, *towers]).text
    assert "embedding" not in text, "it is not known which one has the tokens"
