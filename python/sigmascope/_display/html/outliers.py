# SPDX-License-Identifier: BSD-3-Clause
"""Which matrices are outliers among those of their role."""

from __future__ import annotations

from collections.abc import Iterable

from sigmascope._display.glossary import entry
from sigmascope._display.text import counted, number_of, with_error

from .estimates import Middle, Outlier, outliers
from .findings import Finding, Row, listing, more, role_name, several_towers


def standing_out(rows: list[Row], columns: Iterable[str], level: float) -> Finding:
    """Return what is far from the others of its role, or that nothing is.

    Parameters
    ----------
    rows
        The analysed ones.
    columns
        The measures by which one may stand out.
    level
        The chance of saying so of matrices that are all of one kind.
    """
    by_name: dict[str, list[Outlier]] = {}
    for outlier in outliers(rows, columns, level):
        by_name.setdefault(outlier.row["name"], []).append(outlier)
    far = sorted(by_name.values(), key=lambda found: -max(abs(o.distance) for o in found))
    if not far:
        return Finding(
            "Nothing stands out",
            "No matrix is far from the others of its role: all are within 3.5 robust standard "
            "deviations of the median, or within a fifth of it, or where chance may put one of so "
            "many.",
        )
    with_tower = several_towers(rows)
    items = [(found[0].row["name"], _of_outlier(found, with_tower)) for found in far]
    few = len(items) == 1
    text = (
        f"{counted(len(items), 'matrix', 'matrices')} {'is' if few else 'are'} far from the others "
        "of the same role: beyond 3.5 robust standard deviations of their median, more than a "
        "fifth of it, and farther than chance would put any of so many."
    )
    return Finding("Stand out in their role", text + more(len(items)), "notice", listing(items))


def _of_outlier(found: list[Outlier], with_tower: bool) -> str:
    parts = []
    telling = sorted(found, key=lambda outlier: -abs(outlier.distance))[:2]
    for outlier in telling:
        row, column, among = outlier.row, outlier.column, outlier.middle
        parts.append(
            f"{entry(column).label} {number_of(row, column)}, "
            f"{with_error(row[column] / among.value, _of_factor(row, column, among))} × the median "
            f"{among}"
        )
    role = role_name(found[0].row, with_tower)
    return f"{'; '.join(parts)} of {counted(found[0].middle.count, 'matrix', 'matrices')} ({role})"


def _of_factor(row: Row, column: str, among: Middle) -> float:
    """How far a multiple of a median may be off, by the value's error and the median's interval."""
    error = row.get(f"{column}_error") or 0.0
    wide = max(among.high - among.value, among.value - among.low) / 2
    return float(error + row[column] / among.value * wide) / among.value
