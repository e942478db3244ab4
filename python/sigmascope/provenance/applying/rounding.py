# SPDX-License-Identifier: BSD-3-Clause
"""Rounding of sums that are known up to a bound, with exact arithmetic where the bound is too wide.

The stored number is the exact sum, rounded once to nearest with ties to even. It therefore depends
neither on the order of the sums nor on the sizes of blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sigmascope.provenance.merges.number_formats import NumberFormat, Reals

Places = NDArray[np.intp]

ExactSum = Callable[[int], Fraction]
"""Function that returns the exact sum at a place of a block."""


def round_sums(sums: Reals, bounds: Reals, number_format: NumberFormat, exact: ExactSum) -> Reals:
    """Round sums of which each is within a bound of the exact sum.

    Parameters
    ----------
    sums, bounds
        Sums in float64, and the largest errors of them.
    number_format
        Format to round to.
    exact
        Function that is called at the places where the bound includes a tie.
    """
    with np.errstate(invalid="ignore"):
        rounded = number_format.round(sums - bounds)
        near = rounded != number_format.round(sums + bounds)
    near &= np.isfinite(sums)
    if not np.isfinite(sums).all():
        rounded = np.where(np.isfinite(sums), rounded, sums)
    for place in np.flatnonzero(near):
        rounded[place] = round_exactly(exact(int(place)), number_format)
    return rounded


def round_exactly(number: Fraction, number_format: NumberFormat) -> float:
    """Round an exact number to the nearest of a format, ties to even.

    Midpoints of neighbours are float64 numbers, so only the nearest float64 can be one.
    """
    x = np.array(float(number))
    nearest = number_format.round(x)
    other = other_neighbour(x, nearest, number_format)
    if np.isnan(other) or number == Fraction(float(x)):
        return float(nearest)
    is_above = number > Fraction(float(x))
    return float(np.maximum(nearest, other) if is_above else np.minimum(nearest, other))


def other_neighbour(x: Reals, nearest: Reals, number_format: NumberFormat) -> Reals:
    """Return the neighbour that is as near as the nearest number; NaN if x is not a tie."""
    largest = number_format.largest
    with np.errstate(invalid="ignore"):
        rest = x - nearest
        other = x + rest
        is_tie = (rest != 0) & np.isfinite(rest) & (number_format.round(other) == other)
    edge = largest + number_format.spacing(np.array(largest)) / 2  # rounds to infinity
    other = np.where(np.abs(x) == edge, np.copysign(largest, x), np.where(is_tie, other, np.nan))
    return np.asarray(other)


def two_sum(a: Reals, b: Reals) -> tuple[Reals, Reals]:
    """Return the rounded sum and its rounding error, exactly (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: float, b: Reals) -> tuple[Reals, Reals]:
    """Return the rounded product and its rounding error, exactly (Dekker)."""
    product = a * b
    a_high, a_low = _split(np.float64(a))
    b_high, b_low = _split(b)
    return product, a_low * b_low - (
        ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
    )


def _split(a: Reals | np.float64) -> tuple[Reals, Reals]:
    scaled = 134217729.0 * a
    high = np.asarray(scaled - (scaled - a))
    return high, np.asarray(a - high)
