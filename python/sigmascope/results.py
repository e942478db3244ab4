# SPDX-License-Identifier: BSD-3-Clause
"""Types of results and events of :mod:`sigmascope`, for annotations and ``isinstance``."""

from __future__ import annotations

from sigmascope.analysis.approximation import LowRankApproximation
from sigmascope.comparing.extracting import Extraction
from sigmascope.comparing.plans import ComparisonPlan
from sigmascope.comparing.result import Comparison
from sigmascope.comparing.shared_directions import SharedDirection
from sigmascope.scanning import ScanEvent
from sigmascope.scanning.plans import ScanPlan, TensorPlan
from sigmascope.scanning.result import Scan
from sigmascope.spectra import (
    SVD,
    Density,
    Measure,
    Moments,
    SingularValues,
    SingularValuesStack,
    Spectrum,
    Stack,
    SVDStack,
)

__all__ = [
    "SVD",
    "Comparison",
    "ComparisonPlan",
    "Density",
    "Extraction",
    "LowRankApproximation",
    "Measure",
    "Moments",
    "SVDStack",
    "Scan",
    "ScanEvent",
    "ScanPlan",
    "SharedDirection",
    "SingularValues",
    "SingularValuesStack",
    "Spectrum",
    "Stack",
    "TensorPlan",
]
