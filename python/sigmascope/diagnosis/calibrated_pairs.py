# SPDX-License-Identifier: BSD-3-Clause
"""Two models of one base, compared by the score of a calibration.

Both models have the same base, so its level cancels. Two runs of one class and one base still
differ, and the calibration's own runs show by how much: the pooled variance, within class and base,
of scores that were fitted without that base. The difference of two runs, over the square root of
twice that variance, follows Student's distribution if scores are normally distributed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean, variance
from typing import Any

from sigmascope.extension import student_quantile, student_tail

from .calibration import Calibration
from .guards import Guard, guards_of
from .places import Update
from .verdicts import Scored


@dataclass(frozen=True, slots=True)
class PairRates:
    """Answers for the calibration's own pairs of one group, with the group left out.

    Attributes
    ----------
    right, wrong, undecided : int
        Pairs of a narrow and a broad run whose difference is significant with the right sign,
        significant with the wrong sign, or not significant.
    alike, called_different : int
        Pairs of two runs of one class, and how many of them differ significantly.
    """

    right: int
    wrong: int
    undecided: int
    alike: int
    called_different: int

    def text(self) -> str:
        """Return the sentence that is part of every answer."""
        pairs = self.right + self.wrong + self.undecided
        return (
            f"With one group left out at a time, {self.right} of the calibration's {pairs} pairs "
            f"of a narrow and a broad run were distinguished, and {self.wrong} had the wrong "
            f"sign; {self.called_different} of its {self.alike} pairs of one class were reported "
            "as different."
        )


@dataclass(frozen=True, slots=True)
class CalibratedDifference:
    """The difference of two models by the score of a calibration.

    Attributes
    ----------
    difference : float or None
        Score of the second model minus the score of the first: positive if the first is narrower.
        None if the models lack all places of the calibration.
    interval : tuple of float or None
        Interval of the difference at 1 - alpha, by Student's distribution.
    p : float or None
        Probability that two runs of one class differ at least this much; None if a guard refuses.
    deviation : float
        Standard deviation of the score of a run within its class and group.
    freedom : int
        Degrees of freedom of the deviation.
    distance : float
        Mean score of broad runs minus the mean score of narrow runs.
    rates : PairRates
    guards : tuple of Guard
        Conditions, with their numbers.
    example : bool
        True if the calibration is the example that the package ships.
    """

    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    deviation: float
    freedom: int
    distance: float
    rates: PairRates
    guards: tuple[Guard, ...]
    example: bool = False

    @property
    def refusals(self) -> tuple[Guard, ...]:
        """Guards that refuse an answer: the calibration does not apply to the models."""
        return tuple(guard for guard in self.guards if guard.outcome == "refused")

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as plain JSON."""
        record = asdict(self)
        record["interval"] = None if self.interval is None else list(self.interval)
        record["guards"] = [asdict(guard) for guard in self.guards]
        return record


def calibrated_difference(
    updates: tuple[Update, Update],
    names: tuple[str, str],
    calibration: Calibration,
    recipe: Mapping[str, Any] | None,
    alpha: float,
) -> CalibratedDifference:
    """Compare two updates of one base by the score of a calibration."""
    scores = _left_out_scores(calibration, alpha)
    deviation, freedom = within(scores)
    by_side = {
        side: [run.score for run in scores if run.side == side] for side in ("narrow", "broad")
    }
    distance = fmean(by_side["broad"]) - fmean(by_side["narrow"])
    rates = pair_rates(scores, alpha)
    guards = (
        *_guards(updates, names, calibration, recipe, alpha),
        _pairs_guard(rates, freedom, distance, alpha),
    )
    places = set(calibration.score.places)
    if not all(places.intersection(update.places) for update in updates):
        return CalibratedDifference(
            None, None, None, deviation, freedom, distance, rates, guards, calibration.example
        )
    first, second = (calibration.score.of(update.places) for update in updates)
    difference = second - first
    interval = p = None
    if freedom:
        half = student_quantile(alpha, freedom) * math.sqrt(2) * deviation
        interval = difference - half, difference + half
        if not any(guard.outcome == "refused" for guard in guards):
            p = p_of(difference, deviation, freedom)
    return CalibratedDifference(
        difference,
        interval,
        p,
        deviation,
        freedom,
        distance,
        rates,
        guards,
        calibration.example,
    )


