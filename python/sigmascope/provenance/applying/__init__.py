# SPDX-License-Identifier: BSD-3-Clause
"""Applications: write a base plus weighted changes as a new checkpoint."""

from __future__ import annotations

from .application import Application
from .applying import apply

__all__ = ["Application", "apply"]
