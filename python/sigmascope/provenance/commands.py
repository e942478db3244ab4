# SPDX-License-Identifier: BSD-3-Clause
"""Options that several commands share, and a counter of tensors (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from sigmascope.extension.commands import console

REFUTED_STATUS, UNDETERMINED_STATUS = 3, 4
"""Exit statuses of claims that are refuted or undetermined."""

DonorsOption = typer.Option(
    "--with",
    metavar="DONOR",
    help="An adapter, or another model of the same base. Repeat it for several donors.",
    show_default=False,
)

ToleranceOption = Annotated[
    float,
    typer.Option(min=0.0, metavar="X", help="Largest accepted difference from a claimed weight."),
]

AllowUndeterminedOption = Annotated[
    bool, typer.Option("--allow-undetermined", help="End with status 0 if nothing is decided.")
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def count_tensors(words: str, *, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Yield a listener that counts tensors on the terminal; None if nothing is to be shown.

    Parameters
    ----------
    words
        The counted things, as in "tensors written".
    quiet
        True if nothing is to be shown.
    """
    errors = console(stderr=True)
    if quiet or not errors.is_terminal:
        yield None
        return
    count = 0
    with errors.status("reading headers") as status:

        def show(row: dict[str, Any]) -> None:
            nonlocal count
            count += 1
            status.update(f"{count} {words}; {row['name'] or row.get('merged')}")

        yield show
