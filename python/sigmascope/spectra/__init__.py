# SPDX-License-Identifier: BSD-3-Clause
"""Result types with their evidence, and the spectral density from a quadrature."""

from __future__ import annotations

from .density import Density
from .known import Known
from .measure import Basis, Measure
from .moments import Moments
from .quadrature import Difference
from .results import SVD, SingularValues
from .spectrum import Spectrum
from .stacks import SingularValuesStack, Stack, SVDStack

__all__ = [
    "SVD",
    "Basis",
    "Density",
    "Difference",
    "Known",
    "Measure",
    "Moments",
    "SVDStack",
    "SingularValues",
    "SingularValuesStack",
    "Spectrum",
    "Stack",
]
