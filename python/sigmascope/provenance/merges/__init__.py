# SPDX-License-Identifier: BSD-3-Clause
"""Merges: is a file a base plus weighted changes, and with which weights?"""

from __future__ import annotations

from .result import Decision, Verification
from .verdicts import Weight
from .verifying import verify

__all__ = ["Decision", "Verification", "Weight", "verify"]
