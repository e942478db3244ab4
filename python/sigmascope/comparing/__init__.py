# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints side by side: which tensors belong together, and what changed in each."""

from __future__ import annotations

from .loop import compare
from .result import Comparison

__all__ = ["Comparison", "compare"]
