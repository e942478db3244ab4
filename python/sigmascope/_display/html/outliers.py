# SPDX-License-Identifier: BSD-3-Clause
"""The finding on matrices that are outliers in their role."""

from __future__ import annotations

from collections.abc import Iterable

from sigmascope._display.glossary import entry
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, number_of, with_error

from .estimates import FEWEST, Middle, Outlier, groups, outliers
from .findings import Finding, listing, more, role_name, several_towers


def standing_out(rows: list[Row], columns: Iterable[str], level: float) -> Finding:
    """Return the finding on outliers, or that there are none.

    Parameters
    ----------
    rows
        The analysed rows.
    columns
        The measures to test.
    level
        Probability of any outlier if the values of every role have one distribution.
    """
    by_name: dict[str, list[Outlier]] = {}
    for outlier in outliers(rows, columns, level):
        by_name.setdefault(outlier.row["name"], []).append(outlier)
    far = sorted(by_name.values(), key=lambda of_one: -max(abs(o.distance) for o in of_one))
    if not far:
        return Finding(
            "Nothing stands out",
            "No matrix is far from the others of its role. Each is within 3.5 robust standard "
            "deviations of the median, or within a fifth of it, or where chance may put one of "
            f"this many matrices.{_untested(rows)}",
        )
    with_tower = several_towers(rows)
    items = [(of_one[0].row["name"], _remark(of_one, with_tower)) for of_one in far]
    few = len(items) == 1
    text = (
        f"{counted(len(items), 'matrix', 'matrices')} {'is' if few else 'are'} far from the "
        "others of the same role: more than 3.5 robust standard deviations and more than a "
        "fifth from the median, and farther than chance would put any of this many matrices."
    )
    return Finding("Stand out in their role", text + more(len(items)), "notice", listing(items))


def _untested(rows: Iterable[Row]) -> str:
    """Say how many matrices are in roles with too few for this test; "" if there are none."""
    few = sum(len(g) for g in groups(rows, "tower", "role").values() if len(g) < FEWEST)
    if not few:
        return ""
    are = "is in a role" if few == 1 else "are in roles"
    matrices = counted(few, "matrix", "matrices")
    return f" Not tested: {matrices} that {are} with fewer than {FEWEST}."


def _remark(of_one: list[Outlier], with_tower: bool) -> str:
    """Write the measures by which one matrix is an outlier, at most two."""
    parts = []
    farthest = sorted(of_one, key=lambda outlier: -abs(outlier.distance))[:2]
    for outlier in farthest:
        row, column, among = outlier.row, outlier.column, outlier.middle
        factor = with_error(row[column] / among.value, _factor_error(row, column, among))
        parts.append(
            f"{entry(column).label} {number_of(row, column)}, {factor} × the median {among}"
        )
    role = role_name(of_one[0].row, with_tower)
    return f"{'; '.join(parts)} of {counted(of_one[0].middle.count, 'matrix', 'matrices')} ({role})"


def _factor_error(row: Row, column: str, among: Middle) -> float:
    """Return the error of value / median from the value's error and the median's interval."""
    error = row.get(f"{column}_error") or 0.0
    wide = max(among.high - among.value, among.value - among.low) / 2
    return float(error + row[column] / among.value * wide) / among.value
