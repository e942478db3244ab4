# SPDX-License-Identifier: BSD-3-Clause
"""The option --plan of ``sigmascope scan`` and ``compare`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from sigmascope import report
from sigmascope._tables.journal import json_line
from sigmascope.report.tables import console
from sigmascope.scanning.plans import Plan

from .exits import DONE, INCOMPLETE, clean_errors

PlanOption = Annotated[
    bool,
    typer.Option(
        "--plan", help="Compute nothing: print what would be done, in which memory and time."
    ),
]


def show_plan(make: Callable[[], Plan], as_json: bool) -> NoReturn:
    """Print a plan; with JSON a line per matrix or pair, and one of the totals."""
    with clean_errors():
        plan = make()
        if as_json:
            for tensor in plan:
                sys.stdout.write(json_line(asdict(tensor)))
            sys.stdout.write(json_line({"totals": plan.totals()}))
        else:
            report.show_plan(console(), plan)
        sys.stdout.flush()
    raise typer.Exit(INCOMPLETE if plan.refused or plan.unreadable else DONE)
