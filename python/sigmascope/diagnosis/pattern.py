# SPDX-License-Identifier: BSD-3-Clause
"""Condition on the pattern over places: a model with the score of a class must look like its runs.

A score is a single number, and different patterns can have the same score. For example, narrow data
that uses the whole vocabulary moves the first layers like broad data, but the later layers unlike
any broad data. A fitted score can mistake it for broad data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension import short

from .guards import Guard
from .places import Place
from .scores import common_places
from .validation import Labelled
from .verdicts import Side

LEAST_RUNS = 4
"""Fewest runs of a class whose spread at every place is known."""

FARTHER = 0.5
"""Share by which a model may be farther from a class than its farthest run. One more normal run is
refused once in 100 cases for 5 runs, and once in 1,000 for 8 (simulated)."""


def pattern_guard(
    values: Mapping[Place, float], runs: Sequence[Labelled], side: Side | None
) -> Guard:
    """Compare the places of a model with the class that its score belongs to.

    Parameters
    ----------
    values
        The places of the model.
    runs
        Runs of the calibration.
    side
        The class; None if the score belongs to neither class. Then nothing is compared.
    """
    if side is None:
        return Guard(
            "pattern",
            "passed",
            "The score belongs to neither class, so there is no pattern to compare.",
        )
    known = [run for run in runs if run.side == side]
    places = common_places([values, *(run.values for run in known)])
    if len(known) < LEAST_RUNS or not places:
        return Guard(
            "pattern",
            "qualified",
            f"The pattern over places is not compared: it needs {LEAST_RUNS} {side} runs; there "
            f"are {len(known)}.",
        )
    X = np.array([[run.values[place] for place in places] for run in known])
    offset = distance(np.array([values[place] for place in places]), X)
    most = max(_left_out_distances(X, [run.group for run in known]))
    text = (
        f"The places of the model are {short(offset)} standard deviations from {side} runs (root "
        f"mean square over {len(places)}); those of one group at most {short(most)} from the others"
    )
    if offset > (1 + FARTHER) * most:
        return Guard(
            "pattern",
            "refused",
            f"{text}. The model is more than {100 * FARTHER:.0f} % beyond this: its score is "
            f"that of {side} data, but its pattern is not.",
        )
    return Guard("pattern", "passed", f"{text}.")


def distance(x: NDArray[np.float64], runs: NDArray[np.float64]) -> float:
    """Return the root mean square over places of x's deviations, in standard deviations of runs.

    Parameters
    ----------
    x : ndarray, (places,)
    runs : ndarray, (runs, places)
    """
    deviation = runs.std(axis=0, ddof=1)
    deviation[deviation == 0] = np.inf  # a place that is the same in all runs says nothing
    return float(np.sqrt(np.mean(((x - runs.mean(axis=0)) / deviation) ** 2)))


def _left_out_distances(X: NDArray[np.float64], groups: Sequence[str]) -> list[float]:
    """Return the distance of every run from other groups; from other runs if there is one group."""
    names = np.asarray(groups)
    if len(set(groups)) < 2:
        names = np.arange(len(groups)).astype(str)
    return [
        distance(x, X[names != name])
        for x, name in zip(X, names, strict=True)
        if np.count_nonzero(names != name) >= 2
    ]
