# SPDX-License-Identifier: BSD-3-Clause
"""The option ``sigmascope scan --plan`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sigmascope import report
from sigmascope._tables.journal import json_line
from sigmascope.adapters import as_scannable
from sigmascope.report.tables import console
from sigmascope.scanning import plan_scan

from .exits import DONE, INCOMPLETE, clean_errors
from .scan import shard_of

PlanOption = Annotated[
    bool,
    typer.Option(
        "--plan", help="Compute nothing: print what would be done, in which memory and time."
    ),
]


def show_plan(
    path: Path,
    as_json: bool,
    *,
    opening: Mapping[str, Any],
    shard: str | None,
    **options: Any,
) -> NoReturn:
    """Print the plan of a scan; with JSON a line per matrix, and one of the totals."""
    with clean_errors():
        opened = as_scannable(path, **opening)
        plan = plan_scan(opened, shard=shard_of(shard), **options)
        if as_json:
            for tensor in plan:
                sys.stdout.write(json_line(asdict(tensor)))
            sys.stdout.write(json_line({"totals": plan.totals()}))
        else:
            report.show_plan(console(), plan)
        sys.stdout.flush()
    raise typer.Exit(INCOMPLETE if plan.refused or plan.unreadable else DONE)
