# SPDX-License-Identifier: BSD-3-Clause
"""Numbers in units of a power of two, which keep squares in the range of float64.

A matrix whose largest entry is beyond 2^200 or below 2^-200 is multiplied by a power of two, which
is exact, before anything is squared. Results are multiplied back at the end. This is exact too,
unless they leave the range of normal numbers. Results below it are rounded to subnormal numbers,
and their errors include that rounding; results beyond it are infinite, with infinite errors.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)

NORMAL = 2.0**-1022
"""Least positive normal number of float64."""

USUAL = 200
"""Largest magnitude of an exponent for which no unit is needed: squares are well in range."""

LEAST = -1008
"""Least exponent of a unit: a matrix can be multiplied by 2^1008, a float64 number."""


def scaled(x: Number, exponent: int) -> Number:
    """Return x 2^exponent, rounded once; infinite if that is beyond float64."""
    if exponent == 0:
        return x
    with np.errstate(over="ignore", under="ignore"):
        product = np.ldexp(x, exponent)
    return product if isinstance(x, np.ndarray) else float(product)


def scaled_errors(errors: Number, values: Number, exponent: int) -> Number:
    """Return bounds on the errors of `values` 2^exponent, including their rounding, rounded up."""
    if exponent == 0:
        return errors
    given = scaled(np.asarray(values, np.float64), exponent)
    exact = np.asarray(errors, np.float64) + np.abs(values - scaled(given, -exponent))
    bounds = np.asarray(scaled(exact, exponent))
    bounds = np.where(scaled(bounds, -exponent) < exact, np.nextafter(bounds, np.inf), bounds)
    return bounds if isinstance(errors, np.ndarray) else float(bounds)


def exponent_of(x: float) -> int:
    """Return the exponent of the power of two above |x|; 0 if it is at most `USUAL`.

    At least `LEAST`, in whose units subnormal numbers are still far above 2^-200.
    """
    if x == 0 or not math.isfinite(x):
        return 0
    exponent = math.frexp(x)[1]
    return max(exponent, LEAST) if abs(exponent) > USUAL else 0


def in_units(x: Array, step: int) -> tuple[Array, int]:
    """Return x in units of 2^unit, and unit, a multiple of step; squares are then in range."""
    unit = exponent_of(float(np.abs(x).max(initial=0.0))) // step * step
    return scaled(x, -unit), unit


def beyond(exponent: int, *values: float) -> tuple[str, ...]:
    """Return notes if a value times 2^exponent is beyond float64, or all are subnormal."""
    if any(math.isfinite(x) and math.isinf(scaled(x, exponent)) for x in values):
        return (
            "values beyond the range of float64 are returned as infinite; for the matrix times "
            "2**-64 they are finite",
        )
    if 0 < scaled(max(values), exponent) < NORMAL:
        return (
            "values are subnormal numbers, multiples of 4.9e-324: residuals and errors include "
            "that rounding, and may exceed the tolerance by it; the matrix times 2**64 does not "
            "have subnormal values",
        )
    return ()
