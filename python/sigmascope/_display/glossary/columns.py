# SPDX-License-Identifier: BSD-3-Clause
"""Entries for columns of measures: of a matrix, of a pair, or of one side of a pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sigmascope._words.rows import Row

from .entries import MEASURES, Entry
from .pair_entries import PAIR

SIDES = {
    "delta": ("of ΔW", "The change ΔW = after − before", "Of the change ΔW: "),
    "change": ("change of", "Change of each measure: after − before", "After − before: "),
    "projected": ("of ΔW without decay", "ΔW without decay", "Of ΔW minus its multiple of W: "),
    "before": ("before", "Before", "Before: "),
    "after": ("after", "After", "After: "),
}
"""For each side of a pair: words of the label, the heading, and a prefix of the meaning."""


ROLES = ("q", "k", "v", "qkv", "o", "router", "gate", "up", "gate_up", "down")
"""Roles in the order in which a block computes; other roles follow in the order of the file."""


def role_rank(role: str) -> int:
    """Return the place of a role in `ROLES`; all other roles share the last place."""
    return ROLES.index(role) if role in ROLES else len(ROLES)


def entry(column: str) -> Entry:
    """Return the glossary entry of a column of measures."""
    if column in PAIR:
        return PAIR[column]
    side, _, name = column.partition("_")
    if column in MEASURES or side not in SIDES:
        return MEASURES.get(column) or Entry(column.replace("_", " "), "", "More")
    plain = entry(name)
    words, heading, before = SIDES[side]
    label = f"{words} {plain.label}" if side == "change" else f"{plain.label} {words}"
    changed = side == "change"
    return replace(
        plain,
        label=label,
        meaning=before + plain.meaning[:1].lower() + plain.meaning[1:],
        group=heading,
        log=plain.log and not changed,
        signed=changed or plain.signed,
    )


def measured(rows: Iterable[Row]) -> list[str]:
    """Return the columns of measures that have a number in some row, in the order to show them."""
    present: dict[str, None] = {}
    for row in rows:
        for column, value in row.items():
            if column not in present and _is_measure(row, column, value):
                present[column] = None
    known = [*PAIR, *(f"{side}_{name}" for side in SIDES for name in MEASURES), *MEASURES]
    return [c for c in known if c in present] + [c for c in present if c not in set(known)]


def _is_measure(row: Row, column: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and (column in PAIR or f"{column}_error" in row)
