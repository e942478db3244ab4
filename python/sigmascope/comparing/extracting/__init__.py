# SPDX-License-Identifier: BSD-3-Clause
"""The change between two checkpoints as a LoRA adapter: thin factors, layer by layer."""

from __future__ import annotations

from .loop import extract
from .result import Extraction

__all__ = ["Extraction", "extract"]
