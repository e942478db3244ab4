# SPDX-License-Identifier: BSD-3-Clause
"""Partitions, samples, prepared rows, and similarities inside blocks."""

from __future__ import annotations

import numpy as np
import pytest

from sigmascope.provenance.lineages.blocks import (
    centre_blocks,
    compare_blocks,
    effect_size,
    partition_things,
    pool_blocks,
    prepare_rows,
    runs_of,
    sample_things,
    unit_rows,
    variance_of,
)


@pytest.mark.parametrize("count", [0, 7, 8, 100, 128])
def test_a_partition_holds_each_thing_at_most_once(count: int) -> None:
    """Notices a remainder that is padded with repeated things, which would break the group."""
    partition = partition_things(count)
    assert partition.shape == (count // 8, 8)
    assert len(set(partition.ravel().tolist())) == partition.size
    np.testing.assert_array_equal(partition, partition_things(count))
    assert count < 100 or not np.array_equal(partition, partition_things(count, seed=1))


def test_a_sample_is_made_of_runs_that_the_count_decides() -> None:
    numbers = sample_things(11008, 1024)
    assert numbers.size == 1024 == len(set(numbers.tolist()))
    assert np.all(np.diff(numbers) > 0)
    assert len(runs_of(numbers)) <= 16
    np.testing.assert_array_equal(numbers, sample_things(11008, 1024))
    np.testing.assert_array_equal(sample_things(100, 1024), np.arange(100))
    np.testing.assert_array_equal(sample_things(100, None), np.arange(100))


def test_runs_cover_the_numbers() -> None:
    assert runs_of(np.array([0, 1, 2, 5, 7, 8])) == [(0, 3), (5, 6), (7, 9)]
    assert runs_of(np.array([], dtype=np.int64)) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_prepared_in_three_steps(dtype: type[np.floating]) -> None:
    """The same as unit rows, standard columns, unit rows, written out in float64."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 12)) * np.exp(rng.normal(size=(40, 1))) + 3
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    standard = (unit - unit.mean(axis=0)) / unit.std(axis=0)
    expected = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    np.testing.assert_allclose(prepare_rows(rows.astype(dtype)), expected, atol=1e-4)


def test_zero_rows_and_constant_columns_stay_zero() -> None:
    """Zero rows that are centred become equal rows: strangers with padding would look related."""
    rows = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    rows[[3, 7]] = 0
    prepared = prepare_rows(rows)
    assert not prepared[[3, 7]].any()
    others = np.delete(rows, [3, 7], axis=0)
    np.testing.assert_allclose(np.delete(prepared, [3, 7], 0), prepare_rows(others), atol=1e-6)
    one_sign = np.ones((8, 3), np.float32)
    assert not prepare_rows(one_sign).any()


def test_preparation_commutes_with_permutations_of_the_rows() -> None:
    """This is what keeps a test exact."""
    rng = np.random.default_rng(2)
    rows, order = rng.normal(size=(30, 5)), rng.permutation(30)
    np.testing.assert_allclose(prepare_rows(rows)[order], prepare_rows(rows[order]), atol=1e-12)


def test_without_scaled_columns_inner_products_survive_a_rotation() -> None:
    rng = np.random.default_rng(3)
    rows, rotation = rng.normal(size=(30, 5)) + 1, np.linalg.qr(rng.normal(size=(5, 5)))[0]
    one, other = (prepare_rows(x, scale_columns=False) for x in (rows, rows @ rotation))
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-12)


def test_blocks_are_sums_of_inner_products_over_views() -> None:
    """Wide rows are cut into pieces of 4096 features: no feature may be lost or counted twice."""
    rng = np.random.default_rng(4)
    views = [(rng.normal(size=(24, f)), rng.normal(size=(24, f))) for f in (5, 5000)]
    partition = partition_things(24)
    blocks = compare_blocks([a for a, _ in views], [b for _, b in views], partition)
    whole = sum(a @ b.T for a, b in views)
    expected = np.array([whole[np.ix_(part, part)] for part in partition])
    np.testing.assert_allclose(blocks, expected, atol=1e-10)


def test_centred_blocks_have_the_mean_and_variance_of_hoeffding() -> None:
    rng = np.random.default_rng(5)
    blocks = rng.normal(size=(3, 4, 4)) + rng.normal(size=(3, 4, 1))
    centred = centre_blocks(blocks)
    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(centred.sum(axis=2), 0, atol=1e-12)
    draws = np.array([rng.permutation(4) for _ in range(60_000)]).reshape(-1, 3, 4)
    sums = centred[np.arange(3)[:, None], np.arange(4), draws].sum(axis=(1, 2))
    assert sums.var() == pytest.approx(variance_of(centred), rel=0.05)


def test_pooled_layers_weigh_alike() -> None:
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=(2, 4, 8, 8))
    pooled = pool_blocks([one, 1000 * other, np.zeros((1, 8, 8))])
    assert variance_of(pooled) == pytest.approx(2)
    np.testing.assert_allclose(pooled[4:8], pool_blocks([other]), atol=1e-12)


def test_the_effect_size_is_a_mean_cosine() -> None:
    rows = unit_rows(np.random.default_rng(7).normal(size=(80, 4000)))
    partition = partition_things(80)
    assert effect_size(compare_blocks([rows] * 2, [rows] * 2, partition), 2) == pytest.approx(
        1, abs=0.01
    )
    assert effect_size(np.zeros((0, 8, 8)), 1) == 0
