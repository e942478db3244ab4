# SPDX-License-Identifier: BSD-3-Clause
"""Certified and sharp p-values against all permutations of a group."""

from __future__ import annotations

from itertools import permutations
from math import comb, factorial, log10

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sigmascope.provenance.lineages.blocks import compare_blocks, partition_things, prepare_rows
from sigmascope.provenance.lineages.tails import assess_blocks, log_normal_tail

Doubles = NDArray[np.float64]


def all_sums(blocks: Doubles) -> Doubles:
    """The statistic under every element of the group."""
    total = np.zeros(1)
    for block in blocks:
        places = range(len(block))
        sums = [block[places, list(order)].sum() for order in permutations(places)]
        total = np.add.outer(total, sums).ravel()
    return total


def exact_p(blocks: Doubles) -> float:
    statistic = np.trace(blocks, axis1=1, axis2=2).sum()
    return float(np.mean(all_sums(blocks) >= statistic - 1e-10))


@pytest.mark.parametrize(("size", "blocks"), [(2, 10), (3, 5), (4, 4)])
def test_the_bound_is_never_below_the_exact_p(size: int, blocks: int) -> None:
    """1,024 to 331,776 permutations; ties of every strength, also at the edge of the support."""
    rng = np.random.default_rng(size)
    for tie in (0, 0.3, 0.6, 1, 2, 5):
        for _ in range(3):
            similarities = rng.normal(size=(blocks, size, size)) + tie * np.eye(size)
            p, test = exact_p(similarities), assess_blocks(similarities)
            assert log10(p) <= test.log10_p + 1e-12
            assert test.log10_floor == pytest.approx(-blocks * log10(factorial(size)))
            assert test.log10_floor <= test.log10_p_sharp <= max(test.log10_p, 0)


def test_the_bound_is_never_below_the_exact_p_in_a_thousand_cases() -> None:
    """Sparse, rounded and heavy-tailed similarities, whose sums coincide or have few values."""
    rng = np.random.default_rng(11)
    for case in range(1000):
        similarities = rng.standard_t(2, size=(2, 4, 4)) + rng.choice([0, 0.5, 2]) * np.eye(4)
        if case % 3 == 1:
            similarities = np.round(similarities)
        elif case % 3 == 2:
            similarities *= rng.random(similarities.shape) < 0.3
        assert log10(exact_p(similarities)) <= assess_blocks(similarities).log10_p + 1e-12


@pytest.mark.parametrize("tie", [-0.5, -0.1, 0, 0.1, 0.3, 0.6, 0.9])
def test_the_sharp_p_is_near_the_exact_p(tie: float) -> None:
    """4! to the power of 4 permutations: within a tenth, or .02, while above 1e-4."""
    rng = np.random.default_rng(round(10 * tie) + 50)
    for _ in range(4):
        similarities = rng.normal(size=(4, 4, 4)) + tie * np.eye(4)
        p, test = exact_p(similarities), assess_blocks(similarities)
        if p > 1e-4:
            assert 10**test.log10_p_sharp == pytest.approx(p, rel=0.15, abs=0.02)


def test_the_sharp_p_is_right_in_the_middle() -> None:
    """Near s = 0 both terms of the formula diverge: their difference has a limit."""
    similarities = np.random.default_rng(0).normal(size=(40, 8, 8))
    centred = similarities - np.trace(similarities, axis1=1, axis2=2).sum() / 320 * np.eye(8)
    for shift in (-1e-3, -1e-5, 0, 1e-9, 1e-5, 1e-3):
        test = assess_blocks(centred + shift * np.eye(8))
        assert 10**test.log10_p_sharp == pytest.approx(stats.norm.sf(test.z), abs=0.01)


def test_blocks_of_two_are_fair_coins() -> None:
    """Equal differences make the statistic binomial; the exact tail is known."""
    heads = 70
    signs = np.where(np.arange(100) < heads, 1.0, -1.0)[:, None, None]
    test = assess_blocks(signs * np.eye(2))
    exact = stats.binom.sf(heads - 1, 100, 0.5)
    assert log10(exact) <= test.log10_p <= log10(exact) + 1.5
    chernoff = 100 * (0.7 * np.log(1.4) + 0.3 * np.log(0.6)) / np.log(10)
    assert test.log10_p == pytest.approx(-chernoff, abs=1e-6)
    assert comb(100, heads) > 0


