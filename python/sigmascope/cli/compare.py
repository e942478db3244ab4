# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope compare`` (extra ``cli``)."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sigmascope import report
from sigmascope.comparing import Comparison
from sigmascope.comparing import compare as compare_checkpoints
from sigmascope.scanning import Progress

from .exits import DONE, INCOMPLETE
from .options import (
    CheckpointArgument,
    Effort,
    EffortOption,
    ExcludeOption,
    IncludeOption,
    JsonOption,
    MemoryOption,
    OutOption,
    QuietOption,
    RankOption,
    Reading,
    ReadingOption,
    SeedOption,
    ThreadsOption,
    TolOption,
)
from .scan import MeasuresOption, ResumeOption, WorkersOption, run_table


def compare(
    before: CheckpointArgument,
    after: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A later version of it, or a LoRA adapter of it.",
            show_default=False,
        ),
    ],
    effort: EffortOption = Effort.DENSITY,
    k: RankOption = 64,
    tol: TolOption = 1e-3,
    measures: MeasuresOption = None,
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    reading: ReadingOption = Reading.BUFFERED,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare every matrix of two checkpoints: what changed, how much, in which directions."""
    run_compare(
        before,
        after,
        quiet,
        as_json,
        workers,
        effort=effort,
        k=k,
        tol=tol,
        measures=measures,
        seed=seed,
        num_threads=threads,
        memory_limit=memory,
        reading=reading,
        include=include,
        exclude=exclude,
        out=out,
        resume=resume,
    )


def run_compare(
    before: Path, after: Path, quiet: bool, as_json: bool, workers: int | None, **options: Any
) -> NoReturn:
    """Compare two checkpoints, print the result, and exit with its status."""

    def work(progress: Progress | None, pool: Executor | None) -> Comparison:
        return compare_checkpoints(
            before, after, progress=progress, executor=pool, workers=workers, **options
        )

    saved = options["out"] or ()
    run_table(work, report.show_comparison, status_of, quiet, as_json, workers, saved)


def status_of(comparison: Comparison) -> int:
    """Return the exit status of a comparison: INCOMPLETE if a tensor was not compared.

    Tensors that the user excluded, and entries that are no tensors, do not count.
    """
    lacking = comparison.verdict.not_compared.keys() - {"excluded", "no tensor"}
    return INCOMPLETE if lacking or comparison.unconverged else DONE
