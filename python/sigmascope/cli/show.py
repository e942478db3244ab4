# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope show`` and ``merge``: saved results (extra ``cli``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sigmascope import report
from sigmascope._host.files import read_regular
from sigmascope._host.limits import MAX_TABLE_BYTES
from sigmascope._tables.journal import json_line
from sigmascope.comparing import Comparison
from sigmascope.report.tables import console
from sigmascope.scanning import Scan
from sigmascope.series import Trajectory
from sigmascope.series.merging import merge as merge_parts
from sigmascope.series.saved import load_series
from sigmascope.series.sources import load
from sigmascope.series.tables import SeriesTable

from .compare import status_of as status_of_comparison
from .exits import DONE, INCOMPLETE, clean_errors
from .options import AlphaOption
from .registered import find_record_kind
from .resuming import command_of_journal, tell_command
from .scan import status_of as status_of_scan

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A file that a command saved: .jsonl, .csv or .parquet from scan, merge, compare, "
        "trajectory or reference; .json from calibrate, diagnose, bench, verify, lineage, check or "
        "apply.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Save the result in another format: a scan or a comparison as .html (a page to read), "
        ".jsonl, .csv or .parquet; a series as .csv or .jsonl; what diagnose, verify, lineage, "
        "check or apply saved, as .html.",
    ),
]


def show(file: FileArgument, out: OutOption = None, alpha: AlphaOption = 0.05) -> None:
    """Print a saved result again, as the command that made it did."""
    with clean_errors():
        if file.suffix == ".json":
            status = _show_record(file, out, alpha)
        elif (series := load_series(file)) is not None:
            status = _show_series(series, out)
        else:
            status = _show_table(file, out)
        report.show_saved(console(), [] if out is None else [out])
        sys.stdout.flush()
    raise typer.Exit(status)


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="PART...", help="The .jsonl file of each part.", show_default=False),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Save as .jsonl, .csv, .parquet or .html. Repeatable."),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Join the existing parts if some are missing or unfinished."
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the rows as JSON, one per line, instead of tables."),
    ] = False,
) -> None:
    """Join the parts of a scan or a comparison that were made by --shard."""
    with clean_errors():
        merged = merge_parts(parts, partial=partial)
        for path in out or ():
            merged.save(path)
        if as_json:
            sys.stdout.writelines(map(json_line, merged))
        else:
            _print_table(merged)
            report.show_saved(console(), out or ())
        sys.stdout.flush()
    raise typer.Exit(_status_of(merged) or (DONE if merged.complete else INCOMPLETE))


def _show_table(file: Path, out: Path | None) -> int:
    """Show a scan or a comparison, and the command that completes it."""
    table = load(file)
    if out is not None:
        table.save(out)
    _print_table(table)
    if table.complete:
        return _status_of(table)
    tell_command(command_of_journal(table, file))
    return INCOMPLETE


def _print_table(table: Scan | Comparison) -> None:
    if isinstance(table, Comparison):
        report.show_comparison(console(), table)
    else:
        report.show_scan(console(), table)


def _status_of(table: Scan | Comparison) -> int:
    if isinstance(table, Comparison):
        return status_of_comparison(table)
    return status_of_scan(table)


def _show_series(series: SeriesTable, out: Path | None) -> int:
    if out is not None:
        series.save(out)
    if isinstance(series, Trajectory):
        report.show_trajectory(console(), series)
    else:
        report.show_series(console(), series)
    return DONE


def _show_record(file: Path, out: Path | None, alpha: float) -> int:
    """Show a record of a registered kind, such as a diagnosis or a verification."""
    try:
        record = json.loads(read_regular(file, MAX_TABLE_BYTES))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{file}: not a result of sigmascope")
    kind = find_record_kind(record)
    if kind is None:
        raise ValueError(f"{file}: not a result of sigmascope")
    kind.show(file, record, out, alpha)
    return DONE
