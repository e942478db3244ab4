# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of an approximation of low rank, where no other term hides it.

The matrices are diagonal or of equal entries, so that their singular values are known exactly, and
the terms are multiples of the rounding of float64. The errors of squared norms are what is summed:
a norm r with error e has the squared error 2 r e.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.analysis.approximation import projection
from sigmascope.analysis.approximation.remaining import by_entries
from sigmascope.results import Measure
from sigmascope.streaming import GramAccumulator

Array = NDArray[np.float64]

UNIT = 2.0**-53
"""Rounding of float64."""

PRODUCT = 84 * UNIT
"""Relative error of the product of a matrix of up to 512 columns, in sums of 80 additions."""


def diagonal(*values: float, columns: int = 0) -> Array:
    """Return the diagonal matrix, with columns of zeros up to the given number."""
    return np.hstack([np.diag(values), np.zeros((len(values), max(columns - len(values), 0)))])


def squared_error(measure: Measure) -> float:
    """Return the error of the square of a number, whose own error is far smaller."""
    assert measure.error < 1e-6 * measure.value
    return 2 * measure.value * measure.error


def of_equal_values(shape: tuple[int, int]) -> Array:
    """Return the matrix of entries 1, of rank one, in its first row alone."""
    A = np.zeros(shape)
    A[0] = 1.0
    return A


def test_what_remains_may_be_off_by_the_norm_of_the_matrix() -> None:
    """Two of 256 equal values are in the factors, so that all products are small."""
    error = squared_error(ss.low_rank(np.eye(256), 1).remaining)
    assert 64 * UNIT * 256 <= error <= 2 * 64 * UNIT * 256


def test_what_remains_may_be_off_by_the_product_with_many_vectors() -> None:
    """Their norm is 4, and 15 is the squared norm of the matrix and of its approximation."""
    error = squared_error(ss.low_rank(diagonal(*[1.0] * 15, 0.125, 0.125), 15).remaining)
    of_product = 2 * PRODUCT * 15 * 4
    assert of_product <= error <= 2 * of_product


def test_what_remains_may_be_off_by_every_sum_at_once() -> None:
    """The norm is 1, and nearly all of it is in the first of the two triplets.

    It errs by itself, by the product with two vectors, by three sums over rows and by those of Gram
    matrices.
    """
    error = squared_error(ss.low_rank(diagonal(1.0, 2.0**-8, 2.0**-8), 1).remaining)
    norm, of_product, rows, gram = 64 * UNIT, 2 * PRODUCT * np.sqrt(2.0), 3 * 64 * UNIT, 10 * UNIT
    assert error == pytest.approx(norm + of_product + rows + gram, rel=0.01, abs=0)


def test_what_remains_may_be_off_by_the_gram_matrix_of_long_vectors() -> None:
    """The two vectors have 4096 entries, and their products are said to be summed one by one."""
    error = squared_error(ss.low_rank(diagonal(1.0, 2.0**-3, 2.0**-3, columns=4096), 1).remaining)
    of_gram = 2 * 4098 * UNIT
    assert of_gram <= error <= 1.2 * of_gram


def test_entries_may_be_off_by_their_terms() -> None:
    """Nothing remains of a product with powers of two, whose factors have been multiplied.

    Five roundings of the matrix and of its approximation, and four of the approximation.
    """
    approximation = ss.low_rank(diagonal(1.0, 0.0), 1, weight=np.eye(2))
    assert approximation.remaining.value == 0.0
    assert approximation.remaining.error == pytest.approx((5 * 2 + 4) * UNIT, rel=1e-6, abs=0)
    assert approximation.spectral_bound == approximation.remaining.error
    assert approximation.errors[0] == approximation.remaining.error


def test_nothing_may_remain_of_what_entries_cannot_tell_from_zero() -> None:
    """Two triplets are known, and the second is zero: six roundings of two norms, 1 and sqrt(2)."""
    approximation = ss.low_rank(diagonal(1.0, 0.0), 1)
    least = 6 * (1 + np.sqrt(2.0)) * UNIT
    assert approximation.remaining.value == 0.0
    assert approximation.remaining.error == pytest.approx(least, rel=1e-6, abs=0)
    assert approximation.spectral_bound == approximation.remaining.error


