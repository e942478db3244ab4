# SPDX-License-Identifier: BSD-3-Clause
"""Distributions against mpmath in their tails, against SciPy elsewhere, and by their symmetries.

The numbers of mpmath 1.3 have 17 digits, from sums of binomial terms and from the regularised
incomplete beta function with 400 digits.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from sigmascope._distributions import (
    binomial_at_least,
    binomial_at_most,
    clopper_pearson_lower,
    clopper_pearson_upper,
    mean_square_quantile,
    normal_tail,
    student_cdf,
    student_quantile,
    student_tail,
    wilson_hilferty,
)

CLOSE = 1e-13

STUDENT = [
    (1, 1e-08, 0.99999999363380228),
    (1, 1.0, 0.5),
    (1, 1e10, 6.3661977236758134e-11),
    (1, 1e149, 6.3661977236758131e-150),
    (2, 0.001, 0.99929289339559008),
    (2, 1e149, 9.999999999999999e-299),
    (3, 1e99, 2.2053155816871684e-297),
    (4, 37.0, 3.1859019854653697e-6),
    (5, 2.0, 0.10193947882985836),
    (10, 1e29, 2.4609375000000021e-286),
    (30, 1e9, 2.0729069305124125e-249),
    (31, 3.0, 0.0052887466889913526),
    (100, 50.0, 1.4472163679761389e-72),
    (101, 1000.0, 1.3023876807698939e-203),
    (300, 100.0, 2.0511503999547231e-232),
    (1000, 1.75, 0.080425009359457805),
    (1000, 45.0, 1.3368368040370744e-242),
]
"""Degrees of freedom, t, P(|T| > t)."""

AT_MOST = [
    (0, 7, 0.9999999994205773, 2.1926469371508814e-65),
    (38, 82, 0.999997, 3.3666159349144125e-220),
    (332, 1000, 0.7, 7.1213361266175619e-127),
    (0, 1000, 0.3, 1.2532566399657382e-155),
    (1, 30, 0.9999999999, 3.0000071981306146e-289),
    (500, 1000, 0.5, 0.5126125090891804),
    (2, 5, 0.5, 0.5),
]
"""Count, trials, rate, P(X <= count)."""

AT_LEAST = [
    (2, 1000, 1e-100, 4.9950000000000002e-195),
    (15, 35, 1.6e-20, 3.7446235149047119e-288),
    (397, 417, 0.15536023898453688, 2.0651510528081089e-289),
    (200, 200, 0.05, 6.2230152778612108e-261),
    (3, 100, 0.001, 0.00015037636585421186),
    (50, 100, 0.5, 0.53979461869358938),
]
"""Count, trials, rate, P(X >= count)."""

NORMAL = [
    (-40.0, 1.0),
    (-1.0, 0.84134474606854295),
    (0.0, 0.5),
    (1.96, 0.024997895148220436),
    (6.0, 9.8658764503769814e-10),
    (20.0, 2.7536241186062337e-89),
    (37.0, 5.7255712225245768e-300),
]
"""z, P(Z > z)."""


@pytest.mark.parametrize(("z", "expected"), NORMAL)
def test_normal_tails_are_those_of_mpmath(z: float, expected: float) -> None:
    assert normal_tail(z) == pytest.approx(expected, rel=CLOSE)
    assert normal_tail(z) + normal_tail(-z) == pytest.approx(1.0, rel=CLOSE)


# ---------------------------------------------------------------------------------- Student's


@pytest.mark.parametrize(("df", "t", "expected"), STUDENT)
def test_students_tails_are_those_of_mpmath(df: int, t: float, expected: float) -> None:
    assert student_tail(t, df) == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 200])
def test_students_tails_are_those_of_scipy(df: int) -> None:
    for t in (0.0, 0.3, 0.5, 1.7, 2.0, 2.1, 5.0, 9.0, 40.0):
        assert student_tail(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-12)
        for signed in (t, -t):
            assert student_cdf(signed, df) == pytest.approx(stats.t.cdf(signed, df), rel=1e-12)


def test_students_tails_of_one_and_two_degrees_have_closed_forms() -> None:
    for t in 10.0 ** np.arange(-6, 100, 3.5):
        assert student_tail(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=CLOSE)
        far = math.hypot(t, math.sqrt(2))
        assert student_tail(t, 2) == pytest.approx(2 / far / (far + t), rel=CLOSE)


@pytest.mark.parametrize("df", [1, 2, 9, 64, 1001])
def test_students_tail_is_even_and_falls(df: int) -> None:
    tails = [student_tail(t, df) for t in np.geomspace(1e-3, 1e3, 400).tolist()]
    assert all(more >= less for more, less in pairwise(tails))
    assert student_tail(-2.5, df) == student_tail(2.5, df)
    assert student_tail(0.0, df) == 1.0
    assert student_tail(2.5, df) > student_tail(2.5, df + 1) > 2 * normal_tail(2.5)


def test_students_distribution_ends_at_infinity() -> None:
    assert student_tail(math.inf, 3) == 0.0
    assert (student_cdf(-math.inf, 3), student_cdf(0.0, 3), student_cdf(math.inf, 3)) == (0, 0.5, 1)
    assert math.isnan(student_tail(math.nan, 3))


@pytest.mark.parametrize("df", [1, 2, 3, 9, 40, 500])
@pytest.mark.parametrize("level", [0.9, 0.05, 0.05 / 7, 1e-9, 1e-30, 1e-140, 1e-280])
def test_students_quantile_has_its_level(level: float, df: int) -> None:
    t = student_quantile(level, df)
    if df > 1 or level > 1e-149:  # the quantile is below 1e150
        assert student_tail(t, df) == pytest.approx(level, rel=1e-12)
    if level >= 1e-9:
        assert t == pytest.approx(stats.t.isf(level / 2, df), rel=1e-9)


# ----------------------------------------------------------------------------------- binomial


@pytest.mark.parametrize(("count", "trials", "rate", "expected"), AT_MOST)
def test_lower_binomial_tails_are_those_of_mpmath(
    count: int, trials: int, rate: float, expected: float
) -> None:
    assert binomial_at_most(count, trials, rate) == pytest.approx(expected, rel=2e-13)


@pytest.mark.parametrize(("count", "trials", "rate", "expected"), AT_LEAST)
def test_upper_binomial_tails_are_those_of_mpmath(
    count: int, trials: int, rate: float, expected: float
) -> None:
    assert binomial_at_least(count, trials, rate) == pytest.approx(expected, rel=2e-13)


@pytest.mark.parametrize("trials", [1, 2, 7, 30, 65, 400])
def test_binomial_tails_are_those_of_scipy_and_add_up_to_one(trials: int) -> None:
    for rate in (1e-9, 0.01, 0.2, 0.5, 0.77, 0.999):
        counts = range(-1, trials + 2, max(trials // 30, 1))
        at_most = [binomial_at_most(count, trials, rate) for count in counts]
        assert at_most == pytest.approx(stats.binom.cdf(counts, trials, rate), rel=1e-11, abs=0)
        assert all(less <= more for less, more in pairwise(at_most))
        at_least = [binomial_at_least(count + 1, trials, rate) for count in counts]
        assert np.add(at_most, at_least) == pytest.approx(1.0, rel=CLOSE)


def test_binomial_tails_mirror_failures_and_successes() -> None:
    for count in range(13):
        for rate in (0.125, 0.25, 0.5, 0.875):  # 1 - rate is exact
            failures = binomial_at_least(12 - count, 12, 1 - rate)
            assert binomial_at_most(count, 12, rate) == pytest.approx(failures, rel=CLOSE)


# ---------------------------------------------------------------------------- Clopper-Pearson


@pytest.mark.parametrize("level", [0.5, 0.05, 0.025, 1e-6, 1e-12])
@pytest.mark.parametrize("trials", [1, 2, 9, 30, 65, 1000])
def test_bounds_on_a_rate_are_beta_quantiles(trials: int, level: float) -> None:
    for count in sorted({0, 1, trials // 3, trials - 1, trials}):
        upper = clopper_pearson_upper(count, trials, level)
        lower = clopper_pearson_lower(count, trials, level)
        if count < trials:
            quantile = stats.beta.isf(level, count + 1, trials - count)
            assert upper == pytest.approx(quantile, rel=1e-10)
        if count > 0:
            quantile = stats.beta.ppf(level, count, trials - count + 1)
            assert lower == pytest.approx(quantile, rel=1e-10)
        assert lower <= count / trials <= upper
        assert lower == pytest.approx(
            1 - clopper_pearson_upper(trials - count, trials, level), abs=1e-15
        )


@pytest.mark.parametrize("level", [0.05, 1e-10, 1e-200])
def test_bounds_on_a_rate_at_its_ends_have_closed_forms(level: float) -> None:
    for trials in (1, 8, 500):
        root = level ** (1 / trials)
        assert clopper_pearson_lower(trials, trials, level) == pytest.approx(root, rel=1e-12)
        assert clopper_pearson_upper(0, trials, level) == pytest.approx(1 - root, rel=1e-12)
        assert clopper_pearson_lower(0, trials, level) == 0.0
        assert clopper_pearson_upper(trials, trials, level) == 1.0


def test_bounds_on_a_rate_rise_with_the_count_and_widen_with_the_confidence() -> None:
    for bound in (clopper_pearson_lower, clopper_pearson_upper):
        rates = [bound(count, 40, 0.05) for count in range(41)]
        assert all(less < more for less, more in pairwise(rates))
    levels = (0.3, 0.05, 1e-3, 1e-9)
    lower, upper = (
        [bound(7, 40, level) for level in levels]
        for bound in (clopper_pearson_lower, clopper_pearson_upper)
    )
    assert sorted(lower, reverse=True) == lower
    assert sorted(upper) == upper


# -------------------------------------------------------------------------------- chi-squared


@pytest.mark.parametrize("degrees", [2, 4, 6, 10, 50, 200])
@pytest.mark.parametrize("probability", [0.3, 5e-5, 1e-12])
def test_a_mean_of_squares_has_a_quantile_of_chi_squared(degrees: int, probability: float) -> None:
    quantile = stats.chi2.ppf(probability, degrees) / degrees
    assert mean_square_quantile(degrees, probability) == pytest.approx(quantile, rel=1e-7)


@pytest.mark.parametrize("degrees", [4, 6, 10, 16, 50, 200])
def test_quantiles_of_wilson_and_hilferty_err_on_the_safe_side(degrees: int) -> None:
    for z in (3.090, 3.719) if degrees >= 6 else (3.090,):
        probability, variance = stats.norm.sf(z), 2 / (9 * degrees)
        exact = stats.chi2.ppf(probability, degrees) / degrees
        assert 0.3 * exact < wilson_hilferty(variance, -z) <= 1.001 * exact
        exact = stats.chi2.isf(probability, degrees) / degrees
        assert wilson_hilferty(variance, z) == pytest.approx(exact, rel=0.02)
    assert wilson_hilferty(1.0, -3.0) == 0.0
