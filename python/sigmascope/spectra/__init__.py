# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a spectrum, and how: the result types, and the density from a quadrature."""

from __future__ import annotations

from .density import Basis, Density, Measure
from .results import SVD, Moments, SingularValues, Spectrum

__all__ = ["SVD", "Basis", "Density", "Measure", "Moments", "SingularValues", "Spectrum"]
