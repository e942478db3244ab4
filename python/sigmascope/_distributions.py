# SPDX-License-Identifier: BSD-3-Clause
"""Tails and quantiles of the normal, Student's, the binomial and the chi-squared distribution.

A small tail is computed by itself, not as 1 minus the other tail, so that it has as many digits as
a large one. Student's and binomial tails are values of the regularised incomplete beta function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

# ------------------------------------------------------------------------------------- normal


def normal_tail(z: float) -> float:
    """Return P(Z > z) of the standard normal distribution."""
    return math.erfc(z / math.sqrt(2)) / 2


# ---------------------------------------------------------------------------------- Student's


def student_tail(t: float, df: int) -> float:
    """Return P(|T| > |t|) of Student's distribution.

    The relative error is below 1e-13 for up to 1000 degrees of freedom. For |t| above 1e150 the
    result is 0.
    """
    ratio = t / math.sqrt(df)
    square = ratio * ratio
    if square > 1e300:
        return 0.0
    return _regularised_beta(df / 2, 0.5, 1 / (1 + square), square / (1 + square))


def student_cdf(t: float, df: int) -> float:
    """Return P(T <= t) of Student's distribution."""
    half = student_tail(t, df) / 2
    return half if t <= 0 else 1.0 - half


@lru_cache(maxsize=1024)
def student_quantile(level: float, df: int) -> float:
    """Return the t that |T| exceeds with the probability `level`."""
    high = 1.0
    while student_tail(high, df) > level:
        high *= 2
    return _bisect(lambda t: student_tail(t, df) > level, 0.0, high)


# ----------------------------------------------------------------------------------- binomial


def binomial_at_most(count: int, trials: int, rate: float) -> float:
    """Return the probability of at most `count` successes in independent trials."""
    if count < 0 or count >= trials:
        return float(count >= 0)
    return _regularised_beta(trials - count, count + 1, 1 - rate, rate)


def binomial_at_least(count: int, trials: int, rate: float) -> float:
    """Return the probability of at least `count` successes in independent trials."""
    if count <= 0 or count > trials:
        return float(count <= 0)
    return _regularised_beta(count, trials - count + 1, rate, 1 - rate)


def clopper_pearson_lower(count: int, trials: int, level: float) -> float:
    """Return the rate at which `count` or more successes have the probability `level`.

    It is the one-sided lower bound on a rate, which fails with at most this probability (Clopper &
    Pearson 1934).
    """
    if count == 0:
        return 0.0
    return _bisect(lambda rate: binomial_at_least(count, trials, rate) < level, 0.0, count / trials)


def clopper_pearson_upper(count: int, trials: int, level: float) -> float:
    """Return the rate at which `count` or fewer successes have the probability `level`.

    It is the one-sided upper bound on a rate, which fails with at most this probability.
    """
    if count >= trials:
        return 1.0
    return _bisect(lambda rate: binomial_at_most(count, trials, rate) > level, count / trials, 1.0)


# -------------------------------------------------------------------------------- chi-squared


def mean_square_quantile(count: int, probability: float) -> float:
    """Return the level below which a mean of squares of Gaussians is with a small probability.

    It is a quantile of chi^2 over its degrees of freedom. Their number, `count`, must be even. The
    level solves P(chi^2_2h < 2 x) = exp(-x) sum_{j >= h} x^j / j! = `probability`, by bisection.
    """
    half = count // 2

    def below(x: float) -> float:
        term = total = math.exp(half * math.log(x) - x - math.lgamma(half + 1))
        j = half
        while term > 1e-17 * total:
            j += 1
            term *= x / j
            total += term
        return total

    low, high = 0.0, float(half)
    while high - low > 1e-9 * high:
        x = (low + high) / 2
        low, high = (x, high) if below(x) < probability else (low, x)
    return low / half


def wilson_hilferty(variance: float, z: float) -> float:
    """Return a quantile of chi^2 over its degrees of freedom, from that of a normal variable, z.

    The cube root of the ratio is almost normal (Wilson & Hilferty 1931). Low quantiles are slightly
    too low.

    Parameters
    ----------
    variance
        Variance of the cube root: 2 / 9 over the degrees of freedom.
    z
        Quantile of the standard normal distribution.
    """
    return max(1.0 - variance + z * math.sqrt(variance), 0.0) ** 3


# ------------------------------------------------------------------- incomplete beta function


def _regularised_beta(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b), the probability that a beta variable is below x, with y = 1 - x."""
    if x <= 0 or y <= 0:
        return float(x > 0)
    if x * (a + b + 2) > a + 1:  # there the continued fraction converges slowly
        return 1.0 - _lower_beta(b, a, y, x)
    return _lower_beta(a, b, x, y)


def _lower_beta(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b) by its continued fraction (DLMF 8.17.22), with Lentz's algorithm."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction, factor, m = d, 0.0, 0
    while abs(factor - 1) > 4e-16:
        m += 1
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + step / c, 1 / (1 + step * d)
            factor = c * d
            fraction *= factor
    return _beta_power(a, b, x, y) * fraction / a


def _beta_power(a: float, b: float, x: float, y: float) -> float:
    """Return x^a y^b / B(a, b); its logarithm is a sum of small terms near the mean of x."""
    n = a + b
    above = x * b - y * a  # n times the distance of x from its mean, a / n
    powers = a * _log(x * n / a, above / a) + b * _log(y * n / b, -above / b)
    error = _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
    return math.sqrt(a * b / (2 * math.pi * n)) * math.exp(powers + error)


def _log(x: float, above: float) -> float:
    """Return log(x), from x - 1 if x is near 1."""
    return math.log1p(above) if abs(above) < 0.5 else math.log(x)


def _stirling_error(x: float) -> float:
    """Return the logarithm of Gamma(x) over Stirling's approximation."""
    if x < 16:
        return math.lgamma(x) - (x - 0.5) * math.log(x) + x - math.log(2 * math.pi) / 2
    z = 1 / (x * x)
    return (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z / 1188)))) / x


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Return the floating-point number at which a predicate turns from true to false."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high