def test_entries_may_be_off_by_the_sum_of_their_squares() -> None:
    """Private: no call sums entries that are not small, of which the sum is the largest error."""
    A = np.eye(16)
    remaining = by_entries(ss.matrix(A), np.zeros((16, 1)), np.eye(1, 16), 4.0, 1)
    assert remaining.value == 4.0
    assert remaining.error == pytest.approx((5 + 32) * UNIT * 4, rel=1e-6, abs=0)


def test_what_remains_may_be_smaller_than_the_root_of_its_square() -> None:
    """The side below is the wider one, since the root is steeper there."""
    value = 2.0**-45
    remaining = ss.low_rank(diagonal(1.0, value), 1).remaining
    assert remaining.value == pytest.approx(value)
    error = remaining.value**2 - (remaining.value - remaining.error) ** 2
    of_product = 2 * value * PRODUCT * np.sqrt(2.0)
    assert of_product <= error <= 1.1 * of_product


@pytest.mark.parametrize(
    ("part", "tail", "of_sum"), [("largest", 2.0**-3, 2.0**-3), ("smallest", 1.0, 1.0)]
)
def test_values_left_out_may_be_off_by_their_product_and_by_their_sum(
    part: str, tail: float, of_sum: float
) -> None:
    """All values are known; `tail` is the one left out, and the sum counts where it is large."""
    remaining = ss.low_rank(diagonal(1.0, 2.0**-3), 1, part=part).remaining
    assert remaining.value == pytest.approx(tail)
    least = PRODUCT * np.sqrt(2.0) + 64 * UNIT * of_sum
    assert 0.99 * least <= remaining.error <= 1.1 * least


@pytest.mark.parametrize(
    ("of_product", "left", "right", "least"),
    [(1.25, 1.0, 1.0, 0.25), (1.0, 0.5, 1.0, 0.75 * 2**0.5), (1.0, 1.0, 0.5, 0.75 * 2**0.5)],
)
def test_a_defect_has_the_product_and_the_norm_of_each_vector(
    of_product: float, left: float, right: float, least: float
) -> None:
    """Private: by calls all three are below the rounding of the product. Two values are 1."""
    Y, U, Vt = (np.diag([1.0, last]) for last in (of_product * left, left, right))
    assert projection._defect(Y, U, np.ones(2), Vt, 1.0) == pytest.approx(least, rel=1e-9)


