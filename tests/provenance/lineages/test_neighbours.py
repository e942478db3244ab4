# SPDX-License-Identifier: BSD-3-Clause
"""Nearest neighbours in place, against all permutations and against Poisson's law."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from sigmascope.provenance.lineages.neighbours import count_neighbours_in_place, log10_p_of_counts


def test_only_a_single_largest_entry_on_the_diagonal_counts() -> None:
    similarities = np.array([[2.0, 1, 0], [0, 1, 1], [5, 0, 1]])
    assert count_neighbours_in_place(similarities) == 1
    assert count_neighbours_in_place(np.zeros((4, 4))) == 0
    assert count_neighbours_in_place(np.zeros((0, 0))) == 0
    assert count_neighbours_in_place(np.eye(5)) == 5


def test_the_bound_holds_for_every_map_and_every_count() -> None:
    """All 256 maps of 4 units, and all 24 permutations: also maps with one favourite."""
    orders = np.array(list(permutations(range(4))))
    for chosen in product(range(4), repeat=4):
        counts = (orders == np.array(chosen)).sum(axis=1)
        for k in range(5):
            assert np.mean(counts >= k) <= 10 ** log10_p_of_counts([k]) + 1e-12


def test_the_bound_over_layers_holds_for_random_maps() -> None:
    """Three layers of 6 units; maps with favourites make the counts of one layer vary most."""
    rng = np.random.default_rng(0)
    orders = np.array(list(permutations(range(6))))
    for favourites in (6, 3, 1):
        counts = np.zeros(1, int)
        for _ in range(3):
            chosen = rng.integers(0, favourites, 6)
            counts = np.add.outer(counts, (orders == chosen).sum(axis=1)).ravel()[:: 720 // 90]
        for k in range(1, 12):
            bound = 10 ** log10_p_of_counts([k, 0, 0])
            assert np.mean(counts >= k) <= bound + 3 * np.sqrt(bound / len(counts))


def test_more_neighbours_are_stronger_evidence() -> None:
    p = [log10_p_of_counts([k, k]) for k in range(40)]
    assert p[0] == p[1] == 0
    assert np.all(np.diff(p[1:]) < 0)
    assert log10_p_of_counts([128]) == pytest.approx(-215.6, abs=0.1)
