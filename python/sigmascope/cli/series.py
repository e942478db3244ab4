# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope trajectory`` and ``reference`` (extra ``cli``)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sigmascope import report
from sigmascope._tables.journal import json_line
from sigmascope.report.tables import console
from sigmascope.series import reference as gather
from sigmascope.series import trajectory as follow
from sigmascope.series.sources import MEASURES

from .exits import DONE, clean_errors
from .options import DeviceOption

ScansArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="SCAN...",
        help="Saved scans or comparisons, or checkpoints to scan.",
        show_default=False,
    ),
]
MeasureOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A column of the rows; may be repeated."),
]
OutOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Save the table as .csv or .jsonl.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print rows as JSON lines on standard output.")
]


def trajectory(
    run: ScansArgument,
    step: Annotated[
        list[float] | None,
        typer.Option(metavar="N", help="Step of each scan; default: the last number in its name."),
    ] = None,
    measure: MeasureOption = None,
    device: DeviceOption = "cpu",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow measures over the steps of one training run."""
    with clean_errors():
        table = follow(run, steps=step or None, measures=measure or MEASURES, device=device)
        if out is not None:
            table.save(out)
        if as_json:
            sys.stdout.writelines(map(json_line, table))
        else:
            report.show_trajectory(console(), table)
        sys.stdout.flush()
    raise typer.Exit(DONE)


def reference(
    models: ScansArgument,
    place: Annotated[
        Path | None,
        typer.Option(metavar="SCAN", help="Print the quantiles of this model among them instead."),
    ] = None,
    measure: MeasureOption = None,
    bands: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of bands of relative depth.")
    ] = 4,
    device: DeviceOption = "cpu",
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Gather models of one family: a distribution per role and depth."""
    with clean_errors():
        family = gather(models, measures=measure or MEASURES, bands=bands, device=device)
        table = family if place is None else family.place(place, device=device)
        if out is not None:
            table.save(out)
        if as_json:
            sys.stdout.writelines(map(json_line, table))
        else:
            report.show_series(console(), table)
        sys.stdout.flush()
    raise typer.Exit(DONE)
