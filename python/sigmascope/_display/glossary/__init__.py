# SPDX-License-Identifier: BSD-3-Clause
"""The meaning of each column of scans and comparisons in one line, for legends, axes and help.

A column without an entry is shown under its own name, so that tables of later versions are shown
completely.
"""

from __future__ import annotations

from .columns import ROLES, SIDES, entry, measured, role_rank
from .entries import MEASURES, Entry
from .pair_entries import PAIR

__all__ = ["MEASURES", "PAIR", "ROLES", "SIDES", "Entry", "entry", "measured", "role_rank"]
