# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a checkpoint against another one, for pipelines: claims with verdicts."""

from __future__ import annotations

from .check import check
from .result import Check

__all__ = ["Check", "check"]
