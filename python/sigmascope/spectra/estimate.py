# SPDX-License-Identifier: BSD-3-Clause
"""An estimate of a function of traces, with the parts of its error, and differences of two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .rule import Array
from .units import scaled

# With fewer probes the variance that is seen over them is erratic.
MANY_PROBES = 16
# Of the bias of a rule, what need not be common to two matrices that are alike.
BIAS_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A function of traces, and what it may be off by.

    Attributes
    ----------
    value
        (2 Gauss + Radau) / 3.
    sampling, bias, stray, rounding
        Standard error over the probes; a quarter of Gauss - Radau; what converged nodes lack of
        their singular values; what rounding may have moved, and the distance of the matrix that
        the rules are of.
    probes
        (b,) how far each probe alone would take the value, to first order; their mean is 0.
    """

    value: float
    sampling: float
    bias: float
    stray: float
    rounding: float
    probes: Array

    @property
    def error(self) -> float:
        """Return the error of the value, the sum of its parts."""
        return self.sampling + abs(self.bias) + self.stray + self.rounding

    def scaled(self, exponent: int) -> Estimate:
        """Return it of the function times 2^exponent."""
        return Estimate(
            value=scaled(self.value, exponent),
            sampling=scaled(self.sampling, exponent),
            bias=scaled(self.bias, exponent),
            stray=scaled(self.stray, exponent),
            rounding=scaled(self.rounding, exponent),
            probes=scaled(self.probes, exponent),
        )

    def minus(self, other: Estimate) -> tuple[float, float]:
        """Return the difference of two that were made with the same probes, and its error.

        What both have in common cancels: of the noise of the probes, and of the bias of the rules,
        as far as the matrices are alike. No more is claimed than that both errors add up to.
        """
        apart = self.probes - other.probes
        b = len(apart)
        most = self.sampling + other.sampling
        sampling = most
        if b >= MANY_PROBES:
            sampling = min(math.sqrt(float(np.var(apart, ddof=1)) / (b - 2)), most)
        bias = _left(self.bias, other.bias) + _left(self.stray, other.stray)
        return self.value - other.value, sampling + bias + self.rounding + other.rounding


def _left(one: float, other: float) -> float:
    """Return what is left of two errors that matrices which are alike have in common."""
    left = abs(one - other) + BIAS_SHARE * max(abs(one), abs(other))
    return min(left, abs(one) + abs(other))
