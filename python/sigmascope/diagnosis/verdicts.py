# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts by the two classes of runs: how far a score is from narrow runs and from broad ones.

A class p-value is the probability that one more run of the class lies at least as far towards the
other class. It is small where the class is unlikely. The level of a class depends on how many runs
of the model's own group the calibration has:

- three or more: the level comes only from these runs;
- one or two: their mean, and the spread within all groups;
- zero: the means of the other groups are the sample, so the spread between groups counts, and with
  it the spread within groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from .student import Level, grouped_level, level_of, pooled_level, rank_chance

Side = Literal["narrow", "broad"]
Word = Literal["narrow", "broad", "not distinguishable", "unlike both"]

OWN_RUNS = 3
"""Fewest runs of the model's own group for which their own deviation is used."""


class Scored(NamedTuple):
    """The score of a run of a class."""

    score: float
    side: Side
    group: str


@dataclass(frozen=True, slots=True)
class Class:
    """One class of runs, in the form that a model is compared with.

    Attributes
    ----------
    level : Level
        Level of the class, and the distribution of one more run.
    source : str
        Source of the level: "own runs", "own runs, spread of all groups", "groups", "runs".
    count : int
        Number of runs, or of groups, that determine the level.
    near : tuple of float
        Scores for ranks: the runs of all groups. If the model's own group has runs, each score is
        shifted by the difference between the mean of its group and the level.
    """

    level: Level
    source: str
    count: int
    near: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score against both classes.

    Attributes
    ----------
    word : str
        "narrow", "broad", "not distinguishable" (as likely in both) or "unlike both".
    p_narrow, p_broad : float
        Probabilities that a narrow run scores at least as high, and a broad run at least as low.
    rank_p_narrow, rank_p_broad : float
        The same by ranks, which assume no distribution; at least 1 / (runs + 1).
    position : float
        Position of the score between the levels of narrow runs (0) and broad runs (1).
    interval : tuple of float
        Interval of the position for one more run with this data, at 1 - alpha.
    """

    word: Word
    p_narrow: float
    p_broad: float
    rank_p_narrow: float
    rank_p_broad: float
    position: float
    interval: tuple[float, float]


def class_of(side: Side, runs: Sequence[Scored], group: str | None) -> Class:
    """Return a class in the form that a model of a group is compared with.

    Raises
    ------
    ValueError
        If there are too few runs to know their spread.
    """
    by_group: defaultdict[str, list[float]] = defaultdict(list)
    for run in runs:
        if run.side == side:
            by_group[run.group].append(run.score)
    if not by_group:
        raise ValueError(f"the calibration has no {side} run")
    own = by_group.get(group, []) if group is not None else []
    if len(own) >= OWN_RUNS:
        level, source, count = level_of(own), "own runs", len(own)
    elif own:
        level = pooled_level(own, list(by_group.values()))
        source, count = "own runs, spread of all groups", len(own)
    elif len(by_group) > 1:
        level, source, count = grouped_level(list(by_group.values())), "groups", len(by_group)
    else:
        (scores,) = by_group.values()
        if len(scores) < 2:
            raise ValueError(f"the calibration has one {side} run, so their spread is not known")
        level, source, count = level_of(scores), "runs", len(scores)
    near = tuple(
        score - fmean(scores) + level.mean if own else score
        for scores in by_group.values()
        for score in scores
    )
    return Class(level, source, count, near)


def judged(score: float, narrow: Class, broad: Class, alpha: float) -> Judgement:
    """Compare a score with both classes at the level `alpha`."""
    p_narrow, p_broad = narrow.level.above(score), broad.level.below(score)
    unlikely = p_narrow <= alpha, p_broad <= alpha
    words: dict[tuple[bool, bool], Word] = {
        (False, True): "narrow",
        (True, False): "broad",
        (False, False): "not distinguishable",
        (True, True): "unlike both",
    }
    low, high = narrow.level.mean, broad.level.mean
    half = max(narrow.level.half_width(alpha), broad.level.half_width(alpha))
    position = (score - low) / (high - low)
    width = abs(half / (high - low))
    return Judgement(
        word=words[unlikely],
        p_narrow=p_narrow,
        p_broad=p_broad,
        rank_p_narrow=rank_chance(score, narrow.near, low=False),
        rank_p_broad=rank_chance(score, broad.near, low=True),
        position=position,
        interval=(position - width, position + width),
    )
