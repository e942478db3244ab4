# SPDX-License-Identifier: BSD-3-Clause
"""Chances of one more value: by simulation of the rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.support.diagnosis_statistics import (
    chance_by_rank,
    level_of_other_bases,
    level_of_sample,
    level_with_spread_of_all,
)
from tests.support.tiers import short


@pytest.mark.parametrize("n", [3, 5, 9, 19])
def test_the_prediction_of_one_more_run_is_wrong_as_often_as_it_says(n: int) -> None:
    """200,000 samples of n broad runs and one more: at 5 %, called narrow in 4.5 to 5.5 %."""
    rng = np.random.default_rng(n)
    draws = rng.standard_normal((200_000, n + 1))
    sample, more = draws[:, :n], draws[:, n]
    t = (more - sample.mean(axis=1)) / (sample.std(axis=1, ddof=1) * np.sqrt(1 + 1 / n))
    cut = -stats.t.ppf(0.95, n - 1)
    assert 0.045 <= np.mean(t < cut) <= 0.055
    for row in draws[:200]:
        level = level_of_sample(row[:n].tolist())
        assert (level.below(float(row[n])) < 0.05) == (
            (row[n] - row[:n].mean()) / (row[:n].std(ddof=1) * np.sqrt(1 + 1 / n)) < cut
        )


@pytest.mark.parametrize("decimals", [1, -1], ids=["few ties", "mostly ties"])
@pytest.mark.parametrize("n", [1, 4, 19])
def test_a_rank_is_valid_at_every_level(n: int, decimals: int) -> None:
    """Ranks of exchangeable values of any distribution are below alpha in alpha at most."""
    rng = np.random.default_rng(0)
    draws = rng.standard_cauchy((20_000, n + 1)).round(decimals)
    chances = np.array([chance_by_rank(row[n], row[:n].tolist(), low=True) for row in draws])
    assert chances.min() >= 1 / (n + 1)
    for alpha in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert np.mean(chances <= alpha) <= alpha + 4 * np.sqrt(alpha / 20_000)


DISTANCES = {"alike": 0.0, "near": 0.3, "apart": 1.0, "far apart": 3.0}
"""Distances of bases, in deviations of their runs."""


def test_the_deviation_within_groups_serves_one_own_run() -> None:
    groups = [[1.0, 3.0], [10.0, 12.0, 14.0], [5.0]]
    level = level_with_spread_of_all([5.0], groups)
    assert level.mean == 5.0
    assert level.freedom == 3
    assert level.deviation == pytest.approx(np.sqrt((2.0 + 8.0) / 3 * 2))
    with pytest.raises(ValueError, match="no group has two runs"):
        level_with_spread_of_all([5.0], [[5.0], [6.0]])


@pytest.mark.parametrize(
    ("runs", "between"),
    short(
        ["one run-bases far apart", "three runs-bases near"],
        {
            f"{number}-bases {distance}": (runs, between)
            for number, runs in {"one run": 1, "three runs": 3, "six runs": 6}.items()
            for distance, between in DISTANCES.items()
        },
    ),
)
def test_runs_of_several_bases_are_no_more_often_wrong_than_they_say(
    runs: int, between: float
) -> None:
    """However much bases differ: false alarms of a run of another base stay at the level."""
    rng = np.random.default_rng(1)
    wrong, times = 0, 2000
    for _ in range(times):
        bases = between * rng.standard_normal(6)
        groups = bases[:5, None] + rng.standard_normal((5, runs))
        one = bases[5] + rng.standard_normal()
        wrong += level_of_other_bases(groups.tolist()).below(float(one)) <= 0.05
    assert wrong / times <= 0.05 + 4 * np.sqrt(0.05 / times)


def test_no_spread_at_all_leaves_no_doubt() -> None:
    level = level_of_sample([2.0, 2.0])
    assert level.below(1.0) == 0.0
    assert level.below(3.0) == 1.0
    assert level.above(2.0) == 0.5
