# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope calibrate`` and ``diagnose``, and what ``show`` and ``compare`` print
of diagnoses (extra ``cli``).
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sigmascope.extension import MAX_TABLE_BYTES, read_regular
from sigmascope.extension.commands import (
    DONE,
    AlphaOption,
    RecipeOption,
    ReferenceOption,
    SavedRecord,
    clean_errors,
    console,
)
from sigmascope.results import Comparison

from .calibration import Calibration
from .diagnose import diagnose as diagnose_comparison
from .increments import RunDiagnosis, diagnose_increments
from .paired import PairedDiagnosis
from .records import save_record
from .result import Diagnosis
from .terminal import show_calibration, show_diagnosis

FAILED_ON = 3
"""Exit status of a verdict that --fail-on names."""

PairsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="COMPARISON...",
        help="A saved comparison of a base with the model (sigmascope compare BASE MODEL --out). "
        "Several comparisons are those of each checkpoint of one run with the next.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class FailOn(StrEnum):
    """Verdicts that can end a command with a special exit status."""

    NARROW = "narrow"
    BROAD = "broad"
    REFUSED = "refused"


def calibrate(
    runs: Annotated[
        Path,
        typer.Argument(
            metavar="RUNS",
            help="TOML file: a table [[run]] with comparison, label and group for each run, and a "
            "table [recipe].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Save the calibration as JSON.", show_default=False)
    ],
    alpha: AlphaOption = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Fit a calibration to runs of known data, and print its rate of errors."""
    with clean_errors():
        calibration = read_runs(runs)
        calibration.save(out)
        rate = calibration.error_rate(alpha)
        if as_json:
            _print_json({"calibration": repr(calibration), "text": rate.text(), **rate.to_dict()})
        else:
            show_calibration(console(), calibration, rate)
        sys.stdout.flush()
    raise typer.Exit(DONE)


def diagnose(
    comparisons: PairsArgument,
    reference: ReferenceOption = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="COMPARISON", help="Compare with another model of the same base."),
    ] = None,
    recipe: RecipeOption = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Group of the calibration that the model belongs to."),
    ] = None,
    alpha: AlphaOption = 0.05,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="End with exit status 3 if this is the verdict, for use in scripts."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the result as .html or .json.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Diagnose from a comparison how narrow the training data was."""
    with clean_errors():
        declared = recipe_of(recipe)
        alone = {
            "--reference": reference,
            "--against": against,
            "--recipe": recipe,
            "--group": group,
            "--fail-on": fail_on,
        }
        given = [name for name, value in alone.items() if value is not None]
        if len(comparisons) > 1 and given:
            raise ValueError(f"{given[0]} cannot be used with several comparisons")
        status = DONE
        calibration = None if reference is None else Calibration.load(reference)
        if calibration is not None and calibration.example and fail_on is not None:
            raise ValueError(
                "--fail-on needs a calibration of your own: the example cannot give a verdict"
            )
        if len(comparisons) > 1:
            run = diagnose_increments(comparisons, alpha=alpha)
            _tell(run, out, as_json)
        elif against is not None:
            if group is not None or fail_on is not None:
                option = "--group" if group is not None else "--fail-on"
                raise ValueError(f"{option} cannot be used with --against")
            pair = diagnose_comparison(
                comparisons[0], calibration, against=against, recipe=declared, alpha=alpha
            )
            _tell(pair, out, as_json)
        else:
            diagnosis = diagnose_comparison(
                comparisons[0], calibration, recipe=declared, group=group, alpha=alpha
            )
            _tell(diagnosis, out, as_json)
            status = status_of(diagnosis, fail_on)
    raise typer.Exit(status)


def _tell(
    diagnosis: Diagnosis | PairedDiagnosis | RunDiagnosis, out: Path | None, as_json: bool
) -> None:
    """Save a result if requested, and print it."""
    if out is not None:
        diagnosis.save(out)
    if as_json:
        _print_json(diagnosis.to_dict())
    else:
        show_diagnosis(console(), diagnosis.to_dict())
    sys.stdout.flush()


def status_of(diagnosis: Diagnosis, fail_on: FailOn | None) -> int:
    """Return 0, unless the verdict is one on which the user wants the command to fail."""
    return FAILED_ON if fail_on is not None and diagnosis.verdict == fail_on.value else DONE


def read_runs(path: Path) -> Calibration:
    """Fit a calibration to the runs that a TOML file lists; paths are relative to the file.

    Raises
    ------
    ValueError
        If the file is not TOML, or a run lacks an entry.
    """
    try:
        record = tomllib.loads(read_regular(path, MAX_TABLE_BYTES).decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from error
    listed = record.get("run")
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{path}: no table [[run]] with comparison, label and group")
    runs = []
    for number, run in enumerate(listed, 1):
        missing = [key for key in ("comparison", "group") if not isinstance(run.get(key), str)]
        if missing:
            raise ValueError(f"{path}: run {number} has no {' and no '.join(missing)}")
        runs.append((path.parent / run["comparison"], run.get("label"), run["group"]))
    options = {key: record[key] for key in ("narrow_at_most", "broad_at_least") if key in record}
    return Calibration.fit(runs, recipe=record.get("recipe", {}), **options)


def recipe_of(settings: list[str] | None) -> dict[str, Any] | None:
    """Return what is declared of the recipe; None if nothing is."""
    return None if settings is None else dict(map(_setting, settings))


def _setting(text: str) -> tuple[str, Any]:
    """Return the key and the value of "lr=1e-5"; a value that is not a number is a word."""
    key, equal, value = text.partition("=")
    if not equal or not key:
        raise ValueError(f"--recipe {text}: not of the form KEY=VALUE")
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value


def _print_json(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record, indent=1, allow_nan=False) + "\n")


def report_comparison(
    reference: Path | None, recipe: list[str] | None
) -> Callable[[Console, Comparison, Sequence[Path]], None] | None:
    """Return what prints the diagnosis of a comparison; None without reference runs."""
    declared = recipe_of(recipe)
    if reference is None:
        return None
    calibration = Calibration.load(reference)

    def show(out: Console, comparison: Comparison, saved: Sequence[Path]) -> None:
        """Print the diagnosis, and add it to the pages that were saved."""
        try:
            diagnosis = diagnose_comparison(comparison, calibration, recipe=declared)
        except ValueError as error:  # nothing changed, or the effort gives no effective rank
            out.print(f"No diagnosis: {error}")
            return
        show_diagnosis(out, diagnosis.to_dict())
        for path in saved:
            if path.suffix == ".html":
                diagnosis.save(path, comparison=comparison)

    return show


def _show_saved_diagnosis(
    file: Path, record: dict[str, Any], out: Path | None, alpha: float
) -> None:
    if out is not None:
        save_record(record, out)
    show_diagnosis(console(), record)


def _show_saved_calibration(
    file: Path, record: dict[str, Any], out: Path | None, alpha: float
) -> None:
    if out is not None:
        raise ValueError(f"{out}: a calibration cannot be saved in another format")
    calibration = Calibration.load(file)
    show_calibration(console(), calibration, calibration.error_rate(alpha))


DIAGNOSES = SavedRecord(
    lambda record: record.get("kind") in ("diagnosis", "paired", "increments"),
    _show_saved_diagnosis,
)
CALIBRATIONS = SavedRecord(lambda record: "runs" in record, _show_saved_calibration)
