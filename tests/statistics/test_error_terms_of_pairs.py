# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of pairs and of updates, in a case where no other term hides it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.spectra import Measure
from sigmascope.spectra.statistics import pairs, updates
from sigmascope.spectra.statistics.updates import Directions

Array = NDArray[np.float64]

SUMS = 2.0**-44
"""Error of a sum over the entries of two matrices, relative to both norms."""


# -------------------------------------------------------------------------- pairs: the sums


def required(measure: Measure | None) -> Measure:
    assert measure is not None
    return measure


@pytest.mark.parametrize("rounding", [0.0, SUMS, 2.0**-20])
def test_a_relative_change_has_the_rounding_of_norms_and_of_the_change(rounding: float) -> None:
    result = required(pairs.relative_change(4.0, 1.0, rounding))
    assert result.error == (SUMS + rounding) * 0.5


@pytest.mark.parametrize("rounding", [0.0, SUMS, 2.0**-20])
def test_a_decay_has_the_rounding_of_its_sum_and_of_the_change(rounding: float) -> None:
    """A sum that is off by a share of both norms moves the coefficient by that of their ratio."""
    result = required(pairs.decay_coefficient(16.0, 4.0, 2.0, rounding))
    assert result.error == (SUMS + rounding) * 0.5


def test_a_cosine_has_the_rounding_of_three_sums() -> None:
    """All sums of W = (1, 0) and dW = (0, 1) are off by as much as they may be."""
    result = required(pairs.cosine(1.0, 1.0, 0.0))
    off = 1e6 * SUMS  # so that float64 tells cosines apart
    moved = required(pairs.cosine(1.0 + off, 1.0 - off, off)).value - result.value
    assert abs(moved) / 1e6 <= result.error <= 5 * abs(moved) / 1e6


def test_a_cosine_has_the_rounding_of_the_change() -> None:
    """The change (0, 1) of W = (1, 0) becomes longer, shorter, and turned."""
    result = required(pairs.cosine(1.0, 1.0, 0.0, 2.0**-20))
    off = 2.0**-20
    ends = ((off, 1.0), (-off, 1.0), (0.0, 1 + off), (0.0, 1 - off))
    moved = [abs((1 + x) / math.hypot(1 + x, y) - math.sqrt(0.5)) for x, y in ends]
    assert max(moved) <= result.error <= 4.01 * max(moved)


def test_a_scale_of_values_has_the_errors_of_both_lists_in_every_product() -> None:
    """The lists have norms of 5 and 13, and may be off by 1/2 and 1 in that norm."""
    before = updates.Values(np.array([4.0, 3.0]), np.array([0.3, 0.4]))
    after = updates.Values(np.array([12.0, 5.0]), np.array([0.6, 0.8]))
    result = updates.spectral_scale(before, after)
    scale, of_both, of_before = 63 / 25, 5 * 1 + 13 / 2 + 1 / 2, 2 * 5 / 2 + 1 / 4
    most = (of_both + scale * of_before) / 4.5**2
    assert result["spectral_scale"].error == pytest.approx(most, rel=1e-12)
    angles = math.asin(0.1) + math.asin(1 / 13)
    assert result["spectral_scale_spread"].error == pytest.approx(angles, rel=1e-12)


def test_shares_in_subspaces_have_the_errors_of_their_spans() -> None:
    """Half of the change is in each span, and a quarter in both."""
    half = np.array([[math.sqrt(0.5)]])
    result = updates.shares_in_subspaces((half, half, half**2), 1.0, (2, 2), (0.1, 0.2))
    assert result is not None
    for share, part, sine in zip(result[:3], (0.5, 0.5, 0.25), (0.1, 0.2, 0.1 + 0.2), strict=True):
        assert share.value == pytest.approx(part, rel=1e-12)
        most = 2 * math.sqrt(part) * sine + sine**2
        assert share.error == pytest.approx(most, rel=1e-12)


# ------------------------------------------------------------------ pairs: vectors and spans


