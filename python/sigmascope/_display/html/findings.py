# SPDX-License-Identifier: BSD-3-Clause
"""What a page opens with: a sentence per finding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sigmascope._display.text import counted

Row = dict[str, Any]
Kind = Literal["plain", "notice", "problem"]

LISTED = 6
"""Matrices named with one finding; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence or two, and the matrices that it speaks of.

    Attributes
    ----------
    title
        Two or three words.
    text
        Sentences with numbers and their intervals.
    kind
        "plain", "notice" (worth a look), or "problem" (something is missing or wrong).
    items
        (name of a matrix, what is said of it).
    """

    title: str
    text: str
    kind: Kind = "plain"
    items: tuple[tuple[str, str], ...] = ()


def listing(items: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return as many items as are read."""
    return tuple(items[:LISTED])


def more(count: int) -> str:
    """Say how many are not listed."""
    return f" The first {LISTED} are named here." if count > LISTED else ""


def outcomes(rows: Iterable[Row], what: tuple[str, str]) -> list[Finding]:
    """Return what failed, could not be read, or did not converge; one finding each.

    Parameters
    ----------
    rows
        Of a scan or of a comparison.
    what
        What a row is, and its plural.
    """
    rows = list(rows)
    failed = [row for row in rows if row["status"] == "failed"]
    lost = [r for r in rows if r.get("kind") == "unreadable" and r["status"] == "not analysed"]
    slow = [row for row in rows if row["status"] == "analysed" and row.get("converged") is False]
    found = []
    if failed:
        others = any(row.get("rows") is None and row.get("nan") is not None for row in failed)
        who = counted(len(failed), "tensor") if others else counted(len(failed), *what)
        text = f"{who} failed; there is no number for them."
        items = listing([(row["name"], row.get("reason") or "") for row in failed])
        found.append(Finding("Failed", text + more(len(failed)), "problem", items))
    if lost:
        text = f"{counted(len(lost), 'tensor')} cannot be read by this version."
        items = listing([(row["name"], row.get("reason") or "") for row in lost])
        found.append(Finding("Not read", text + more(len(lost)), "problem", items))
    if slow:
        text = (
            f"{counted(len(slow), *what)} did not reach the tolerance that was asked for. "
            "Their errors are larger, and hold all the same."
        )
        items = listing([(row["name"], f"{row.get('passes')} passes") for row in slow])
        found.append(Finding("Not converged", text + more(len(slow)), "notice", items))
    return found


def several_towers(rows: Iterable[Row]) -> bool:
    """Whether a role alone does not say where a matrix is."""
    return len({row.get("tower") for row in rows}) > 1


def role_name(row: Row, with_tower: bool) -> str:
    """Return the role of a row as it is written."""
    role = row.get("role") or "other"
    return f"{row.get('tower')} {role}" if with_tower else str(role)
