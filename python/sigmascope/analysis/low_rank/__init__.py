# SPDX-License-Identifier: BSD-3-Clause
"""Products s B A of two thin matrices, with exact spectra from matrices of order r."""

from __future__ import annotations

from .exact import METHOD
from .product import LowRank

__all__ = ["METHOD", "LowRank"]