def test_identical_things_reach_the_floor_and_no_more() -> None:
    """A normal p would be exp(-2e4) here."""
    rows = prepare_rows(np.random.default_rng(1).normal(size=(256, 64)))
    test = assess_blocks(compare_blocks([rows], [rows], partition_things(256)))
    assert test.log10_p == pytest.approx(test.log10_floor, abs=1e-6)
    assert test.log10_p >= test.log10_floor
    assert test.log10_p_sharp >= test.log10_floor
    assert test.rho == pytest.approx(1, abs=0.01)


def test_ties_are_not_counted_as_evidence() -> None:
    """Equal things permute without effect: one block of 8 equal pairs has p = 1."""
    test = assess_blocks(np.ones((5, 8, 8)))
    assert test.log10_p == test.log10_p_sharp == test.z == 0
    halves = np.kron(np.eye(2), np.ones((4, 4)))[None]
    assert assess_blocks(halves).log10_p >= log10(24 * 24 / 40320) - 1e-9


def test_dissimilar_things_are_not_evidence() -> None:
    test = assess_blocks(-np.eye(8)[None].repeat(20, axis=0))
    assert test.log10_p == 0
    assert test.z < 0
    assert assess_blocks(np.zeros((0, 8, 8))).log10_p == 0


def test_certified_tails_hold_in_one_block_among_noise() -> None:
    """Blocks of very different sizes limit the tilt: the bound stays finite and valid."""
    rng = np.random.default_rng(2)
    noise = 1e-4 * rng.normal(size=(500, 8, 8))
    test = assess_blocks(np.concatenate([np.eye(8)[None], noise]))
    assert -log10(40320) - 1.5 < test.log10_p < -3


def sampled_p(blocks: Doubles, draws: int, seed: int) -> float:
    """P(T ≥ t) in the far tail, by importance sampling of tilted permutations of blocks of 4."""
    orders = np.array(list(permutations(range(4))))
    sums = np.stack([blocks[:, range(4), order].sum(axis=1) for order in orders], axis=1)
    statistic = np.trace(blocks, axis1=1, axis2=2).sum()
    low, high = 0.0, 300.0
    for _ in range(80):
        s = (low + high) / 2
        weights = np.exp(s * (sums - sums.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        low, high = (s, high) if (weights * sums).sum() < statistic else (low, s)
    largest = (s * sums).max(axis=1, keepdims=True)
    cumulant = (np.log(np.exp(s * sums - largest).mean(axis=1)) + largest[:, 0]).sum()
    rng, total = np.random.default_rng(seed), np.zeros(draws)
    for values, chances in zip(sums, weights, strict=True):
        total += rng.choice(values, draws, p=chances)
    excess = total[total >= statistic - 1e-9] - statistic
    mean = np.exp(-s * excess).sum() / draws
    return float((cumulant - s * statistic + np.log(mean)) / np.log(10))


@pytest.mark.parametrize("tie", [0.1, 0.2, 0.35])
def test_far_tails_are_those_of_importance_sampling(tie: float) -> None:
    """From 1e-3 to 1e-30: the sharp value within .05 decades, the bound above the truth."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(256, 32))
    others = tie * rows + np.sqrt(1 - tie**2) * rng.normal(size=rows.shape)
    views = [prepare_rows(rows)], [prepare_rows(others)]
    blocks = compare_blocks(*views, partition_things(256, 4))
    truth, test = sampled_p(blocks, 20_000, 4), assess_blocks(blocks)
    assert test.log10_p_sharp == pytest.approx(truth, abs=0.05)
    assert truth < test.log10_p < truth + 2


def test_the_normal_tail_is_right_where_probabilities_underflow() -> None:
    for w in (-3, 0, 1, 8, 29.9, 30.1, 60, 1000):
        assert log_normal_tail(w) == pytest.approx(stats.norm.logsf(w), rel=1e-9, abs=1e-12)
