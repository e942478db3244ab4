# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope compare`` (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from sigmascope import report
from sigmascope._display.verdicts import ALONE_INTEGERS
from sigmascope.adapters.scannable import Scannable, as_scannable
from sigmascope.comparing import Comparison
from sigmascope.comparing import compare as compare_checkpoints
from sigmascope.scanning import Progress

from .exits import DONE, INCOMPLETE, clean_errors
from .options import (
    Accuracy,
    AccuracyOption,
    DeviceOption,
    DrawnSeedOption,
    Effort,
    EffortOption,
    ExcludeOption,
    HeadsOption,
    IncludeOption,
    JsonOption,
    MemoryOption,
    OutOption,
    QuietOption,
    RankOption,
    Reading,
    ReadingOption,
    RecipeOption,
    ReferenceOption,
    RulesOption,
    ThreadsOption,
    TolOption,
    VariantOption,
    paths_here,
)
from .plan import PlanOption, show_plan
from .registered import read_report_options
from .scan import (
    MeasuresOption,
    OutputOptions,
    ResumeOption,
    ShardOption,
    VectorsOption,
    WorkersOption,
    run_table,
    shard_of,
)


def compare(
    before: Annotated[
        str,
        typer.Argument(
            metavar="BEFORE",
            help="A checkpoint, as for `sigmascope scan`.",
            show_default=False,
            autocompletion=paths_here,
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            metavar="AFTER",
            help="A later version of the first one, or a LoRA adapter of it.",
            show_default=False,
            autocompletion=paths_here,
        ),
    ],
    effort: EffortOption = Effort.DENSITY,
    k: RankOption = 64,
    tol: TolOption = 1e-3,
    accuracy: AccuracyOption = Accuracy.REFERENCE,
    measures: MeasuresOption = None,
    device: DeviceOption = "cpu",
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    seed: DrawnSeedOption = None,
    reading: ReadingOption = Reading.BUFFERED,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    vectors: VectorsOption = None,
    out: OutOption = None,
    heads: HeadsOption = False,
    rules: RulesOption = None,
    variant: VariantOption = None,
    resume: ResumeOption = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    reference: ReferenceOption = None,
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    plan: PlanOption = False,
) -> None:
    """Measure the change of every matrix between two checkpoints."""
    how: dict[str, Any] = {
        "effort": effort,
        "k": k,
        "tol": tol,
        "accuracy": accuracy,
        "measures": measures,
        "seed": seed,
        "device": device,
        "num_threads": threads,
        "memory_limit": memory,
        "include": include,
        "exclude": exclude,
        "vectors": vectors,
        "out": out,
        "resume": resume,
        "workers": workers,
    }
    opening: dict[str, Any] = {
        "reading": reading,
        "heads": heads,
        "rules": rules,
        "variant": variant,
    }

    def both() -> tuple[Scannable, Scannable]:
        return as_scannable(before, **opening), as_scannable(after, **opening)

    if plan:
        how["out"] = None
        show_plan(
            lambda: compare_checkpoints(*both(), shard=shard_of(shard), plan=True, **how),
            as_json,
            out,
        )
    run_compare(both, quiet, as_json, reference, recipe, shard=shard, **how)


def run_compare(
    both: Callable[[], tuple[Scannable, Scannable]],
    quiet: bool,
    as_json: bool,
    reference: Path | None,
    recipe: list[str] | None,
    *,
    shard: str | None,
    workers: int | None,
    **options: Any,
) -> NoReturn:
    """Compare two checkpoints, print the result, and exit with its status."""
    saved = options["out"] or ()
    with clean_errors():
        if reference is not None and as_json:
            raise ValueError("--reference prints text: use `sigmascope diagnose --json` for JSON")
        show_report = read_report_options(reference, recipe)

    def work(progress: Progress | None, pool: Executor | None) -> Comparison:
        how = options | {"shard": shard_of(shard), "workers": workers}
        return compare_checkpoints(*both(), plan=False, progress=progress, executor=pool, **how)

    def show(out: Console, comparison: Comparison) -> None:
        report.show_comparison(out, comparison)
        if show_report is not None:
            show_report(out, comparison, saved)

    outputs = OutputOptions(options["resume"], saved)
    run_table(work, show, status_of, quiet, as_json, workers, outputs)


def status_of(comparison: Comparison) -> int:
    """Return the exit status of a comparison: INCOMPLETE if a tensor was not compared.

    Tensors that the user excluded, entries that are not tensors, and buffers of integers that one
    checkpoint lacks do not count.
    """
    lacking = comparison.verdict.not_compared.keys() - {"excluded", "no tensor", ALONE_INTEGERS}
    return INCOMPLETE if lacking or comparison.unconverged else DONE
