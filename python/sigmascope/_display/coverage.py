# SPDX-License-Identifier: BSD-3-Clause
"""The sentence that comes first if the numbers of a result leave out most bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sigmascope._words.rows import RowView
from sigmascope._words.text import counted, kinds, size
from sigmascope._words.verdicts import COMPARED, outcome

_LOST = {"failed": "failed", "unpaired": "without a partner"}


def describe_unread_bytes(rows: Iterable[RowView], action: str = "analysed") -> str | None:
    """Say how many bytes were left out, and why, if they exceed the bytes that were read.

    Tensors that the user excluded are not counted, nor are second names, scales and other parts of
    weights, and weights that an adapter leaves as they are.

    >>> row = {"name": "w", "status": "not analysed", "kind": "integer", "nbytes": 2_000_000}
    >>> describe_unread_bytes([row])
    'Only 0 B of 2 MB were analysed. Not analysed: 1 integer tensor.'
    """
    read, left = 0, 0
    lost: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    for row in rows:
        nbytes, kind = row.get("nbytes") or 0, row.get("kind") or ""
        if row["status"] in COMPARED and not _is_counted_only(row, kind):
            read += nbytes
        elif _counts(row, kind):
            left += nbytes
            why = _LOST.get(row["status"], "cannot be read" if kind == "unreadable" else "")
            (lost if why else by_kind)[why or kind] += 1
    if left <= read:
        return None
    parts = [f"{counted(count, 'tensor')} {why}" for why, count in lost.most_common()]
    parts += [kinds(by_kind)] if by_kind else []
    verb = f"Only {size(read)} of {size(read + left)} were {action}"
    return f"{verb}. Not {action}: {', '.join(parts)}."


def _is_counted_only(row: RowView, kind: str) -> bool:
    """Return True for integers in a scan: they are read, but no number of the row shows them."""
    return kind == "integer" and row.get("before") is None and row.get("after") is None


def _counts(row: RowView, kind: str) -> bool:
    if row["status"] == "excluded" or kind in ("tied", "scale", "part", "other", "empty"):
        return False
    return outcome(row) not in ("not adapted", "shared", "part")
