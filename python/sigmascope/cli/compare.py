# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope compare`` (extra ``cli``)."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Annotated, Any

from rich.console import Console

from sigmascope import report
from sigmascope._tables.scan_options import OPENING, SCAN
from sigmascope._words.verdicts import ALONE_INTEGERS
from sigmascope.adapters.scannable import as_scannable
from sigmascope.comparing import Comparison
from sigmascope.comparing import compare as compare_checkpoints
from sigmascope.scanning import Progress

from .exits import DONE, INCOMPLETE, clean_errors
from .options import (
    JsonOption,
    QuietOption,
    RecipeOption,
    ReferenceOption,
    path_argument,
    takes,
)
from .plan import show_plan
from .registered import read_report_options
from .scan import OutputOptions, run_table, shard_of, take_opening


@takes([*SCAN.values(), *OPENING.values()])
def compare(
    before: Annotated[str, path_argument("BEFORE", "A checkpoint, as for `sigmascope scan`.")],
    after: Annotated[
        str,
        path_argument("AFTER", "A later version of BEFORE, or a LoRA adapter for it."),
    ],
    *,
    reference: ReferenceOption = None,
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Measure the change of every matrix between two checkpoints."""
    opening, shard = take_opening(options), options.pop("shard")

    def compared(**how: Any) -> Any:
        both = [as_scannable(path, **opening) for path in (before, after)]
        return compare_checkpoints(*both, shard=shard_of(shard), **options | how)

    if options.pop("plan"):
        show_plan(lambda: compared(plan=True, out=None), as_json, options["out"])
    saved = options["out"] or ()
    with clean_errors():
        if reference is not None and as_json:
            raise ValueError("--reference prints text: use `sigmascope diagnose --json` for JSON")
        show_report = read_report_options(reference, recipe)

    def work(progress: Progress | None, pool: Executor | None) -> Comparison:
        table: Comparison = compared(progress=progress, executor=pool)
        return table

    def show(out: Console, comparison: Comparison) -> None:
        report.show_comparison(out, comparison)
        if show_report is not None:
            show_report(out, comparison, saved)

    outputs = OutputOptions(options["resume"], saved)
    run_table(work, show, status_of, quiet, as_json, options["workers"], outputs)


def status_of(comparison: Comparison) -> int:
    """Return the exit status of a comparison: INCOMPLETE if a tensor was not compared.

    Tensors that the user excluded, entries that are not tensors, and buffers of integers that one
    checkpoint lacks do not count.
    """
    lacking = comparison.verdict.not_compared.keys() - {"excluded", "no tensor", ALONE_INTEGERS}
    return INCOMPLETE if lacking or comparison.unconverged else DONE
