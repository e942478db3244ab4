# SPDX-License-Identifier: BSD-3-Clause
"""Increments of one run: a change is found where it is, and rarely where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.updates import rows_of_update

from sigmascope.diagnosing import diagnose_increments


def series(shares: list[float], seed: int = 0, **options: Any) -> list[Any]:
    return [rows_of_update(share, seed=100 * seed + i, **options) for i, share in enumerate(shares)]


def test_a_change_is_found_where_it_is() -> None:
    names = [f"{1000 * i} to {1000 * (i + 1)}" for i in range(10)]
    found = diagnose_increments(series([0.56] * 6 + [0.50] * 4), names=names)
    assert found.changed
    assert found.left_out == 2
    assert found.split == 6
    assert found.p == pytest.approx(2 / 2**8)
    assert (found.matrices, found.blocks) == (24, 8)
    assert np.exp(found.before) > 0.55 > 0.52 > np.exp(found.after)
    assert "From 6000 to 7000 on each increment is spread over fewer directions" in found.text
    rising = diagnose_increments(series([0.50] * 5 + [0.56] * 5))
    assert rising.changed
    assert "over more directions" in rising.text


def test_the_first_quarter_does_not_count() -> None:
    found = diagnose_increments(series([0.2, 0.3, *[0.56] * 8], seed=3))
    assert not found.changed
    assert "No change of the spread is distinguishable" in found.text


def test_chance_is_called_a_change_as_rarely_as_it_says() -> None:
    called = sum(
        diagnose_increments(series([0.55] * 8, seed=seed, noise=0.05)).changed
        for seed in range(1, 201)
    )
    assert called <= 18  # 10 expected; P(more than 18) < 0.01


def test_few_blocks_or_increments_are_said() -> None:
    few = diagnose_increments(series([0.56] * 4 + [0.5] * 4, layers=2))
    assert few.p is None
    assert not few.changed
    assert "4 blocks are too few" in few.text
    with pytest.raises(ValueError, match="4 increments; a change needs 5"):
        diagnose_increments(series([0.5] * 4))
    with pytest.raises(ValueError, match="1 names for 8"):
        diagnose_increments(series([0.5] * 8), names=["a"])
    with pytest.raises(ValueError, match="alpha = 0"):
        diagnose_increments(series([0.5] * 8), alpha=0.0)
