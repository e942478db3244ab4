# SPDX-License-Identifier: BSD-3-Clause
"""Diagnoses: how narrow was the training data? The update of a model and reference runs answer."""

from __future__ import annotations

from .calibration import Calibration
from .diagnose import diagnose
from .increments import RunDiagnosis, diagnose_increments
from .paired import PairedDiagnosis
from .result import Diagnosis

__all__ = [
    "Calibration",
    "Diagnosis",
    "PairedDiagnosis",
    "RunDiagnosis",
    "diagnose",
    "diagnose_increments",
]
