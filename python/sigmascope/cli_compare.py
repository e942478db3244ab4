# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints side by side, on the command line: ``sigmascope compare`` (extra ``cli``)."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NoReturn

from . import report
from .cli_scan import run_table
from .comparing import Comparison, compare
from .exits import DONE, INCOMPLETE
from .scanning import Progress


def run_compare(
    before: Path, after: Path, quiet: bool, as_json: bool, workers: int | None, **options: Any
) -> NoReturn:
    """Compare, show, and leave with the exit status that the result deserves."""

    def work(progress: Progress | None, pool: Executor | None) -> Comparison:
        return compare(before, after, progress=progress, executor=pool, workers=workers, **options)

    run_table(work, report.show_comparison, status_of, quiet, as_json, workers)


def status_of(found: Comparison) -> int:
    """Return the exit status that the rows of a comparison deserve."""
    lacking = found.failed or found.unreadable or found.unconverged or found.unpaired
    return INCOMPLETE if lacking else DONE
