# SPDX-License-Identifier: BSD-3-Clause
"""A product s B A of two thin matrices: its spectrum exactly, through matrices of order r."""

from __future__ import annotations

from .exact import METHOD
from .product import LowRank

__all__ = ["METHOD", "LowRank"]
