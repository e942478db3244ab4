# SPDX-License-Identifier: BSD-3-Clause
"""Tables that fit the width of a terminal (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from sigmascope._display.text import ending, printable

_LISTED = 20
"""Largest number of lines of a list; the rest is counted."""

_GAP = 2
_LEAST = 12
"""Least width to which names are shortened before columns are dropped."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text without markup, since names come from files."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def show_table(
    out: Console,
    title: str,
    headers: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    left: int = 1,
) -> None:
    """Print a table that is no wider than the console.

    The first column has names, which lose their first characters if the table is too wide. Then
    columns are dropped from the end; so the most important ones should come first.

    Parameters
    ----------
    out : Console
    title : str
        Line above the table; none if empty.
    headers, lines : sequences of equal lengths
    left : int
        Number of columns that are aligned to the left; the others are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
    n = len(headers)
    while n > 1 and sum(widths[1:n]) + _GAP * (n - 1) + min(widths[0], _LEAST) > out.width:
        n -= 1
    room = max(out.width - sum(widths[1:n]) - _GAP * (n - 1), _LEAST)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        pad_edge=False,
    )
    for j, header in enumerate(headers[:n]):
        table.add_column(header, justify="left" if j < left else "right", no_wrap=True)
    for line in lines:
        table.add_row(ending(line[0], room), *line[1:n])
    if title:
        out.print(title, style="bold")
    out.print(table)
    out.print()


def split_columns(widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide columns, by number, among tables of at most `room` characters; none is dropped."""
    tables: list[list[int]] = [[]]
    for j, width in enumerate(widths):
        taken = sum(widths[i] + _GAP for i in tables[-1])
        if tables[-1] and taken + width > room:
            tables.append([])
        tables[-1].append(j)
    return tables


def listed(out: Console, title: str, lines: Sequence[str]) -> None:
    """Print a title and the first lines below it; print nothing if there are no lines."""
    if not lines:
        return
    out.print(title, style="bold")
    for line in lines[:_LISTED]:
        out.print(f"  {printable(line)}", soft_wrap=True)
    if len(lines) > _LISTED:
        out.print(f"  and {len(lines) - _LISTED:,} more; --out keeps them all")
    out.print()