def test_a_vector_has_the_rounding_of_its_residual() -> None:
    """A residual of zero is known to the rounding of products only."""
    zero, rounding = np.zeros(4), 2.0**-10
    values = np.array([16.0, 8.0, 6.0, 2.0])
    gaps = np.array([8.0, 2.0, 2.0])  # to the nearest other value
    sines = updates.vector_errors(values, zero, zero, rounding)
    np.testing.assert_allclose(sines, math.sqrt(2) * rounding / gaps, rtol=1e-14)
    spans = pairs.subspace_errors(values, zero, zero, rounding)
    sizes = rounding * np.sqrt([1, 2, 3]) / [8.0, 2.0, 4.0]
    np.testing.assert_allclose(spans, sizes, rtol=1e-14)


@pytest.mark.parametrize("angle", [0.05, 0.1, 0.2])
def test_a_vector_may_turn_towards_a_next_value_that_is_larger_than_its_estimate(
    angle: float,
) -> None:
    """The values of the matrix are 4 and 3; the second was estimated as 2, with an error of 1."""
    A, v = np.diag([4.0, 3.0]), np.array([math.cos(angle), math.sin(angle)])
    value = float(v @ A @ v)
    residual = float(np.linalg.norm(A @ v - value * v))
    known = np.array([value, 2.0]), np.array([4 - value, 1.0]), np.array([residual, 0.0])
    for bounds in (updates.vector_errors(*known, 0.0), pairs.subspace_errors(*known, 0.0)):
        assert math.sin(angle) <= float(bounds[0]) <= 1.6 * math.sin(angle)


@pytest.mark.parametrize("angle", [0.05, 0.1, 0.2])
def test_a_vector_may_turn_towards_a_value_above_that_is_smaller_than_its_estimate(
    angle: float,
) -> None:
    """The values of the matrix are 4, 3 and 0; the first was estimated as 5, with an error of 1."""
    A, v = np.diag([4.0, 3.0, 0.0]), np.array([-math.sin(angle), math.cos(angle), 0.0])
    value = float(v @ A @ v)
    residual = float(np.linalg.norm(A @ v - value * v))
    bounds = updates.vector_errors(
        np.array([5.0, value, 0.0]),
        np.array([1.0, value - 3, 0.0]),
        np.array([0, residual, 0]),
        0.0,
    )
    assert math.sin(angle) <= float(bounds[1]) <= 1.6 * math.sin(angle)


def directions(vectors: Array, error: float = 0.0, span: float = 0.0) -> Directions:
    k = vectors.shape[1]
    return Directions(vectors, np.arange(k, 0, -1.0), np.full(k, error), span)


def intruders(before: Directions, after: Directions) -> tuple[int, int]:
    result = updates.intruders(before, after, before.vectors.T @ after.vectors)
    return result.new, result.undecided


def test_a_mixture_is_undecided_where_vectors_may_be_nearer_than_they_seem() -> None:
    """The mean of five directions has a cosine of 0.45 with each, and 0.53 after a turn of 0.1."""
    eye, mean = np.eye(5), np.full((5, 1), 1 / math.sqrt(5))
    assert math.cos(math.acos(1 / math.sqrt(5)) - 0.1) > updates.INTRUDER
    sine = math.sin(0.1)
    assert intruders(directions(eye), directions(mean)) == (1, 0)
    assert intruders(directions(eye, sine), directions(mean)) == (0, 1)
    assert intruders(directions(eye), directions(mean, sine)) == (0, 1)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_direction_is_undecided_where_the_span_may_be_further_than_it_seems(side: str) -> None:
    """A part of 0.48 is outside the span of five directions: 0.52 if that is off by 0.05."""
    inside = math.sqrt((1 - 0.48**2) / 5)
    new = np.array([[inside] * 5 + [0.48]]).T
    known, sine = np.eye(6)[:, :5], math.sin(0.05)
    assert math.cos(math.acos(inside) - 0.05) < updates.INTRUDER
    assert math.sin(math.asin(0.48) + 0.05) > updates.INTRUDER
    assert intruders(directions(known), directions(new)) == (1, 0)
    before = directions(known, span=sine if side == "before" else 0.0)
    after = directions(new, sine if side == "after" else 0.0)
    assert intruders(before, after) == (0, 1)
