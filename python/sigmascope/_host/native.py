# SPDX-License-Identifier: BSD-3-Clause
"""The compiled extensions, which every other module imports from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigmascope import _core

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["_core", "cuda"]


def cuda() -> ModuleType | None:
    """Import the extension for CUDA devices at its first use; None in a build without it."""
    try:
        import sigmascope._cuda
    except ModuleNotFoundError:
        return None
    return sigmascope._cuda
