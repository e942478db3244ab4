# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints, plans, scans and comparisons as text in a terminal (extra ``cli``)."""

from __future__ import annotations

from .comparisons import show_comparison
from .extractions import show_extraction, show_resized
from .pages import show_info, show_saved, show_scan
from .plans import show_plan
from .series import show_series, show_trajectory

__all__ = [
    "show_comparison",
    "show_extraction",
    "show_info",
    "show_plan",
    "show_resized",
    "show_saved",
    "show_scan",
    "show_series",
    "show_trajectory",
]
