# SPDX-License-Identifier: BSD-3-Clause
"""Coverings have every value, and every pair of values where pairs are asked for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coverings import covered, covering, device_grid, grid


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3))
def test_any_factors_take_every_combination(sizes: list[int], strength: int) -> None:
    rows = covering(sizes, strength)
    assert len(rows) == len(set(rows))
    for group in itertools.combinations(range(len(sizes)), min(strength, len(sizes))):
        combinations = {tuple(row[i] for i in group) for row in rows}
        assert combinations == set(itertools.product(*(range(sizes[i]) for i in group)))


def test_a_covering_is_much_smaller_than_the_product() -> None:
    assert len(covering([5, 3, 2], 1)) == 5
    assert 15 <= len(covering([5, 3, 2], 2)) <= 17
    assert 9 <= len(covering([3, 3, 3, 3], 2)) <= 15  # of 81


def test_values_are_in_equally_many_rows() -> None:
    rows = covering([12, 4], 1)
    assert len(rows) == 12
    assert all(sum(row[1] == value for row in rows) == 3 for value in range(4))


def test_a_grid_has_every_case_and_marks_the_rest_slow() -> None:
    mark = grid(shape=[(3, 2), (2, 3)], kind={"plain": 0, "scaled": 1, "turned": 2}).mark
    names, cases = mark.args
    assert names == ("shape", "kind")
    assert len(cases) == 6
    assert [case.id for case in cases][:2] == ["3x2-plain", "3x2-scaled"]
    short = [case for case in cases if not case.marks]
    assert len(short) == 3
    assert {case.values[0] for case in short} == {(3, 2), (2, 3)}
    assert {case.values[1] for case in short} == {0, 1, 2}
    assert all(case.marks in ((), (pytest.mark.slow,)) for case in cases)


def test_a_covered_test_has_the_covering_alone() -> None:
    mark = covered(
        shape=[(3, 2), (2, 3)], turned={"as it is": False, "turned": True}, k=[1, 2]
    ).mark
    names, cases = mark.args
    assert names == ("shape", "turned", "k")
    assert 4 <= len(cases) < 8
    assert "3x2-as it is-1" in [case.id for case in cases]
    assert all(case.marks == () for case in cases)
    for pair in itertools.combinations(range(3), 2):
        assert len({tuple(case.values[i] for i in pair) for case in cases}) == 4


def test_a_grid_of_devices_has_a_covering_of_pairs_on_the_slow_one() -> None:
    mark = device_grid(shape=[(3, 2), (2, 3), (4, 4)], kind=[0, 1], turned=[False, True]).mark
    names, cases = mark.args
    assert names == ("device", "shape", "kind", "turned")
    assert mark.kwargs == {"indirect": ["device"]}
    on_cuda = [case for case in cases if case.values[0] == "cuda:0"]
    assert len(cases) - len(on_cuda) == 12
    assert 6 <= len(on_cuda) <= 8
    for one, other in itertools.combinations((1, 2, 3), 2):
        pairs = {(case.values[one], case.values[other]) for case in on_cuda}
        assert len(pairs) == (6 if one == 1 else 4)
    assert all(pytest.mark.slow in case.marks for case in on_cuda)
    assert sum(not case.marks for case in cases) == 3
