# SPDX-License-Identifier: BSD-3-Clause
"""Cumulant functions against all permutations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.provenance.lineages.permanents import cumulants, largest_tilt


def sums_over_permutations(block: NDArray[np.float64]) -> NDArray[np.float64]:
    size = len(block)
    return np.array([block[range(size), list(order)].sum() for order in permutations(range(size))])


def cumulants_by_hand(blocks: NDArray[np.float64], s: float) -> tuple[float, float, float]:
    value = mean = variance = 0.0
    for block in blocks:
        sums = sums_over_permutations(block)
        weights = np.exp(s * sums - (s * sums).max())
        value += np.log(weights.mean()) + (s * sums).max()
        weights /= weights.sum()
        middle = float(weights @ sums)
        mean += middle
        variance += float(weights @ (sums - middle) ** 2)
    return value, mean, variance


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("s", [-3.0, -0.1, 0.0, 0.7, 4.0])
def test_cumulants_are_those_of_all_permutations(size: int, s: float) -> None:
    blocks = np.random.default_rng(size).normal(size=(5, size, size))
    np.testing.assert_allclose(
        cumulants(blocks, s), cumulants_by_hand(blocks, s), rtol=1e-9, atol=1e-9
    )


def test_cumulants_of_blocks_of_8_are_those_of_all_permutations() -> None:
    blocks = np.random.default_rng(8).normal(size=(1, 8, 8))
    np.testing.assert_allclose(cumulants(blocks, 1.3), cumulants_by_hand(blocks, 1.3), rtol=1e-9)


def test_cumulants_do_not_depend_on_the_order_of_things_or_blocks() -> None:
    """K must be one function on the whole orbit, or the bound is not valid."""
    rng = np.random.default_rng(9)
    blocks = rng.normal(size=(300, 8, 8))
    expected = cumulants(blocks, 0.8)
    moved = blocks[rng.permutation(300)][:, rng.permutation(8)][:, :, rng.permutation(8)]
    np.testing.assert_allclose(cumulants(moved, 0.8), expected, rtol=1e-11)
    np.testing.assert_allclose(cumulants(blocks.transpose(0, 2, 1), 0.8), expected, rtol=1e-11)


def test_a_shift_of_a_row_moves_the_mean_alone() -> None:
    blocks = np.random.default_rng(10).normal(size=(4, 8, 8))
    shifted = blocks.copy()
    shifted[:, 2] += 5
    one, other = cumulants(blocks, 0.5), cumulants(shifted, 0.5)
    assert other.value == pytest.approx(one.value + 4 * 0.5 * 5)
    assert other.mean == pytest.approx(one.mean + 4 * 5)
    assert other.variance == pytest.approx(one.variance)


def test_no_permanent_underflows_at_the_largest_tilt() -> None:
    """All rows prefer one column: each permutation loses nearly the whole spread of 7 rows."""
    block = np.zeros((1, 8, 8))
    block[:, :, 0] = 1
    s = largest_tilt(block)
    assert s == pytest.approx(85)
    value = cumulants(block, s).value
    assert np.isfinite(value)
    assert value == pytest.approx(s, rel=1e-12)  # every permutation has the sum 1
    assert largest_tilt(np.zeros((3, 8, 8))) == 0 == largest_tilt(np.zeros((0, 8, 8)))
