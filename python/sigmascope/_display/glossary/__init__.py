# SPDX-License-Identifier: BSD-3-Clause
"""What the columns of scans and comparisons mean, in a line each: for legends, axes and help.

A column that is not here is shown under its own name, so that a table of a later version loses
nothing.
"""

from __future__ import annotations

from .columns import ROLES, SIDES, entry, measured, role_rank
from .entries import MEASURES, PAIR, Entry

__all__ = ["MEASURES", "PAIR", "ROLES", "SIDES", "Entry", "entry", "measured", "role_rank"]
