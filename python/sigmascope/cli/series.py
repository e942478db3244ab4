# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope trajectory`` and ``reference`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from sigmascope import report
from sigmascope._tables.journal import json_line
from sigmascope._tables.scan_options import SCAN
from sigmascope._words.text import seed_text
from sigmascope.checkpoint.remote.urls import is_url
from sigmascope.errors import ScanInterrupted
from sigmascope.report.tables import console
from sigmascope.series import Trajectory
from sigmascope.series import reference as gather
from sigmascope.series import trajectory as follow
from sigmascope.series.saved import saved_trajectory
from sigmascope.series.sources import MEASURES
from sigmascope.series.tables import SeriesTable

from .exits import DONE, clean_errors
from .options import JsonOption, QuietOption, path_argument, paths_here, takes
from .scan import progress_on, status_of_interruption

T = TypeVar("T", bound=SeriesTable)

ScansArgument = Annotated[
    list[str],
    path_argument("SCAN...", "Saved scans or comparisons, or checkpoints to scan: paths or URLs."),
]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Measure to follow, a column of the rows such as alpha. Default: effective_rank, "
        "stable_rank, spectral_norm and fro_norm. Repeatable.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Save the table as .csv or .jsonl.")
]
_SCAN = [SCAN["seed"], SCAN["device"]]
"""Options for the scans of checkpoints."""


@takes(_SCAN)
def trajectory(
    run: ScansArgument,
    *,
    step: Annotated[
        list[float] | None,
        typer.Option(
            metavar="N",
            help="Training step of a scan. Repeat the option for each scan, in the same order. "
            "Default: the last number in the name of its file or folder.",
        ),
    ] = None,
    measure: MeasureOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Follow measures over the steps of a training run.

    The file of a monitor, or of an earlier trajectory, is read as it is.
    """
    with clean_errors(), _interruptible():
        with progress_on(quiet) as progress:
            saved = _saved(run, step, measure)
            table = saved or follow(
                run,
                steps=step or None,
                measures=measure or MEASURES,
                progress=progress,
                **options,
            )
        _write(table, out, as_json, report.show_trajectory)
        if saved is None:
            _tell_seed(table.seed, options["seed"], as_json)
        sys.stdout.flush()
    raise typer.Exit(DONE)


def _write(table: T, out: Path | None, as_json: bool, show: Callable[[Console, T], None]) -> None:
    """Save a table if a file is given, and print its rows as JSON, or by `show`."""
    if out is not None:
        table.save(out)
    if as_json:
        sys.stdout.writelines(map(json_line, table))
    else:
        show(console(), table)


def _saved(
    run: list[str], step: list[float] | None, measure: list[str] | None
) -> Trajectory | None:
    """Read the file of a trajectory, if it is the only one that is given."""
    if len(run) != 1 or is_url(run[0]):
        return None
    table = saved_trajectory(Path(run[0]), measure)
    if table is not None and step:
        raise ValueError(f"{run[0]} is a trajectory, which has its own steps: omit --step")
    return table


def _tell_seed(scanned_with: int | None, given: int | None, as_json: bool) -> None:
    """Print the seed that was drawn for the scans of checkpoints, if there were any."""
    if scanned_with is not None and given is None:
        text = seed_text({"seed": scanned_with, "seed_drawn": True})
        console(stderr=as_json).print(f"Checkpoints scanned with {text}.")


@takes(_SCAN)
def reference(
    models: ScansArgument,
    *,
    place: Annotated[
        str | None,
        typer.Option(
            metavar="SCAN",
            help="Print instead where this model lies among the others, as quantiles.",
            autocompletion=paths_here,
        ),
    ] = None,
    measure: MeasureOption = None,
    bands: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of bands of equal depth into which the layers are divided.",
        ),
    ] = 4,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Describe models of one family: the range of each measure by role and depth."""
    with clean_errors(), _interruptible():
        with progress_on(quiet) as progress:
            how: dict[str, Any] = options | {"progress": progress}
            family = gather(models, measures=measure or MEASURES, bands=bands, **how)
            again = how if family.seed is None else how | {"seed": family.seed}
            table = family if place is None else family.place(place, **again)
            scanned_with = family.seed if table.seed is None else table.seed
        _write(table, out, as_json, report.show_series)
        _tell_seed(scanned_with, options["seed"], as_json)
        sys.stdout.flush()
    raise typer.Exit(DONE)


@contextmanager
def _interruptible() -> Iterator[None]:
    """After Ctrl-C say how the scans of checkpoints are kept, and exit with its status."""
    try:
        yield
    except ScanInterrupted as stop:
        print(
            "sigmascope: interrupted; no scan was saved. To save the scans, scan each "
            "checkpoint with `sigmascope scan PATH --resume FILE.jsonl`, and give the files "
            "instead of the paths.",
            file=sys.stderr,
        )
        raise typer.Exit(status_of_interruption(stop)) from None