def _left_out_scores(calibration: Calibration, alpha: float) -> list[Scored]:
    """Return the score of every run with a class, fitted without its group."""
    runs = calibration.labelled()
    return [
        Scored(score, side, runs[i].group)
        for i, score in calibration.error_rate(alpha).scores.items()
        if (side := runs[i].side) is not None
    ]


def within(scores: Sequence[Scored]) -> tuple[float, int]:
    """Compute the standard deviation within class and group, and its degrees of freedom."""
    cells: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for run in scores:
        cells[run.side, run.group].append(run.score)
    freedom = sum(len(values) - 1 for values in cells.values())
    if not freedom:
        return 0.0, 0
    squares = sum((len(x) - 1) * variance(x) for x in cells.values() if len(x) > 1)
    return math.sqrt(squares / freedom), freedom


def p_of(difference: float, deviation: float, freedom: int) -> float:
    """Return the probability that two runs of one class and group differ at least this much."""
    if deviation == 0:
        return float(difference == 0)
    return student_tail(difference / (math.sqrt(2) * deviation), freedom)


def pair_rates(scores: Sequence[Scored], alpha: float) -> PairRates:
    """Compare all pairs of each group by the deviation of the other groups, or of a sole group."""
    counts = {"right": 0, "wrong": 0, "undecided": 0, "alike": 0, "called_different": 0}
    for one, two, deviation, freedom in _pairs(scores):
        significant = bool(freedom) and p_of(two.score - one.score, deviation, freedom) <= alpha
        if one.side == two.side:
            counts["alike"] += 1
            counts["called_different"] += significant
        elif significant:
            rises = two.score > one.score
            counts["right" if rises == (two.side == "broad") else "wrong"] += 1
        else:
            counts["undecided"] += 1
    return PairRates(**counts)


def _pairs(scores: Sequence[Scored]) -> Iterator[tuple[Scored, Scored, float, int]]:
    for group in dict.fromkeys(run.group for run in scores):
        others = [run for run in scores if run.group != group]
        deviation, freedom = within(others or scores)
        for one, two in combinations([run for run in scores if run.group == group], 2):
            yield one, two, deviation, freedom


def _guards(
    updates: tuple[Update, Update],
    names: tuple[str, str],
    calibration: Calibration,
    recipe: Mapping[str, Any] | None,
    alpha: float,
) -> Iterator[Guard]:
    """Return the conditions of both models once each, without the rate of single verdicts."""
    known = [run.update for run in calibration.runs]
    scored, rate = calibration.scored(), calibration.error_rate(alpha)
    recipes = calibration.recipe, recipe
    first, second = (
        guards_of(update, known, calibration.score.places, recipes, scored, rate, alpha)
        for update in updates
    )
    named_guards = [
        (guard, name)
        for name, guards in zip(names, (first, second), strict=True)
        for guard in guards
        if guard.name != "error rate"
    ]
    shared = set(first).intersection(second)
    for guard in dict.fromkeys(guard for guard, _ in named_guards if guard in shared):
        yield guard
    for guard, name in named_guards:
        if guard not in shared:
            yield Guard(guard.name, guard.outcome, f"{name}: {guard.text}")


def _pairs_guard(rates: PairRates, freedom: int, distance: float, alpha: float) -> Guard:
    if not freedom:
        return Guard(
            "pairs",
            "refused",
            "No group of the calibration has two runs of one class, so it is unknown how much "
            "such runs differ.",
        )
    if distance <= 0:
        return Guard(
            "pairs",
            "refused",
            "With its group left out, a broad run of the calibration does not score above "
            "narrow runs in the mean.",
        )
    pairs = rates.right + rates.wrong + rates.undecided
    text = (
        f"{rates.wrong} of the calibration's {pairs} pairs of a narrow and a broad run of one "
        "group are distinguished with the wrong sign"
    )
    if rates.wrong > alpha * pairs:
        return Guard("pairs", "refused", f"{text}, more than the level of {100 * alpha:g} %.")
    return Guard("pairs", "passed", f"{text}.")
