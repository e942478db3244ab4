# SPDX-License-Identifier: BSD-3-Clause
"""Products of two thin matrices: LoRA adapters in PEFT's layout, and circuits of heads."""

from __future__ import annotations

from .adapter import Adapter
from .circuits import Circuits, LogitBound, RotaryPlanes, circuits_of
from .opening import open_adapter
from .resizing import Resized, resize

__all__ = [
    "Adapter",
    "Circuits",
    "LogitBound",
    "Resized",
    "RotaryPlanes",
    "circuits_of",
    "open_adapter",
    "resize",
]
