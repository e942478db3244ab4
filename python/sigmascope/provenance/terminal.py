# SPDX-License-Identifier: BSD-3-Clause
"""Sentences, claims and tables of results on the terminal (extra ``cli``)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from sigmascope.extension import printable


def show_sentence(out: Console, sentence: str, first: str = "", indent: str = "") -> None:
    """Print a sentence in lines that end between words; long names stay whole.

    Parameters
    ----------
    out
        The terminal.
    sentence
        A text without line breaks; names from files are not markup.
    first, indent
        Start of the first line and of all others.
    """
    lines = textwrap.wrap(
        printable(sentence),
        out.width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    out.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def show_decisions(out: Console, decisions: Iterable[Mapping[str, str]]) -> None:
    """Print each claim with its verdict and the reason."""
    for decision in decisions:
        claim = f"{printable(decision['expectation'])}: {printable(decision['verdict'])}"
        out.print(claim, style="bold", markup=False, highlight=False)
        show_sentence(out, decision["reason"], "  ", "  ")
    out.print()


def show_wrapped(
    out: Console, title: str, headers: Sequence[str], lines: Sequence[Sequence[str]]
) -> None:
    """Print a table whose cells are broken into lines where the terminal is too narrow."""
    out.print(title, style="bold")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for line in lines:
        table.add_row(*map(printable, line))
    out.print(table)
    out.print()
