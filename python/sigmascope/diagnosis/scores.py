# SPDX-License-Identifier: BSD-3-Clause
"""Scores of an update: a number that is low for narrow data and high for broad data.

The spread score is the mean of the statistic over the places. Its sign is known beforehand, and
nothing is fitted. The fitted score is a ridge regression of the labels on the standardised places.
Its means, deviations and penalty come only from the runs that it is fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .places import Place

Array = NDArray[np.float64]

LEAST_RUNS, LEAST_GROUPS = 16, 2
"""Fewest labelled runs, and fewest of their groups, for a fitted score."""

PENALTIES = tuple(float(p) for p in np.logspace(-1, 3, 17))
"""Penalties of the ridge regression; leaving groups out chooses one of them."""


@dataclass(frozen=True, slots=True)
class Score:
    """A linear function of the places.

    Attributes
    ----------
    kind : str
        "spread" or "fitted".
    places : tuple of Place
        The places that the score uses.
    weights : tuple of float
        Weight of each place.
    constant : float
        Added to the sum.
    penalty : float or None
        Penalty of the ridge regression; None if nothing was fitted.
    averages : tuple of float
        Average value of each place over the runs that a score was fitted to.
    """

    kind: str
    places: tuple[Place, ...]
    weights: tuple[float, ...]
    constant: float = 0.0
    penalty: float | None = None
    averages: tuple[float, ...] = ()

    def of(self, values: Mapping[Place, float]) -> float:
        """Return the score of an update.

        The spread score is the mean over the places that the update has. In the fitted score, a
        place that the update lacks has the average of the runs.
        """
        known = [i for i, place in enumerate(self.places) if place in values]
        if not known:
            raise ValueError("the update has no place in common with the calibration")
        if self.kind == "spread":
            return float(np.mean([values[self.places[i]] for i in known]))
        terms = zip(self.places, self.weights, self.averages, strict=True)
        total = sum(weight * values.get(place, average) for place, weight, average in terms)
        return float(self.constant + total)


def spread_score(places: Sequence[Place]) -> Score:
    """Return the mean over places."""
    return Score("spread", tuple(places), (1 / len(places),) * len(places))


def fitted_score(
    values: Sequence[Mapping[Place, float]], labels: Sequence[float], groups: Sequence[str]
) -> Score:
    """Fit a score to labelled runs.

    Parameters
    ----------
    values
        The places of each run. The score uses the places that all runs have.
    labels
        Number of each run, higher for broader data.
    groups
        Group of each run, such as its base model. The chosen penalty predicts the runs of a group
        best from the other groups; with one group, each run from the other runs.
    """
    places = common_places(values)
    X = np.array([[each[place] for place in places] for each in values])
    y = np.asarray(labels, dtype=np.float64)
    names = np.asarray(groups)
    if len(np.unique(names)) < 2:  # no group can be left out: each run is
        names = np.arange(len(y)).astype(str)
    penalty = min(PENALTIES, key=lambda p: _left_out_error(X, y, names, p))
    weights, constant = _ridge(X, y, penalty)
    averages = average_values(values, places)
    return Score("fitted", places, tuple(map(float, weights)), constant, penalty, averages)


def average_values(
    values: Sequence[Mapping[Place, float]], places: Sequence[Place]
) -> tuple[float, ...]:
    """Return the average of each place over the runs that have it."""
    return tuple(float(np.mean([each[place] for each in values])) for place in places)


def common_places(values: Sequence[Mapping[Place, float]]) -> tuple[Place, ...]:
    """Return the places that all runs have, sorted."""
    shared = set(values[0]).intersection(*map(set, values[1:]))
    return tuple(sorted(shared))


def _ridge(X: Array, y: Array, penalty: float) -> tuple[Array, float]:
    """Return weights of the unscaled columns, and the constant."""
    mean, deviation = X.mean(axis=0), X.std(axis=0, ddof=1)
    deviation[deviation == 0] = np.inf  # a place that is the same in all runs says nothing
    Z = (X - mean) / deviation
    scaled = np.linalg.solve(Z.T @ Z + penalty * np.eye(X.shape[1]), Z.T @ (y - y.mean()))
    weights = scaled / deviation
    return weights, float(y.mean() - weights @ mean)


def _left_out_error(X: Array, y: Array, names: NDArray[np.str_], penalty: float) -> float:
    error = 0.0
    for name in np.unique(names):
        out = names == name
        weights, constant = _ridge(X[~out], y[~out], penalty)
        error += float(np.sum((y[out] - constant - X[out] @ weights) ** 2))
    return error
