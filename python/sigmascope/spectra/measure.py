# SPDX-License-Identifier: BSD-3-Clause
"""A number with its error: the type of every measure of a spectrum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from sigmascope._display.text import with_error

from .estimate import Estimate
from .units import scaled, scaled_errors

Basis = Literal["exact", "top", "density", "spectrum", "sub-matrices"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its error.

    Attributes
    ----------
    value
        The measure, in the unit that its definition gives it.
    error
        One standard error plus the bounds on everything else, never negative; value +- 2 error is
        meant to contain the true value in about 95 % of cases, value +- 4 error always.
    basis
        Data that it was computed from: ``"exact"`` (one pass), ``"top"`` (the top k values),
        ``"density"`` (quadrature), ``"spectrum"`` (every singular value) or ``"sub-matrices"``
        (every value of some parts of the matrix).
    estimate
        Its evaluation by quadrature, for differences of two measures; else None.
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

    def __repr__(self) -> str:
        return f"Measure({with_error(self.value, self.error)}, {self.basis})"
