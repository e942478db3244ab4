# SPDX-License-Identifier: BSD-3-Clause
"""LoRA adapters in PEFT's layout: changes of weights as products of two thin matrices."""

from __future__ import annotations

from .adapter import Adapter
from .opening import open_adapter
from .resizing import Resized, resize

__all__ = ["Adapter", "Resized", "open_adapter", "resize"]
