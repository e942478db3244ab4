# SPDX-License-Identifier: BSD-3-Clause
"""Sums without an order: against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmascope.streaming.exact_sum import ExactSum

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=6), st.data())
def test_a_sum_with_remainders_is_rounded_once_per_grid(
    terms: list[list[float]], data: st.DataObject
) -> None:
    """In any order, and split in two: the same bits, near the exact sum."""
    straight = ExactSum((3,), keep_remainder=True)
    for term in terms:
        straight.add(np.array(term))
    halves = [ExactSum((3,), keep_remainder=True), ExactSum((3,), keep_remainder=True)]
    for term in data.draw(st.permutations(terms)):
        halves[data.draw(st.integers(0, 1))].add(np.array(term))
    halves[0].merge(halves[1])
    value = straight.value()
    assert value.tobytes() == halves[0].value().tobytes()
    largest = max(abs(Fraction(x)) for term in terms for x in term)
    for i in range(3):
        exact = sum(Fraction(term[i]) for term in terms)
        size = sum(abs(Fraction(term[i])) for term in terms)
        assert (
            abs(Fraction(value[i]) - exact)
            <= (size + largest * Fraction(2) ** -950) * Fraction(2) ** -52
        )


@pytest.mark.parametrize("exponent", [-1060, -900, -300, 0, 300, 900, 1000])
@pytest.mark.parametrize("keep", [False, True])
def test_terms_of_any_magnitude(exponent: int, keep: bool) -> None:
    term = np.ldexp(np.array([[1.0, -0.75], [2.0**-12, 0.0]]), exponent)
    held = ExactSum((2, 2), keep_remainder=keep)
    for _ in range(5):
        held.add(term)
    np.testing.assert_array_equal(held.value(), 5 * term)
    for _ in range(5):
        held.add(-term)
    np.testing.assert_array_equal(held.value(), np.zeros((2, 2)))


def test_small_beside_large() -> None:
    """65 bits below the largest entry of a term, or all of it."""
    term = np.array([1.0, 2.0**-60, 2.0**-200])
    rounded, kept = ExactSum((3,)), ExactSum((3,), keep_remainder=True)
    for held in (rounded, kept):
        held.add(term)
    np.testing.assert_array_equal(rounded.value(), [1.0, 2.0**-60, 0.0])
    np.testing.assert_array_equal(kept.value(), term)


def test_rows_alone() -> None:
    held = ExactSum((5, 2))
    held.add(np.ones((2, 2)), first_row=3)
    held.add(np.full((3, 2), 0.5))
    np.testing.assert_array_equal(held.value()[:, 1], [0.5, 0.5, 0.5, 1.0, 1.0])
    assert ExactSum(()).value() == 0.0
