# SPDX-License-Identifier: BSD-3-Clause
"""The error rate of verdicts: every run is diagnosed as if its group were not in the calibration.

The score that diagnoses the runs of a group is fitted without them: neither its weights nor its
penalty depend on the group. If the group has other runs, they give the levels of the classes, as
for a model whose own group is in the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sigmascope.extension import clopper_pearson_upper

from .places import Place
from .scores import LEAST_GROUPS, LEAST_RUNS, Score, common_places, fitted_score, spread_score
from .verdicts import Scored, Side, class_of, judged

Values = dict[Place, float]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A run of known data: its places, its number, its class and its group.

    Attributes
    ----------
    values : dict of Place to float
    label : float
        Number for the regression: 0 for narrow and 1 for broad, or log2 of a breadth; NaN if the
        regression does not use the run.
    side : str or None
        Class of the run; None if it belongs to neither class.
    group : str
    """

    values: Values
    label: float
    side: Side | None
    group: str


@dataclass(frozen=True, slots=True)
class ClassErrors:
    """Verdicts on the runs of one class: right, wrong, and neither."""

    right: int
    wrong: int
    undecided: int


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Verdicts on all runs whose group was left out.

    Attributes
    ----------
    narrow, broad : ClassErrors
    groups : int
        Number of groups. Groups are independent of each other; runs of one group are not.
    left_out : str
        "group", or "run" if there is only one group.
    most : float
        Upper bound on the rate of wrong verdicts at 95 % (Clopper & Pearson 1934), if runs were
        independent.
    scores : dict of int to float
        Score of each run without its group, by the run's index in the calibration.
    """

    narrow: ClassErrors
    broad: ClassErrors
    groups: int
    left_out: str
    most: float
    scores: dict[int, float] = field(repr=False)

    @property
    def runs(self) -> int:
        """Number of runs that were diagnosed."""
        parts = (self.narrow, self.broad)
        return sum(part.right + part.wrong + part.undecided for part in parts)

    @property
    def wrong(self) -> int:
        """Number of runs whose verdict was the other class."""
        return self.narrow.wrong + self.broad.wrong

    @property
    def undecided(self) -> int:
        """Number of runs whose verdict was neither class."""
        return self.narrow.undecided + self.broad.undecided

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON."""
        return {
            "narrow": asdict(self.narrow),
            "broad": asdict(self.broad),
            "groups": self.groups,
            "left_out": self.left_out,
            "most": self.most,
        }

    def text(self) -> str:
        """Return the sentence that is part of every answer."""
        return (
            f"With one {self.left_out} left out at a time, {self.wrong} of {self.runs} verdicts "
            f"were wrong (at most {100 * self.most:.3g} %, if runs were independent; "
            f"{self.groups} group{'s' if self.groups > 1 else ''}) and {self.undecided} undecided."
        )


def runs_with_label(runs: Sequence[Labelled]) -> list[Labelled]:
    """Return the runs that the regression uses."""
    return [run for run in runs if not math.isnan(run.label)]


def score_of(runs: Sequence[Labelled], kind: str) -> Score:
    """Return the score of a kind, "spread", "fitted" or "auto", for these runs.

    "auto" is the fitted score if there are enough runs and groups, otherwise the spread score.
    """
    places = common_places([run.values for run in runs])
    if not places:
        raise ValueError("the runs have no place in common")
    labelled = runs_with_label(runs)
    groups = {run.group for run in labelled}
    enough = len(labelled) >= LEAST_RUNS and len(groups) >= LEAST_GROUPS
    if kind == "spread" or (kind == "auto" and not enough):
        return spread_score(places)
    if not enough:
        raise ValueError(
            f"a fitted score needs {LEAST_RUNS} labelled runs of {LEAST_GROUPS} groups; "
            f"there are {len(labelled)} of {len(groups)}"
        )
    return fitted_score(
        [run.values for run in labelled],
        [run.label for run in labelled],
        [run.group for run in labelled],
    )


def error_rate(
    runs: Sequence[Labelled],
    kind: str,
    alpha: float,
    callback: Callable[[int, str], None] | None = None,
) -> ErrorRate:
    """Diagnose every run with its group left out.

    Parameters
    ----------
    runs
        The runs of a calibration; those without a class are not diagnosed.
    kind
        Kind of the score of the whole calibration, "spread" or "fitted". A fold with too few runs
        or groups for a fitted score uses the spread score.
    alpha
        Level of the verdicts.
    callback
        Called with the index of each run and the verdict on it.
    """
    groups = list(dict.fromkeys(run.group for run in runs))
    counts = {side: {"right": 0, "wrong": 0, "undecided": 0} for side in ("narrow", "broad")}
    scores: dict[int, float] = {}
    for group in groups:
        kept = [run for run in runs if run.group != group] or list(runs)
        score = score_of(kept, "spread" if kind == "spread" else "auto")
        scored = [(score.of(run.values), run) for run in runs]
        for i, (value, run) in enumerate(scored):
            if run.group != group or run.side is None:
                continue
            others = [
                Scored(other, each.side, each.group)
                for j, (other, each) in enumerate(scored)
                if j != i and each.side is not None
            ]
            scores[i] = value
            word = _word(value, others, group, alpha)
            right = word == run.side
            decided = word in ("narrow", "broad")
            counts[run.side]["right" if right else "wrong" if decided else "undecided"] += 1
            if callback is not None:
                callback(i, word)
    narrow, broad = (ClassErrors(**counts[side]) for side in ("narrow", "broad"))
    total = len(scores)
    return ErrorRate(
        narrow=narrow,
        broad=broad,
        groups=len(groups),
        left_out="group" if len(groups) > 1 else "run",
        most=clopper_pearson_upper(narrow.wrong + broad.wrong, total, 0.05) if total else 1.0,
        scores=scores,
    )


def _word(value: float, others: Sequence[Scored], group: str, alpha: float) -> str:
    """Return the verdict; "not distinguishable" where too few runs are left for one."""
    try:
        narrow, broad = (class_of(side, others, group) for side in ("narrow", "broad"))
    except ValueError:
        return "not distinguishable"
    return judged(value, narrow, broad, alpha).word
