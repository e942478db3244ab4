# SPDX-License-Identifier: BSD-3-Clause
"""The option --plan of ``sigmascope scan`` and ``compare`` (extra ``cli``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import typer

from sigmascope import report
from sigmascope._tables.journal import json_line
from sigmascope.report.tables import console
from sigmascope.scanning.plans import Plan
from sigmascope.scanning.saved_plans import check_paths, save_plan

from .exits import DONE, INCOMPLETE, clean_errors


def show_plan(make: Callable[[], Plan], as_json: bool, out: Sequence[Path] | None) -> NoReturn:
    """Print a plan, and save it; with JSON a line per matrix or pair, and one of the totals."""
    paths = out or ()
    with clean_errors():
        check_paths(paths)
        plan = make()
        for path in paths:
            save_plan(plan, path)
        if as_json:
            for tensor in plan:
                sys.stdout.write(json_line(asdict(tensor)))
            sys.stdout.write(json_line({"totals": plan.totals()}))
        else:
            report.show_plan(console(), plan)
            report.show_saved(console(), paths)
        sys.stdout.flush()
    raise typer.Exit(INCOMPLETE if plan.refused or plan.unreadable else DONE)
