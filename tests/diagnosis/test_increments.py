# SPDX-License-Identifier: BSD-3-Clause
"""Increments of one run: a change is found where it is, and rarely where there is none."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from tests.support.diagnosis_statistics import chance_of_clearest_split, chance_of_orders
from tests.support.tiers import short
from tests.support.updates import rows_of_update

from sigmascope.diagnosis import diagnose_increments


def series(shares: list[float], seed: int = 0, **options: Any) -> list[Any]:
    return [rows_of_update(share, seed=100 * seed + i, **options) for i, share in enumerate(shares)]


def test_a_change_is_found_where_it_is() -> None:
    names = [f"{1000 * i} to {1000 * (i + 1)}" for i in range(10)]
    diagnosis = diagnose_increments(series([0.56] * 6 + [0.50] * 4), names=names)
    assert diagnosis.changed
    assert diagnosis.left_out == 2
    assert diagnosis.split == 6
    assert diagnosis.p == pytest.approx(2 / 70)  # 70 ways to choose 4 of 8 increments
    assert diagnosis.least_p == diagnosis.p
    assert (diagnosis.matrices, diagnosis.blocks) == (24, 8)
    assert np.exp(diagnosis.before) > 0.55 > 0.52 > np.exp(diagnosis.after)
    assert "From 6000 to 7000 on, each increment is spread over fewer directions" in diagnosis.text
    rising = diagnose_increments(series([0.50] * 5 + [0.56] * 5))
    assert rising.changed
    assert "over more directions" in rising.text
    assert "The p-value holds if, without a change, any order" in rising.text


def test_the_first_quarter_does_not_count() -> None:
    diagnosis = diagnose_increments(series([0.2, 0.3, *[0.56] * 8], seed=3))
    assert not diagnosis.changed
    assert "There is no significant change of the spread" in diagnosis.text


def rejected(
    shared: float, carried: float, change: float = 0.0, runs: int = 200, blocks: int = 8
) -> int:
    """Count p <= 0.05 in runs of 9 increments, in deviations of the noise of a block.

    `shared` is the size of chance that all blocks of an increment have in common, `carried` the
    correlation of a block's own noise from one increment to the next, `change` the step after the
    fourth.
    """
    rng, count = np.random.default_rng(5), 0
    for _ in range(runs):
        values = rng.standard_normal((blocks, 9))
        for t in range(1, 9):
            values[:, t] *= np.sqrt(1 - carried**2)
            values[:, t] += carried * values[:, t - 1]
        values += shared * rng.standard_normal(9) + change * (np.arange(9) > 3)
        count += chance_of_clearest_split(values) <= 0.05
    return count


@pytest.mark.parametrize(
    ("shared", "carried"),
    short(
        ["shared 0.5-carried 0.6", "shared 10-carried 0.3"],
        {
            f"shared {shared:g}-carried {carried:g}": (shared, carried)
            for shared in (0.0, 0.2, 0.5, 1.0, 10.0)
            for carried in (0.0, 0.3, 0.6)
        },
    ),
)
def test_chance_is_called_a_change_as_rarely_as_it_says(shared: float, carried: float) -> None:
    """Signs of blocks alone reject up to all for shared chance, orders alone 30 % for carried."""
    assert rejected(shared, carried) <= 18  # P(Binomial(200, 0.05) > 18) < 0.005


@pytest.mark.parametrize(("change", "least"), [(0.5, 5), (1.0, 29), (2.0, 48)])
def test_a_change_is_found_as_often_as_measured(change: float, least: int) -> None:
    """9, 37 and 50 of 50 runs were measured, whose increments share chance of 0.2."""
    assert rejected(0.2, 0.0, change, runs=50) >= least


def test_orders_are_all_tried_or_drawn() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(6) + np.repeat([0.0, 2.0], 3)

    def clear(series: Any) -> float:
        n = len(series)
        return max(
            float(abs(np.mean(series[s:]) - np.mean(series[:s])) * np.sqrt(s * (n - s) / n))
            for s in range(1, n)
        )

    every = [clear(np.array(order)) for order in permutations(values)]
    assert chance_of_orders(values) == np.mean(np.array(every) >= clear(values) * (1 - 1e-9))
    many = rng.standard_normal(20) + np.repeat([0.0, 0.8], 10)
    assert chance_of_orders(many) == chance_of_orders(many)
    assert abs(chance_of_orders(many) - chance_of_orders(many, 1)) < 0.05
    assert chance_of_orders(np.repeat([0.0, 9.0], 10)) >= 1e-4
    assert chance_of_orders(np.zeros(5)) == 1.0


def test_few_increments_say_that_nothing_could_be_significant() -> None:
    diagnosis = diagnose_increments(series([0.56] * 3 + [0.3] * 2))
    assert diagnosis.p == diagnosis.least_p == pytest.approx(1 / 3)
    assert not diagnosis.changed
    assert (
        "With 4 increments and 8 blocks the smallest possible p is 0.33: no change could be"
        in diagnosis.text
    )
    assert "the least p" not in diagnose_increments(series([0.56] * 10)).text


def test_few_blocks_or_increments_are_said() -> None:
    few = diagnose_increments(series([0.56] * 4 + [0.5] * 4, layers=2))
    assert few.p is None
    assert not few.changed
    assert "4 blocks are too few" in few.text
    with pytest.raises(ValueError, match="4 increments are too few: at least 5"):
        diagnose_increments(series([0.5] * 4))
    with pytest.raises(ValueError, match="1 names for 8"):
        diagnose_increments(series([0.5] * 8), names=["a"])
    with pytest.raises(ValueError, match="alpha = 0"):
        diagnose_increments(series([0.5] * 8), alpha=0.0)
