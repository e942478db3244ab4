# SPDX-License-Identifier: BSD-3-Clause
"""Verifications on the terminal (extra ``cli``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sigmascope.extension import counted
from sigmascope.provenance.terminal import show_decisions, show_sentence, show_wrapped

from .combining import box_of
from .exact import REPLACED
from .tensors import IDENTICAL, MERGED, UNEXPLAINED, Row
from .wording import weight_text

LISTED = 20
"""Largest number of tensors in the table; the rest is counted."""


FEW = 3
"""Largest number of tensors whose notes are printed."""


def show_verification(out: Console, record: Mapping[str, Any]) -> None:
    """Print the verdicts, the sentences, and the tensors that stand out."""
    show_decisions(out, record["decisions"])
    for sentence in record["sentences"]:
        show_sentence(out, sentence)
    out.print()
    unlike = rows_that_stand_out(record)
    lines = [[_name(row), _finding(record, row)] for row in unlike[:LISTED]]
    if lines:
        show_wrapped(out, "Tensors that stand out", ["tensor", "finding"], lines)
        if len(unlike) > LISTED:
            out.print(f"and {len(unlike) - LISTED} more, which --json and --out list")
        out.print()
    counts = Counter(row["status"] for row in record["rows"])
    out.print(", ".join(f"{count} {status}" for status, count in counts.items()))
    show_notes(out, record)


def show_notes(out: Console, record: Mapping[str, Any]) -> None:
    """Print remarks on the operands, and on how the first tensors were paired."""
    noted = [row for row in record["rows"] if row["note"]]
    notes = [*record["notes"], *(f"{_name(row)}: {row['note']}" for row in noted[:FEW])]
    if len(noted) > FEW:
        notes.append(f"{counted(len(noted) - FEW, 'other tensor')} with a note: see --json")
    for note in notes:
        show_sentence(out, f"Note: {note}")


def rows_that_stand_out(record: Mapping[str, Any]) -> list[Row]:
    """Return the tensors that a reader should look at."""
    rows = record["rows"]
    if record["weights"] is None and all(row["status"] != UNEXPLAINED for row in rows):
        return [row for row in rows if row["status"] != IDENTICAL]
    return [row for row in rows if row["status"] not in (IDENTICAL, MERGED, REPLACED)]


def _name(row: Row) -> str:
    return str(row["name"] or row["merged"])


def _finding(record: Mapping[str, Any], row: Row) -> str:
    if row["reason"]:
        return str(row["reason"])
    if row["status"] == MERGED:
        box = box_of(row, None, len(record["donors"]))
        return ", ".join(
            weight_text(float(low), float(high))
            for i, (low, high) in enumerate(box)
            if i in row["donors"]
        )
    return f"{row['status']}: {row['changed']:,} of {counted(row['numbers'], 'number')} moved"
