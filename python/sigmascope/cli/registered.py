# SPDX-License-Identifier: BSD-3-Clause
"""Commands, records and reports that packages add by entry points (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from sigmascope._host.registered import RegistrationError, iter_registered
from sigmascope.comparing import Comparison

from .exits import complain

COMMANDS, RECORDS = "sigmascope.commands", "sigmascope.records"
REPORTS = "sigmascope.comparison_reports"

ShowReport = Callable[[Console, Comparison, Sequence[Path]], None]
"""Prints a report on a comparison, and adds it to the pages at these paths."""

ComparisonReport = Callable[[Path | None, list[str] | None], ShowReport | None]
"""Reads the options --reference and --recipe; None if they do not request a report."""


@dataclass(frozen=True, slots=True)
class SavedRecord:
    """A kind of .json file that ``sigmascope show`` prints.

    Attributes
    ----------
    recognises : callable
        Returns whether a record is of this kind.
    show : callable
        Prints the record of a file, and saves it as another file if a path is given. Its
        arguments are the file, the record, that path or None, and the significance level.
    """

    recognises: Callable[[Mapping[str, Any]], bool]
    show: Callable[[Path, dict[str, Any], Path | None, float], None]


def iter_commands() -> Iterator[Callable[..., None]]:
    """Yield the commands of packages; one that cannot be imported is reported and left out."""
    for registered in iter_registered(COMMANDS, "command"):
        try:
            yield registered.load()
        except RegistrationError as error:
            complain(error)


def find_record_kind(record: Mapping[str, Any]) -> SavedRecord | None:
    """Return the registered kind of a record; None if no package recognises it."""
    for registered in iter_registered(RECORDS, "record"):
        kind = registered.load()
        if not isinstance(kind, SavedRecord):
            name = type(kind).__name__
            raise RegistrationError(f"{registered.label} is a {name}, not a SavedRecord")
        if kind.recognises(record):
            return kind
    return None


def read_report_options(reference: Path | None, recipe: list[str] | None) -> ShowReport | None:
    """Return the function that prints the report that the options of a comparison request.

    Raises
    ------
    ValueError
        If they request a report, and no package makes one.
    """
    if reference is None and recipe is None:
        return None
    for registered in iter_registered(REPORTS, "report"):
        show: ShowReport | None = registered.load()(reference, recipe)
        return show
    raise ValueError("--reference and --recipe need sigmascope.diagnosis, which is not installed")
