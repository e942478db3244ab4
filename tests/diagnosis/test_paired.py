# SPDX-License-Identifier: BSD-3-Clause
"""Two models of one base: sign flips over blocks, the interval, and the sentence."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats
from tests.support.diagnosis_statistics import chance_of_signs, interval_by_signs, signs_of_blocks
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import PairedDiagnosis


def test_a_more_concentrated_update_is_named() -> None:
    one, two = rows_of_update(0.53, seed=1), rows_of_update(0.56, seed=2)
    diagnosis = ss.diagnosis.diagnose(one, against=two)
    assert isinstance(diagnosis, PairedDiagnosis)
    assert (diagnosis.matrices, diagnosis.blocks) == (24, 8)
    assert diagnosis.difference == pytest.approx(np.log(0.56 / 0.53), abs=0.01)
    assert diagnosis.interval[0] < diagnosis.difference < diagnosis.interval[1]
    assert diagnosis.p == pytest.approx(2 / 2**8)
    assert diagnosis.text.startswith(f"The update of {diagnosis.names[0]} is more concentrated")
    assert "8 blocks, p = 0.0078 if they are independent" in diagnosis.text
    assert "or its seed changed all blocks. Two runs cannot show which" in diagnosis.text
    assert diagnosis.narrower is None  # without a calibration nothing shows what a seed moves
    turned = ss.diagnosis.diagnose(two, against=one)
    assert turned.difference == pytest.approx(-diagnosis.difference)
    assert turned.text.startswith(f"The update of {turned.names[1]} is more concentrated")
    low, high = (float(x) for x in diagnosis.text.split("[")[1].split("]")[0].split(", "))
    assert low < 100 * (1 - 0.53 / 0.56) < high


def test_the_same_data_with_another_seed_is_rarely_different() -> None:
    rejected = 0
    for seed in range(60):
        pair = [rows_of_update(0.55, noise=0.05, seed=2 * seed + i) for i in range(2)]
        diagnosis = ss.diagnosis.diagnose(pair[0], against=pair[1])
        assert isinstance(diagnosis, PairedDiagnosis)
        assert diagnosis.p is not None
        rejected += diagnosis.p <= diagnosis.alpha
    assert rejected <= 8  # of 60 at 5 %, in 995 of 1000 cases


def test_sign_flips_are_all_tried_or_drawn() -> None:
    rng = np.random.default_rng(0)
    sums = rng.standard_normal(8) + 0.3
    every = [abs(np.dot(signs, sums)) for signs in product((1, -1), repeat=8)]
    assert chance_of_signs(sums, signs_of_blocks(8, 0)) == np.mean(
        np.array(every) >= abs(sums.sum()) * (1 - 1e-12)
    )
    many = rng.standard_normal(40) + 0.1
    p = chance_of_signs(many, signs_of_blocks(40, 0))
    assert p == chance_of_signs(many, signs_of_blocks(40, 0))
    assert abs(p - chance_of_signs(many, signs_of_blocks(40, 1))) < 0.05
    assert p >= 1 / 10_000


@pytest.mark.parametrize("blocks", [6, 8, 11, 30])
def test_the_interval_holds_zero_where_it_is_not_rejected(blocks: int) -> None:
    """Also with one block far from the others, where a normal interval says otherwise."""
    rng = np.random.default_rng(blocks)
    signs, counts = signs_of_blocks(blocks, 0), np.full(blocks, 3)
    for i in range(30 if blocks < 30 else 10):
        sums = rng.standard_normal(blocks) + 0.5
        sums[0] += 10 * (i % 2)
        low, high = interval_by_signs(sums, counts, signs, 0.05)
        assert low < sums.sum() / counts.sum() < high
        assert (low < 0 < high) == (chance_of_signs(sums, signs) > 0.05)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    signs, counts = signs_of_blocks(8, 0), np.full(8, 2)
    held = 0
    for _ in range(400):
        low, high = interval_by_signs(2 * (0.3 + 0.1 * rng.standard_t(3, 8)), counts, signs, 0.05)
        held += low <= 0.3 <= high
    assert 0.93 <= held / 400 <= 0.985


def test_few_blocks_have_no_p_value() -> None:
    one, two = (rows_of_update(0.5 + 0.05 * i, layers=2, seed=i) for i in range(2))
    diagnosis = ss.diagnosis.diagnose(one, against=two)
    assert diagnosis.blocks == 4
    assert diagnosis.p is None
    assert diagnosis.narrower is None
    assert "too few for a p-value" in diagnosis.text


def test_the_interval_of_few_blocks_is_that_of_student() -> None:
    """Blocks of two matrices each: the interval of the mean of 4 numbers."""
    one, two = (
        [row for row in rows_of_update(share, layers=2, seed=i) if row["role"] not in ("k", "v")]
        for i, share in enumerate((0.5, 0.55))
    )
    diagnosis = ss.diagnosis.diagnose(one, against=two, alpha=0.1)
    ranks = np.array([[row["projected_effective_rank"] for row in rows] for rows in (one, two)])
    of_blocks = np.log(ranks[1] / ranks[0]).reshape(4, 2).mean(axis=1)
    assert (diagnosis.matrices, diagnosis.blocks) == (8, 4)
    assert diagnosis.difference == pytest.approx(of_blocks.mean())
    expected = stats.t.interval(0.9, 3, loc=of_blocks.mean(), scale=stats.sem(of_blocks))
    assert diagnosis.interval == pytest.approx(expected, rel=1e-6)


def test_models_without_a_common_matrix_are_refused() -> None:
    one = rows_of_update(0.5)
    two = [row | {"tower": "vision"} for row in rows_of_update(0.5)]
    with pytest.raises(ValueError, match="no changed matrix in common"):
        ss.diagnosis.diagnose(one, against=two)
