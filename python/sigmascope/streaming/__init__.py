# SPDX-License-Identifier: BSD-3-Clause
"""Streaming: accumulators and sketches of data that are read once; they merge in any order."""

from __future__ import annotations

from .element_moments import MomentsAccumulator
from .gram import GramAccumulator
from .linear_sketch import LinearSketch
from .principal_components import PrincipalComponents
from .sketch import Sketch

__all__ = ["GramAccumulator", "LinearSketch", "MomentsAccumulator", "PrincipalComponents", "Sketch"]
