# SPDX-License-Identifier: BSD-3-Clause
"""Special matrices, matrices that medians leave out, and tensors without a spectrum, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from sigmascope._display.coverage import describe_unread_bytes
from sigmascope._display.specials import omissions, specials
from sigmascope._tables.schema import Row
from sigmascope._words.text import short
from sigmascope._words.verdicts import outcome

from . import summary
from .tables import print_section, show_table

_SHOWN = 12
"""Largest number of changed tensors without a spectrum that are shown one by one."""


def show_unread_bytes(out: Console, rows: Sequence[Row], action: str) -> None:
    """Print how many bytes the numbers of the result leave out, if they are most of the bytes."""
    sentence = describe_unread_bytes(rows, action)
    if sentence:
        out.print(f"{sentence}\n")


def show_specials(out: Console, rows: Sequence[Row]) -> None:
    """Print the matrices with a special structure, if there are any."""
    lines = [f"{name}: {structure}" for name, structure in specials(rows)]
    print_section(
        out,
        "Degenerate matrices (zero, constant, rank-deficient, equal rows or columns):",
        lines,
    )


def show_omissions(out: Console, rows: Sequence[Row], labels: Mapping[str, str]) -> None:
    """Print the medians by role that leave out matrices, and these matrices."""
    lines = [
        f"{group.name}, {', '.join(labels[name] for name in left.measures)}: {left}"
        for group in summary.by_role(rows)
        for left in omissions(group.rows, labels)
    ]
    print_section(out, "Medians over only some matrices of a role:", lines)


def show_entrywise(out: Console, rows: Sequence[Row]) -> None:
    """Print the tensors without a spectrum that changed, the largest change first."""
    changed = [row for row in rows if outcome(row) == "changed"]
    changed.sort(key=lambda row: -(row["relative_change"] or float("inf")))
    lines = [
        [
            row["name"],
            row["kind"],
            short(row["relative_change"]),
            short(row["cosine"]),
            f"{row['changed_entries']:,}",
            short(row["delta_abs_max"]),
        ]
        for row in changed[:_SHOWN]
    ]
    if not lines:
        return
    title = f"Changed, without a spectrum: {len(changed):,} of {len(rows):,}"
    title += f", the {_SHOWN} largest" if len(changed) > _SHOWN else ""
    headers = ["tensor", "kind", "|dv|/|v|", "cosine", "entries", "largest dv"]
    show_table(out, title, headers, lines, left=2)
