# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities of one more value, given a sample: Student's t, and ranks.

A prediction by Student's distribution assumes that values are normally distributed. Its probability
is then exact for samples of any size. A rank assumes only that all values are exchangeable. Its
probability is at least 1 / (n + 1) (Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a
Random World").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from sigmascope.extension import student_cdf, student_quantile


@dataclass(frozen=True, slots=True)
class Level:
    """The level of a class of runs, and the distribution of one more run about it.

    Attributes
    ----------
    mean : float
        Estimate of the level.
    deviation : float
        Standard deviation of one more run about this estimate; it includes the error of the
        estimate.
    freedom : int
        Degrees of freedom of the deviation.
    """

    mean: float
    deviation: float
    freedom: int

    def below(self, x: float) -> float:
        """Return the probability that one more run is at least as low as x."""
        return student_cdf(self._t(x), self.freedom)

    def above(self, x: float) -> float:
        """Return the probability that one more run is at least as high as x."""
        return student_cdf(-self._t(x), self.freedom)

    def half_width(self, alpha: float) -> float:
        """Return half the width of the interval that contains one more run at 1 - alpha."""
        return student_quantile(alpha, self.freedom) * self.deviation

    def _t(self, x: float) -> float:
        if self.deviation == 0:
            return math.copysign(math.inf, x - self.mean) if x != self.mean else 0.0
        return (x - self.mean) / self.deviation


def level_of(values: Sequence[float]) -> Level:
    """Return the level of a sample of at least two values."""
    n = len(values)
    return Level(fmean(values), math.sqrt(variance(values) * (1 + 1 / n)), n - 1)


def pooled_level(own: Sequence[float], groups: Sequence[Sequence[float]]) -> Level:
    """Return the level of one or two values of a group, with the deviation within all groups.

    Raises
    ------
    ValueError
        If no group has two values.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 1:
        raise ValueError("no group has two runs of one class, so their spread is not known")
    squares = sum((len(group) - 1) * variance(group) for group in groups if len(group) > 1)
    return Level(fmean(own), math.sqrt(squares / freedom * (1 + 1 / len(own))), freedom)


def grouped_level(groups: Sequence[Sequence[float]]) -> Level:
    """Return the level for a group without runs, from at least two other groups.

    A run varies more than the mean of a group does, by the variance within groups minus the share
    of that variance that the means already contain. The groups give the degrees of freedom.
    """
    means = [fmean(group) for group in groups]
    n = len(means)
    freedom = sum(len(group) - 1 for group in groups)
    within = 0.0
    if freedom:
        squares = sum((len(group) - 1) * variance(group) for group in groups if len(group) > 1)
        within = squares / freedom * (1 - fmean(1 / len(group) for group in groups))
    return Level(fmean(means), math.sqrt(variance(means) * (1 + 1 / n) + within), n - 1)


def rank_chance(x: float, values: Sequence[float], *, low: bool) -> float:
    """Return the share of a sample, including x, that is at least as low (or as high) as x."""
    as_far = sum(value <= x if low else value >= x for value in values)
    return (1 + as_far) / (len(values) + 1)
