# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope compare`` (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from sigmascope import report
from sigmascope.adapters import as_scannable
from sigmascope.comparing import Comparison
from sigmascope.comparing import compare as compare_checkpoints
from sigmascope.diagnosing import Calibration, diagnose
from sigmascope.scanning import Progress

from .diagnose import RecipeOption, ReferenceOption, recipe_of
from .exits import DONE, INCOMPLETE, clean_errors
from .options import (
    Accuracy,
    AccuracyOption,
    DeviceOption,
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
    RulesOption,
    SeedOption,
    ThreadsOption,
    TolOption,
    VariantOption,
)
from .scan import (
    MeasuresOption,
    OutputOptions,
    ResumeOption,
    VectorsOption,
    WorkersOption,
    run_table,
)


def compare(
    before: Annotated[
        Path,
        typer.Argument(
            metavar="BEFORE",
            help="A checkpoint, as for `sigmascope scan`.",
            show_default=False,
        ),
    ],
    after: Annotated[
        Path,
        typer.Argument(
            metavar="AFTER",
            help="A later version of the first one, or a LoRA adapter of it.",
            show_default=False,
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
    seed: SeedOption = 0,
    reading: ReadingOption = Reading.BUFFERED,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    vectors: VectorsOption = None,
    out: OutOption = None,
    heads: HeadsOption = False,
    rules: RulesOption = None,
    variant: VariantOption = None,
    resume: ResumeOption = None,
    workers: WorkersOption = None,
    reference: ReferenceOption = None,
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure the change of every matrix between two checkpoints."""
    run_compare(
        before,
        after,
        quiet,
        as_json,
        workers,
        reference,
        recipe,
        effort=effort,
        k=k,
        tol=tol,
        accuracy=accuracy,
        measures=measures,
        seed=seed,
        device=device,
        num_threads=threads,
        memory_limit=memory,
        opening={"reading": reading, "heads": heads, "rules": rules, "variant": variant},
        include=include,
        exclude=exclude,
        vectors=vectors,
        out=out,
        resume=resume,
    )


def run_compare(
    before: Path,
    after: Path,
    quiet: bool,
    as_json: bool,
    workers: int | None,
    reference: Path | None = None,
    recipe: list[str] | None = None,
    *,
    opening: Mapping[str, Any],
    **options: Any,
) -> NoReturn:
    """Compare two checkpoints, print the result, and exit with its status."""
    saved = options["out"] or ()
    with clean_errors():
        if reference is not None and as_json:
            raise ValueError("--reference prints text: use `sigmascope diagnose --json` for JSON")
        declared = recipe_of(recipe)
        calibration = None if reference is None else Calibration.load(reference)

    def work(progress: Progress | None, pool: Executor | None) -> Comparison:
        first, second = (as_scannable(path, **opening) for path in (before, after))
        return compare_checkpoints(
            first, second, progress=progress, executor=pool, workers=workers, **options
        )

    def show(out: Console, comparison: Comparison) -> None:
        report.show_comparison(out, comparison)
        if calibration is not None:
            _diagnosed(out, comparison, calibration, declared, saved)

    outputs = OutputOptions(options["resume"], saved)
    run_table(work, show, status_of, quiet, as_json, workers, outputs)


def _diagnosed(
    out: Console,
    comparison: Comparison,
    calibration: Calibration,
    recipe: dict[str, Any] | None,
    saved: Sequence[Path],
) -> None:
    """Print the diagnosis of a comparison, and add it to the pages that were saved."""
    try:
        found = diagnose(comparison, calibration, recipe=recipe)
    except ValueError as error:  # nothing changed, or the effort gives no effective rank
        out.print(f"No diagnosis: {error}")
        return
    report.show_diagnosis(out, found.to_dict())
    for path in saved:
        if path.suffix == ".html":
            found.save(path, comparison=comparison)


def status_of(comparison: Comparison) -> int:
    """Return the exit status of a comparison: INCOMPLETE if a tensor was not compared.

    Tensors that the user excluded, and entries that are no tensors, do not count.
    """
    lacking = comparison.verdict.not_compared.keys() - {"excluded", "no tensor"}
    return INCOMPLETE if lacking or comparison.unconverged else DONE
