# SPDX-License-Identifier: BSD-3-Clause
"""Which matrices are outliers among those of their role."""

from __future__ import annotations

from collections.abc import Iterable

from sigmascope.glossary import entry
from sigmascope.text import counted, short, with_error

from .estimates import Outlier, outliers
from .findings import Finding, Row, listing, more, role_name, several_towers


def standing_out(rows: list[Row], columns: Iterable[str]) -> Finding:
    """Return what is far from the others of its role, or that nothing is.

    Parameters
    ----------
    rows
        The analysed ones.
    columns
        The measures by which one may stand out.
    """
    by_name: dict[str, list[Outlier]] = {}
    for column in columns:
        for outlier in outliers(rows, column):
            by_name.setdefault(outlier.row["name"], []).append(outlier)
    far = sorted(by_name.values(), key=lambda found: -max(abs(o.distance) for o in found))
    if not far:
        return Finding(
            "Nothing stands out",
            "No matrix is far from the others of its role: all are within 3.5 robust standard "
            "deviations of the median, or within a fifth of it.",
        )
    with_tower = several_towers(rows)
    items = [(found[0].row["name"], _of_outlier(found, with_tower)) for found in far]
    few = len(items) == 1
    text = (
        f"{counted(len(items), 'matrix', 'matrices')} {'is' if few else 'are'} far from the others "
        "of the same role: beyond 3.5 robust standard deviations of their median, and more than a "
        "fifth of it."
    )
    return Finding("Stand out in their role", text + more(len(items)), "notice", listing(items))


def _of_outlier(found: list[Outlier], with_tower: bool) -> str:
    parts = []
    telling = sorted(found, key=lambda outlier: -abs(outlier.distance))[:2]
    for outlier in telling:
        row, column, among = outlier.row, outlier.column, outlier.middle
        parts.append(
            f"{entry(column).label} {with_error(row[column], row.get(f'{column}_error'))}, "
            f"{short(row[column] / among.value)} × the median {among}"
        )
    role = role_name(found[0].row, with_tower)
    return f"{'; '.join(parts)} of {counted(found[0].middle.count, 'matrix', 'matrices')} ({role})"
