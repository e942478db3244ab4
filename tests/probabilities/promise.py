# SPDX-License-Identifier: BSD-3-Clause
"""A stated probability, and the rate at which it is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

Statistic = Callable[[np.random.Generator], "float | list[float]"]
"""Statistics of one run."""


class Level(NamedTuple):
    """A level: its words, the rate that is stated, and the largest statistic that counts."""

    words: str
    rate: float
    most: float


P_VALUES = (Level("p ≤ 0.05", 0.05, 0.05), Level("p ≤ 0.01", 0.01, 0.01))
ERRORS = (Level("beyond 2 errors", 0.05, -2.0), Level("beyond 4 errors", 1e-3, -4.0))


def fails(rate: float, words: str = "fails") -> tuple[Level]:
    """Return the level of statistics that are 0 where the promise fails, else 1."""
    return (Level(words, rate, 0.5),)


@dataclass(frozen=True, slots=True)
class Promise:
    """A probability that the library states.

    Attributes
    ----------
    name : str
    says : str
        The statement, and where it is.
    premise : str
    levels : tuple of Level
    cases : mapping of str to Statistic
        Noise by name; of each, the statistics of one run.
    within : tuple of str
        Names of the noise for which the premise holds.
    share : float
        Share of the runs that are made: less than 1 if they take long.
    """

    name: str
    says: str
    premise: str
    levels: tuple[Level, ...]
    cases: Mapping[str, Statistic]
    within: tuple[str, ...]
    share: float = 1.0

    def measure(self, noise: str, runs: int) -> list[Rate]:
        """Return the rate at each level under a noise."""
        seen: list[float] = []
        for seed in range(max(1, round(runs * self.share))):
            rng = np.random.default_rng([seed, zlib.crc32(f"{self.name} {noise}".encode())])
            statistics = self.cases[noise](rng)
            seen += statistics if isinstance(statistics, list) else [statistics]
        within = noise in self.within
        return [
            Rate(self.name, noise, within, level, sum(x <= level.most for x in seen), len(seen))
            for level in self.levels
        ]


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate: how many of so many statistics were as far out as a level says."""

    promise: str
    noise: str
    within: bool
    level: Level
    count: int
    trials: int

    @property
    def holds(self) -> bool:
        """True unless the stated rate makes so many rarer than one in 10,000."""
        return bool(stats.binom.sf(self.count - 1, self.trials, self.level.rate) > 1e-4)

    @property
    def share(self) -> float:
        """The rate, from 0 to 1."""
        return self.count / self.trials

    def __str__(self) -> str:
        if not self.count:
            return f"0 of {self.trials:,}"
        return f"{100 * self.share:.{1 if self.share < 0.0995 else 0}f} %"
