# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of two checkpoints: pairs of tensors, and the change of each."""

from __future__ import annotations

from .loop import compare
from .plans import ComparisonPlan
from .result import Comparison

__all__ = ["Comparison", "ComparisonPlan", "compare"]
