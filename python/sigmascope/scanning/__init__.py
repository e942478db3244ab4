# SPDX-License-Identifier: BSD-3-Clause
"""The scan of a checkpoint: a table with a row for every tensor; its plan, events and files."""

from __future__ import annotations

from sigmascope._running.progress import Progress, ScanEvent
from sigmascope._tables.table import Table

from .loop import scan
from .plans import ScanPlan, TensorPlan
from .result import Scan

__all__ = [
    "Progress",
    "Scan",
    "ScanEvent",
    "ScanPlan",
    "Table",
    "TensorPlan",
    "scan",
]
