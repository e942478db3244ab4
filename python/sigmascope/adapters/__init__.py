# SPDX-License-Identifier: BSD-3-Clause
"""LoRA adapters as PEFT saves them: changes of weights as products of two thin matrices."""

from __future__ import annotations

from .adapter import Adapter, AdapterOrigin, Terms
from .dora import Dora, dora_of
from .folders import is_adapter
from .opening import open_adapter
from .pairing import Change, Changes, changes, delta_of
from .scannable import Scannable, as_scannable, largest_file, reopened

__all__ = [
    "Adapter",
    "AdapterOrigin",
    "Change",
    "Changes",
    "Dora",
    "Scannable",
    "Terms",
    "as_scannable",
    "changes",
    "delta_of",
    "dora_of",
    "is_adapter",
    "largest_file",
    "open_adapter",
    "reopened",
]
