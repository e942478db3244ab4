# SPDX-License-Identifier: BSD-3-Clause
"""Data that are seen once: what is kept of them adds up, in any order and any number of places."""

from __future__ import annotations

from .element_moments import MomentsAccumulator
from .gram import GramAccumulator
from .linear_sketch import LinearSketch
from .sketch import Sketch

__all__ = ["GramAccumulator", "LinearSketch", "MomentsAccumulator", "Sketch"]
