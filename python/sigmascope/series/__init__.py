# SPDX-License-Identifier: BSD-3-Clause
"""Tables that combine several others: parts of a scan, steps of a run, models of a family."""

from __future__ import annotations

from .monitoring import Monitor
from .reference import Reference, reference
from .trajectory import Trajectory, trajectory

__all__ = ["Monitor", "Reference", "Trajectory", "reference", "trajectory"]
