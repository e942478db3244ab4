# SPDX-License-Identifier: BSD-3-Clause
"""Parts of several commands: options, a counter of tensors, saved results (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sigmascope.extension.commands import SavedRecord, console

from .applying.terminal import show_application
from .checking.terminal import show_check
from .lineages.terminal import show_lineage, show_lineages
from .merges.terminal import show_verification
from .saving import write_result

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


_KINDS: dict[str, Callable[[Console, Mapping[str, Any]], None]] = {
    "sigmascope verification": show_verification,
    "sigmascope check": show_check,
    "sigmascope application": show_application,
    "lineage": show_lineage,
    "lineages": show_lineages,
}


def _show_saved(file: Path, record: dict[str, Any], out: Path | None, alpha: float) -> None:
    """Print a record, and save it as a page if a path is given."""
    try:
        if out is not None:
            write_result(out, record)
        _KINDS[record["kind"]](console(), record)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{file}: damaged, or saved by another version: {type(error).__name__}: {error}"
        ) from None


PROVENANCE = SavedRecord(lambda record: record.get("kind") in _KINDS, _show_saved)
