# SPDX-License-Identifier: BSD-3-Clause
"""Tables and lists that fit the width of a terminal, complete in a pipe or a file (extra ``cli``).

Text without a terminal has no width, unless the variable COLUMNS sets one: nothing is cut there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from sigmascope._display.folding import fold_names
from sigmascope._display.names import short_names, stay_distinct
from sigmascope._tables.schema import Row
from sigmascope._words.text import counted, printable, short

UNLIMITED = 1_000_000
"""Width of a console that is not a terminal, in characters."""

_LISTED = 20
"""Largest number of lines of a list on a terminal; the rest is counted."""

_NAMED = 6
"""Largest number of lines with names of one reason on a terminal; the rest is counted."""

_SHORT = 60
"""Largest number of characters of names that stand in one line with their reason."""

_GAP = 2
_LEAST = 12
"""Least width to which names are shortened."""


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled; rich would exit with status 1."""
        raise


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text without markup, since names come from files."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else UNLIMITED
    return _Screen(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def is_complete(out: Console) -> bool:
    """Return True if nothing has to be left out to fit: in a pipe or a file."""
    return out.width >= UNLIMITED


def show_table(
    out: Console,
    title: str,
    headers: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    left: int = 1,
) -> None:
    """Print a table that is no wider than the console.

    The first column has names. If the table is too wide, they are shortened so that they stay
    distinct, and columns that do not fit follow in further tables below.

    Parameters
    ----------
    out : Console
    title : str
        Line above the table; omitted if empty.
    headers, lines : sequences of equal lengths
    left : int
        Number of columns that are aligned to the left; the others are aligned to the right. These
        columns distinguish the lines, and further tables repeat them if there is room.
    """
    widths = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
    names = [line[0] for line in lines]
    room = _room(names, len(headers[0]), widths[1:], out.width)
    short = short_names(names, room)
    if title:
        out.print(title, style="bold")
    if legend := short.legend():
        out.print(legend)
    room = max(len(headers[0]), *map(len, short.texts)) if lines else widths[0]
    for columns in _divided(widths, room, left, out.width):
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            header_style="bold",
            pad_edge=False,
        )
        for j in columns:
            table.add_column(headers[j], justify="left" if j < left else "right", no_wrap=True)
        for name, line in zip(short.texts, lines, strict=True):
            table.add_row(name, *(line[j] for j in columns[1:]))
        out.print(table)
        out.print()


def _room(names: Sequence[str], header: int, others: Sequence[int], width: int) -> int:
    """Return the width of the column of names: the free width, or one that keeps them distinct."""
    whole = max(header, *map(len, names)) if names else header
    free = width - sum(others) - _GAP * len(others)
    most = max(width - max(others, default=0) - _GAP, _LEAST)
    for room in (free, width // 3, width // 2, most):
        if room >= min(whole, 2 * _LEAST, most) and stay_distinct(names, room):
            return min(room, whole)
    return min(most, whole)


def _divided(widths: Sequence[int], room: int, left: int, width: int) -> list[list[int]]:
    """Divide the columns among tables that fit; each has the columns that name its lines."""
    keys = list(range(1, left))
    taken = room + _GAP + sum(widths[j] + _GAP for j in keys)
    if 3 * taken > 2 * width:
        keys, taken = [], room + _GAP
    rest = [j for j in range(1, len(widths)) if j not in keys]
    groups = split_columns([widths[j] for j in rest], width - taken)
    return [[0, *keys, *(rest[i] for i in group)] for group in groups]


def split_columns(widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide the indices of all columns among tables of at most `room` characters."""
    tables: list[list[int]] = [[]]
    taken = 0
    for j, width in enumerate(widths):
        if tables[-1] and taken + width > room:
            tables.append([])
            taken = 0
        tables[-1].append(j)
        taken += width + _GAP
    return tables


def print_section(
    out: Console, title: str, lines: Sequence[str], more: str = "--out saves all"
) -> None:
    """Print a title and the lines below it, the first ones on a terminal; nothing without lines.

    Parameters
    ----------
    out, title, lines
    more
        A way to see the lines that are left out.
    """
    if not lines:
        return
    out.print(title, style="bold")
    count = len(lines) if is_complete(out) else _LISTED
    for line in lines[:count]:
        out.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > count:
        out.print(f"  and {len(lines) - count:,} more; {more}")
    out.print()


def print_unconverged(out: Console, rows: Iterable[Row]) -> None:
    """Print the matrices whose search did not converge, with the number of reads of each."""
    lines = [f"{row['name']}: {counted(row['passes'], 'read')}" for row in rows]
    print_section(out, "Did not converge (the errors are still valid):", lines)


def by_reason(
    out: Console,
    title: str,
    reasons: Iterable[tuple[str, str]],
    more: str = "--out saves all",
    sizes: Mapping[str, float | None] | None = None,
) -> None:
    """Print a title, and below it each reason with the names of its tensors, which are folded.

    Parameters
    ----------
    out, title
    reasons
        Name and reason of each tensor.
    more
        A way to see the names that are left out.
    sizes
        Norms of the changes of tensors, whose range is printed with the reason.
    """
    groups: dict[str, list[str]] = {}
    for name, reason in reasons:
        groups.setdefault(reason, []).append(name)
    lines: list[str] = []
    for reason, names in groups.items():
        folds = fold_names(names)
        known = [size for name in names if (size := (sizes or {}).get(name)) is not None]
        norm = f" (|dW| {_ends(known)})" if known else ""
        together = ", ".join(fold.text for fold in folds)
        if len(folds) == 1 or len(together) <= _SHORT:
            lines.append(f"{together}{norm}: {reason}")
            continue
        lines.append(f"{counted(len(names), 'tensor')}{norm}: {reason}")
        few = folds if is_complete(out) or len(folds) <= _NAMED + 1 else folds[:_NAMED]
        lines += [f"  {fold.text}" for fold in few]
        rest = len(names) - sum(len(fold.names) for fold in few)
        lines += [f"  and {rest:,} more"] if rest else []
    print_section(out, title, lines, more)


def _ends(numbers: Sequence[float]) -> str:
    """Write the range of some numbers, or their one value."""
    low, high = short(min(numbers)), short(max(numbers))
    return low if low == high else f"{low} to {high}"
