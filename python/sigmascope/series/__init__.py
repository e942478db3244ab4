# SPDX-License-Identifier: BSD-3-Clause
"""Several tables as one: parts, the steps of a training run, and the models of a family."""

from __future__ import annotations

from .monitoring import Monitor
from .reference import Reference, reference
from .trajectory import Trajectory, trajectory

__all__ = ["Monitor", "Reference", "Trajectory", "reference", "trajectory"]