def test_the_values_of_a_projection_may_be_off_by_their_distance_from_those_of_the_search() -> None:
    """A search in float32, whose values are those of a product that float64 repeats."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((size, 6)))[0] for size in (300, 200))
    A = (U * np.arange(7.0, 1.0, -1.0)) @ V.T + 1e-3 * rng.standard_normal((300, 200))
    approximation = ss.low_rank(A, 3, precision="float32")
    search = ss.svds(A, 4, precision="float32")
    distance = np.abs(approximation.s - search.s[:3])
    assert np.any(distance > 1e-3 * search.errors[:3])
    np.testing.assert_allclose(approximation.errors, search.errors[:3] + distance, rtol=1e-9)


def test_a_truncated_product_may_be_off_by_its_vectors_and_by_its_values() -> None:
    """All triplets are in the approximation, so that nothing remains but their errors."""
    rng = np.random.default_rng(0)
    product = ss.LowRank(rng.standard_normal((3, 2)), rng.standard_normal((2, 3)))
    remaining, svd = ss.low_rank(product, 2).remaining, product.svd()
    of_vectors, of_values = np.linalg.norm(svd.residuals), svd.errors.max()
    assert of_vectors > 1e-3 * of_values
    assert remaining.value == 0.0
    assert remaining.error == pytest.approx(of_vectors + of_values, rel=1e-9, abs=0)


def test_the_least_error_of_a_rank_may_be_smaller_by_the_rounding_of_the_norm() -> None:
    """The identity of order two has about as much of it by its value as by its norm."""
    approximation = ss.low_rank(ss.LowRank(np.eye(2), np.eye(2)), 1)
    of_norm, of_value = 4 * 32 * UNIT, approximation.errors[0]
    assert 1.0 - approximation.least == pytest.approx(of_norm + of_value, rel=0.02, abs=0)


def test_a_spectral_bound_has_the_error_of_its_value_and_twice_the_defect() -> None:
    """Two values of 1/8 are left, of which the Frobenius norm is larger."""
    product = ss.LowRank(np.eye(3), diagonal(1.0, 0.125, 0.125))
    approximation, error = ss.low_rank(product, 1), product.svd().errors[0]
    assert approximation.spectral_evidence.startswith("value 2 of the search")
    assert approximation.spectral_bound - 0.125 == pytest.approx(3 * error, rel=0.02, abs=0)


@pytest.mark.parametrize(("columns", "least"), [(2, 84), (256, 256)])
def test_a_weighted_error_is_that_of_the_product_and_of_the_factors(
    columns: int, least: int
) -> None:
    """Nothing remains; the product decides of few columns, the sums of the factors of many."""
    A = of_equal_values((2, columns))
    weighted = ss.low_rank(A, 1, weight=np.eye(columns)).weighted
    assert weighted is not None
    size = np.linalg.norm(A) * np.sqrt(columns)
    assert weighted.value <= weighted.error
    assert least * size * UNIT <= weighted.error <= 1.4 * least * size * UNIT


@pytest.mark.parametrize("eigenvalue", [4 * UNIT, -(2.0**-30)])
def test_a_weighted_error_has_the_part_of_the_weight_that_may_be_rounding(
    eigenvalue: float,
) -> None:
    """Eigenvalues below four roundings for each of two columns, and below 0, are left out.

    The row that it belongs to is not in the approximation: what is said to be 0 is its root.
    """
    weighted = ss.low_rank(np.eye(2), 1, weight=diagonal(1.0, eigenvalue)).weighted
    assert weighted is not None
    assert weighted.value < 1e-15
    error2 = weighted.error**2
    least = 2 * max(8 * UNIT, -eigenvalue)
    assert 0.999 * least <= error2 <= 1.01 * least


def test_a_weighted_error_has_the_part_that_sums_of_activations_cannot_tell_from_zero() -> None:
    """The second column has the eigenvalue 2^-48, below 4e-14 of the first."""
    activations = GramAccumulator(2).update(diagonal(1.0, 2.0**-24))
    weighted = ss.low_rank(np.eye(2), 1, weight=activations).weighted
    assert weighted is not None
    assert weighted.value < 1e-15
    assert 2.0**-24 <= np.sqrt(8e-14) <= weighted.error <= 1.01 * np.sqrt(8e-14)


def test_a_weighted_error_is_wider_below() -> None:
    """The side below is the wider one; the part that may be rounding is half of the value."""
    weighted = ss.low_rank(np.eye(2), 1, weight=diagonal(1.0, 64 * UNIT)).weighted
    assert weighted is not None
    assert weighted.value == pytest.approx(np.sqrt(64 * UNIT))
    beyond2 = weighted.value**2 - (weighted.value - weighted.error) ** 2
    assert 16 * UNIT <= beyond2 <= 1.1 * 16 * UNIT


@pytest.mark.parametrize(
    "rest", [0.6, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.7, 0.9))]
)
def test_what_many_rows_leave_is_within_its_error(rest: float) -> None:
    """Sums of 300,000 equal squares, one after the other, are off by hundreds of roundings."""
    rows = 300_000
    A = np.stack([np.where(np.arange(rows) % 2, -1.0, 1.0), np.full(rows, rest)], axis=1)
    approximation = ss.low_rank(A, 1, weight=np.eye(2))
    weighted, truth = approximation.weighted, np.longdouble(rest) * np.sqrt(np.longdouble(rows))
    assert weighted is not None
    assert abs(weighted.value - truth) <= weighted.error <= 300 * UNIT * np.linalg.norm(A)
    norm = np.sqrt((1 + np.longdouble(rest) ** 2) * rows)
    assert approximation.weighted_norm is not None
    assert abs(approximation.weighted_norm - norm) <= 32 * UNIT * norm
