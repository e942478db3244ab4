# SPDX-License-Identifier: BSD-3-Clause
"""Estimates of functions of traces with the parts of their errors, and their differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .rule import Array
from .units import in_units, scaled

# With fewer probes, their sample variance is erratic.
MANY_PROBES = 16
# Fraction of the bias of a rule that may differ between similar matrices.
BIAS_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A function of traces, with the parts of its error.

    Attributes
    ----------
    value
        (2 Gauss + Radau) / 3.
    sampling, bias, convergence, rounding
        Standard error over the probes; a quarter of Gauss - Radau; the effect of the distance
        between converged nodes and their eigenvalues, and of values that such nodes may hide; the
        effect of rounding, and of the distance to the matrix from which the rules were computed.
    probes
        (b,) deviation that each probe causes, to first order; their mean is 0.
    """

    value: float
    sampling: float
    bias: float
    convergence: float
    rounding: float
    probes: Array

    @property
    def error(self) -> float:
        """Error of the value, the sum of its parts."""
        return self.sampling + abs(self.bias) + self.convergence + self.rounding

    def scaled(self, exponent: int) -> Estimate:
        """Return the estimate of the function times 2^exponent."""
        return Estimate(
            value=scaled(self.value, exponent),
            sampling=scaled(self.sampling, exponent),
            bias=scaled(self.bias, exponent),
            convergence=scaled(self.convergence, exponent),
            rounding=scaled(self.rounding, exponent),
            probes=scaled(self.probes, exponent),
        )

    def minus(self, other: Estimate) -> tuple[float, float]:
        """Return the difference of two estimates that share their probes, and its error.

        Common errors cancel: the noise of the probes and, for similar matrices, the bias of the
        rules. The error is at most the sum of both errors.
        """
        deviations, unit = in_units(self.probes - other.probes, 1)
        b = len(deviations)
        most = self.sampling + other.sampling
        sampling = most
        if b >= MANY_PROBES:
            sampling = math.sqrt(float(np.var(deviations, ddof=1)) / (b - 2))
            sampling = min(scaled(sampling, unit), most)
        bias = _not_common(self.bias, other.bias) + _not_common(self.convergence, other.convergence)
        return self.value - other.value, sampling + bias + self.rounding + other.rounding


def _not_common(one: float, other: float) -> float:
    """Return the error of a difference whose terms have nearly the same error."""
    left = abs(one - other) + BIAS_SHARE * max(abs(one), abs(other))
    return min(left, abs(one) + abs(other))
