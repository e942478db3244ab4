# SPDX-License-Identifier: BSD-3-Clause
"""A number with its error: the type of every measure of a spectrum."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field, replace
from typing import Literal

from sigmascope._words.text import with_error

from .estimate import Estimate
from .units import scaled, scaled_errors

Basis = Literal["exact", "top", "density", "spectrum", "sub-matrices", "combined"]


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A number with its error; it can replace its value in arithmetic and comparisons.

    ``float(m)`` and ``f"{m:.3f}"`` give the value, ``f"{m}"`` writes it with its error.
    Comparisons use the value. Two measures are equal if value, error and basis are equal. Sums,
    differences, products and quotients with numbers and measures are measures. Their error is the
    largest that both errors allow, since two measures of one matrix are not independent.

    Attributes
    ----------
    value
        The measure, in the unit of its definition.
    error
        One standard error plus the bounds on everything else, never negative. value +- 2 error is
        meant to contain the true value in about 95 % of cases, value +- 4 error always.
    basis
        The data behind the measure: ``"exact"`` (one pass), ``"top"`` (the top k values),
        ``"density"`` (quadrature), ``"spectrum"`` (every singular value) or ``"sub-matrices"``
        (every value of some parts of the matrix). Arithmetic with a measure of another basis gives
        ``"combined"``.
    estimate
        The quadrature behind the value, for differences of two measures; else None.
    """

    value: float
    error: float
    basis: Basis
    estimate: Estimate | None = field(default=None, repr=False, compare=False)

    def scaled(self, exponent: int) -> Measure:
        """Return the measure times 2^exponent."""
        if exponent == 0:
            return self
        return replace(
            self,
            value=scaled(self.value, exponent),
            error=scaled_errors(self.error, self.value, exponent),
            estimate=None if self.estimate is None else self.estimate.scaled(exponent),
        )

    def __float__(self) -> float:
        return float(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if spec else with_error(self.value, self.error)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Measure):
            mine, theirs = (self.value, self.error), (other.value, other.error)
            return mine == theirs and self.basis == other.basis
        return self.value == other if isinstance(other, numbers.Real) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Measure | float) -> bool:
        return self.value < float(other)

    def __le__(self, other: Measure | float) -> bool:
        return self.value <= float(other)

    def __gt__(self, other: Measure | float) -> bool:
        return self.value > float(other)

    def __ge__(self, other: Measure | float) -> bool:
        return self.value >= float(other)

    def __neg__(self) -> Measure:
        return Measure(-self.value, self.error, self.basis)

    def __abs__(self) -> Measure:
        return Measure(abs(self.value), self.error, self.basis)

    def __add__(self, other: Measure | float) -> Measure:
        if _is_array(other):
            return NotImplemented
        term = self._operand(other)
        return self._combined(term, self.value + term.value, self.error + term.error)

    __radd__ = __add__

    def __sub__(self, other: Measure | float) -> Measure:
        return NotImplemented if _is_array(other) else self + -self._operand(other)

    def __rsub__(self, other: float) -> Measure:
        return -self + other

    def __mul__(self, other: Measure | float) -> Measure:
        """Multiply; |(a + d)(b + e) - a b| <= |a| |e| + |b| |d| + |d| |e|."""
        if _is_array(other):
            return NotImplemented
        factor = self._operand(other)
        a, b = abs(self.value), abs(factor.value)
        error = a * factor.error + b * self.error + self.error * factor.error
        return self._combined(factor, self.value * factor.value, error)

    __rmul__ = __mul__

    def __truediv__(self, other: Measure | float) -> Measure:
        """Divide; the error is infinite if the divisor may be zero.

        |(a + d) / (b + e) - a / b| <= (|a| |e| + |b| |d|) / (|b| (|b| - |e|)).
        """
        if _is_array(other):
            return NotImplemented
        divisor = self._operand(other)
        a, b = abs(self.value), abs(divisor.value)
        least = b - divisor.error
        error = (a * divisor.error + b * self.error) / (b * least) if least > 0 else math.inf
        return self._combined(divisor, self.value / divisor.value, error)

    def __rtruediv__(self, other: float) -> Measure:
        return self._operand(other) / self

    def _operand(self, other: Measure | float) -> Measure:
        """Return a measure as it is, and a number as a measure without an error."""
        if isinstance(other, Measure):
            return other
        if not isinstance(other, numbers.Real):
            raise TypeError(
                f"a measure can be combined only with numbers and measures, not with {other!r}"
            )
        return Measure(float(other), 0.0, self.basis)

    def _combined(self, other: Measure, value: float, error: float) -> Measure:
        return Measure(value, error, self.basis if self.basis == other.basis else "combined")

    def __repr__(self) -> str:
        return f"Measure({with_error(self.value, self.error)}, {self.basis})"


def _is_array(other: object) -> bool:
    """Return whether an object is an array, which combines its elements with measures itself."""
    return hasattr(other, "__array__") and not isinstance(other, numbers.Real)
