# SPDX-License-Identifier: BSD-3-Clause
"""The statistics of diagnoses, on numbers that are worked out by hand or drawn at random.

A diagnosis of rows reaches them only through hundreds of rows for each number. This module alone
knows where the package keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.diagnosis import (
    Calibration,
    calibrated_pairs,
    increments,
    paired,
    pattern,
    student,
    validation,
    verdicts,
)

Array = NDArray[np.float64]
Runs = Iterable[tuple[float, str, str]]
"""Score, class ("narrow" or "broad") and base of each run."""

# ------------------------------------------------------------------------- one run and a class


def chance_by_rank(x: float, values: Sequence[float], *, low: bool) -> float:
    """Return the share of a sample, with x in it, that is as low (or as high) as x."""
    return student.rank_chance(x, values, low=low)


def level_of_sample(values: Sequence[float]) -> student.Level:
    """Return the level of one class of runs of one base."""
    return student.level_of(values)


def level_with_spread_of_all(
    own: Sequence[float], groups: Sequence[Sequence[float]]
) -> student.Level:
    """Return the level of few runs, with the spread within the runs of every base."""
    return student.pooled_level(own, groups)


def level_of_other_bases(groups: Sequence[Sequence[float]]) -> student.Level:
    """Return the level of a run of a base that has no runs."""
    return student.grouped_level(groups)


def class_of_runs(side: verdicts.Side, runs: Runs, base: str | None) -> verdicts.Class:
    """Return one class of runs as a model of a base is compared with it."""
    return verdicts.class_of(side, _scored(runs), base)


def judgement(
    score: float, runs: Runs, base: str | None, alpha: float = 0.05
) -> verdicts.Judgement:
    """Return the judgement of a score against narrow and broad runs."""
    runs = list(runs)
    narrow, broad = (class_of_runs("narrow", runs, base), class_of_runs("broad", runs, base))
    return verdicts.judged(score, narrow, broad, alpha)


def _scored(runs: Runs) -> list[verdicts.Scored]:
    return [verdicts.Scored(*run) for run in runs]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- pairs of runs


def deviation_within(runs: Runs) -> tuple[float, int]:
    """Return the deviation of runs of one class and base, and its degrees of freedom."""
    return calibrated_pairs.within(_scored(runs))


def chance_of_difference(difference: float, deviation: float, freedom: int) -> float:
    """Return the probability of as large a difference between two runs of one class."""
    return calibrated_pairs.p_of(difference, deviation, freedom)


def rates_of_pairs(runs: Runs, alpha: float) -> calibrated_pairs.PairRates:
    """Return how often pairs of these runs are told apart, rightly and wrongly."""
    return calibrated_pairs.pair_rates(_scored(runs), alpha)


def without_base(calibration: Calibration, base: str) -> Calibration:
    """Return a calibration without the runs of a base, its score fitted to the others."""
    rest = replace(calibration, runs=tuple(run for run in calibration.runs if run.group != base))
    return replace(rest, score=validation.score_of(rest.labelled(), "fitted"))


def difference_of_runs(
    one: Any, other: Any, calibration: Calibration
) -> calibrated_pairs.CalibratedDifference:
    """Return the difference of two runs of a calibration's recipe, by another calibration."""
    updates = one.update, other.update
    names = ("one", "two")
    return calibrated_pairs.calibrated_difference(
        updates, names, calibration, calibration.recipe, 0.05
    )


# ------------------------------------------------------------------- blocks, increments, patterns


def signs_of_blocks(blocks: int, seed: int = 0) -> Any:
    """Return signs of blocks, all of them or as many as are drawn."""
    return paired.signs_of(blocks, seed)


def chance_of_signs(sums: Array, signs: Any) -> float:
    """Return the share of signs of blocks that make as large a sum."""
    return paired._sign_flip(sums, signs)


def interval_by_signs(sums: Array, counts: Any, signs: Any, alpha: float) -> tuple[float, float]:
    """Return the differences that the signs of blocks do not reject."""
    return paired._inverted(sums, counts, signs, alpha)


def chance_of_clearest_split(values: Array) -> float:
    """Return the probability of as clear a split of increments (blocks by increments)."""
    return increments.clearest_split(values, 0)[1]


def chance_of_orders(values: Any, seed: int = 0) -> float:
    """Return the share of orders of increments whose clearest split is as clear."""
    return increments._any_order(values, seed)


def distance_of_pattern(one: Array, runs: Array) -> float:
    """Return the distance of a pattern over places from those of runs, in deviations."""
    return pattern.distance(one, runs)


def limit_of_pattern(runs: Array) -> float:
    """Return the distance from the runs of one base beyond which a pattern is another one."""
    return (1 + pattern.FARTHER) * max(pattern._left_out_distances(runs, ["base"] * len(runs)))
