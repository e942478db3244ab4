# SPDX-License-Identifier: BSD-3-Clause
"""Several scans at once: a run over its steps, and a model among those of its family."""

from __future__ import annotations

from .reference import Reference, reference
from .tables import Table
from .trajectory import Trajectory, trajectory

__all__ = ["Reference", "Table", "Trajectory", "reference", "trajectory"]
