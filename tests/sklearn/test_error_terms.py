# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of variances of scores, in a case where no other hides it.

Scores are given, and not computed of rows, so that every length, mean and angle is a known number.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scikit-learn is the extra `sklearn`")

from sigmascope.sklearn.score_variances import ColumnStatistics, score_variances

Array = NDArray[np.float64]

ROWS, COLUMNS = 4, 8


def error_of(
    scores: list[float], *, mean: float = 0.0, s: float = 0.0, error: float = 0.0, sine: float = 0.0
) -> float:
    """Return the error of the variance of one score, of rows with one mean in every column.

    `s`: the singular value; the length of the scores if 0. The rows have a norm of 64.
    """
    T = np.array(scores)[:, None]
    value = s or float(np.linalg.norm(T))
    means = np.full(COLUMNS, mean)
    columns = ColumnStatistics(ROWS, means, 64.0**2 / ROWS - float(means @ means))
    variances, errors = score_variances(
        T, columns, np.array([value]), np.array([error]), np.array([sine])
    )
    assert variances[0] == np.var(scores)
    return float(errors[0])


ROUNDING = (COLUMNS + 64) * 2.0**-53 * 64
"""Bound on the rounding of the products of unit vectors with rows of that norm."""


def test_scores_of_a_length_that_is_not_the_value_have_another_variance() -> None:
    """Scores of length 4 belong to a vector whose exact scores have length 6, or 5 +- 1."""
    centred = [2.0, 2.0, -2.0, -2.0]
    assert error_of(centred, s=6.0) == pytest.approx((6**2 - 4**2) / ROWS, rel=1e-12)
    both = error_of(centred, s=5.0, error=1.0)
    assert both == pytest.approx((6**2 - 4**2) / ROWS, rel=1e-12)


def test_variances_have_the_rounding_of_scores() -> None:
    """The length may be off by the rounding, and the sum of squares by twice that, times it."""
    error = error_of([2.0, 2.0, -2.0, -2.0])
    assert error == pytest.approx(2 * 4 * ROUNDING / ROWS, rel=1e-9, abs=0)


def test_variances_have_the_rounding_of_the_means_of_scores() -> None:
    """Scores that are all 2 have it twice: in their squares, and in the square of their mean."""
    error = error_of([2.0, 2.0, 2.0, 2.0])
    squares, means = 2 * 4 * ROUNDING / ROWS, 2 * 2 * ROUNDING / math.sqrt(ROWS)
    assert squares == means
    assert error == pytest.approx(squares + means, rel=1e-9, abs=0)


def test_vectors_that_turn_have_scores_of_another_mean() -> None:
    """The mean of exact scores may be as far from 0 as the means of the rows along the turn."""
    error, sine = error_of([2.0, 2.0, -2.0, -2.0], mean=3.0, sine=0.1), 0.1
    length = 3.0 * math.sqrt(COLUMNS)
    turned = length * 2 * math.sin(math.asin(sine) / 2)  # |v - v'| times the norm of the means
    assert turned**2 <= error <= 2.01 * turned**2


def test_the_sum_of_the_variances_has_the_rounding_of_sums_and_of_means() -> None:
    """Rows without means have that of sums; large means have that of differences, and their own."""
    unit, rows = 2.0**-53, 1024
    sums = 2 * rows * unit

    def error_with(mean: float) -> float:
        return ColumnStatistics(rows, np.full(4, mean), 1.0).total_error

    assert error_with(0.0) == pytest.approx(sums + 4 * unit, rel=1e-9, abs=0)
    moderate = sums + 4 * unit * 2.0**11
    assert error_with(2.0**10) == pytest.approx(moderate, rel=1e-3, abs=0)
    large = sums + 4 * unit * 2.0**41 + sums**2 * 2.0**82
    assert error_with(2.0**40) == pytest.approx(large, rel=1e-9, abs=0)
    assert sums**2 * 2.0**82 > 0.1 * large
