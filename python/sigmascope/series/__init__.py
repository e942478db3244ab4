# SPDX-License-Identifier: BSD-3-Clause
"""Several tables as one: parts, the steps of a training run, and the models of a family."""

from __future__ import annotations

from .merging import merge
from .monitoring import Monitor
from .reference import Reference, reference
from .saved import load_series
from .tables import SeriesTable
from .trajectory import Trajectory, trajectory

__all__ = [
    "Monitor",
    "Reference",
    "SeriesTable",
    "Trajectory",
    "load_series",
    "merge",
    "reference",
    "trajectory",
]
