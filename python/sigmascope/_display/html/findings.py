# SPDX-License-Identifier: BSD-3-Clause
"""Findings: the titled sentences at the top of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sigmascope._words.rows import Row, largest_first, role_in_tower
from sigmascope._words.text import counted

Kind = Literal["plain", "notice", "problem"]

EXTENT = "Analysed"
"""Title of the finding on the extent of a scan."""

LISTED = 6
"""Largest number of matrices that a finding names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding, and the matrices that it is about.

    Attributes
    ----------
    title
        Two or three words.
    text
        One or two sentences with numbers and their intervals.
    kind
        "plain", "notice" (worth a look), or "problem" (something is missing or wrong).
    items
        Names of matrices, each with a remark.
    """

    title: str
    text: str
    kind: Kind = "plain"
    items: tuple[tuple[str, str], ...] = ()


def listing(items: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the first items, up to the number that a finding names."""
    return tuple(items[:LISTED])


def more(count: int) -> str:
    """Return a sentence that not all matrices are named; empty if all are."""
    return f" The first {LISTED} are listed here." if count > LISTED else ""


def outcomes(rows: Iterable[Row], what: tuple[str, str]) -> list[Finding]:
    """Return findings on rows that failed, could not be read, or did not converge, one for each.

    Parameters
    ----------
    rows
        Rows of a scan or of a comparison.
    what
        Singular and plural of the noun for a row.
    """
    rows = largest_first(rows)
    failed = [row for row in rows if row["status"] == "failed"]
    lost = [r for r in rows if r.get("kind") == "unreadable" and r["status"] == "not analysed"]
    slow = [row for row in rows if row["status"] == "analysed" and row.get("converged") is False]
    parts = []
    if failed:
        others = any(row.get("rows") is None and row.get("nan") is not None for row in failed)
        who = counted(len(failed), "tensor") if others else counted(len(failed), *what)
        text = f"{who} failed and {'has' if len(failed) == 1 else 'have'} no numbers."
        items = listing([(row["name"], row.get("reason") or "") for row in failed])
        parts.append(Finding("Failed", text + more(len(failed)), "problem", items))
    if lost:
        text = f"{counted(len(lost), 'tensor')} cannot be read by this version."
        items = listing([(row["name"], row.get("reason") or "") for row in lost])
        parts.append(Finding("Not read", text + more(len(lost)), "problem", items))
    if slow:
        text = (
            f"{counted(len(slow), *what)} did not reach the requested tolerance. Their errors "
            "are larger, and still valid."
        )
        items = listing([(row["name"], f"{row.get('passes')} passes") for row in slow])
        parts.append(Finding("Not converged", text + more(len(slow)), "notice", items))
    return parts


def several_towers(rows: Iterable[Row]) -> bool:
    """Return True if the rows are of more than one tower."""
    return len({row.get("tower") for row in rows}) > 1


def role_name(row: Row, with_tower: bool) -> str:
    """Return the role of a row, after its tower if `with_tower`."""
    role = row.get("role") or "other"
    return role_in_tower(row.get("tower"), role) if with_tower else str(role)
