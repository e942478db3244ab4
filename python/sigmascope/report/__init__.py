# SPDX-License-Identifier: BSD-3-Clause
"""What people read in a terminal: checkpoints, plans and scans as tables (extra ``cli``)."""

from __future__ import annotations

from .pages import show_info, show_saved, show_scan
from .plans import show_plan

__all__ = ["show_info", "show_plan", "show_saved", "show_scan"]
