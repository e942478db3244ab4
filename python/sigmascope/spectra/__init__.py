# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a spectrum, and how: the result types, and the density from a quadrature."""

from __future__ import annotations

from .density import Density
from .known import Known
from .measure import Basis, Measure
from .quadrature import Difference
from .results import SVD, Moments, SingularValues
from .spectrum import Spectrum

__all__ = [
    "SVD",
    "Basis",
    "Density",
    "Difference",
    "Known",
    "Measure",
    "Moments",
    "SingularValues",
    "Spectrum",
]
