# SPDX-License-Identifier: BSD-3-Clause
"""What people read in a terminal: checkpoints and scans as tables, progress (extra ``cli``)."""

from __future__ import annotations

from .pages import show_info, show_scan

__all__ = ["show_info", "show_scan"]
