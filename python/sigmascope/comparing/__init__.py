# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints side by side: which tensors belong together, and what changed in each."""

from __future__ import annotations

from .loop import compare
from .result import Comparison
from .series import Reference, Trajectory, compare_series, reference, trajectories

__all__ = [
    "Comparison",
    "Reference",
    "Trajectory",
    "compare",
    "compare_series",
    "reference",
    "trajectories",
]
