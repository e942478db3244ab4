# SPDX-License-Identifier: BSD-3-Clause
"""Approximations of a matrix by products of thin factors, each with the error that remains."""

from __future__ import annotations

from .function import low_rank
from .result import LowRankApproximation

__all__ = ["LowRankApproximation", "low_rank"]
