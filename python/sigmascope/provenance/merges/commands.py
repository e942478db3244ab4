# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope verify`` (extra ``cli``)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sigmascope.extension.commands import (
    DONE,
    INCOMPLETE,
    INTERRUPTED,
    QuietOption,
    clean_errors,
    console,
)
from sigmascope.provenance.commands import (
    REFUTED_STATUS,
    UNDETERMINED_STATUS,
    AllowUndeterminedOption,
    DonorsOption,
    JsonOption,
    ToleranceOption,
    count_tensors,
)

from .result import Verification
from .terminal import show_verification
from .verdicts import REFUTED, UNDETERMINED
from .verifying import verify as verify_merge


def verify(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model before the merge.")],
    merged: Annotated[str, typer.Argument(metavar="MERGED", help="The merged file or folder.")],
    donors: Annotated[
        list[str] | None,
        DonorsOption,
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLAIM",
            help="identical, rounding, adapter, linear, weights=.5,.5 or survived>=.9. Repeat it "
            "for several claims.",
            show_default=False,
        ),
    ] = None,
    tolerance: ToleranceOption = 0.0,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .jsonl file with the rows made so far, to continue or to create.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save the result as .json, .html, .xml (JUnit) or .sarif.",
            show_default=False,
        ),
    ] = None,
    allow_undetermined: AllowUndeterminedOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Verify that a file is a base plus weighted changes, and say with which weights.

    The exit status is 0 if every claim is confirmed (or nothing was claimed), 3 if one is refuted,
    4 if one is undetermined, 1 if a file could not be read, and 2 for a wrong command.
    """
    with clean_errors():
        with _interrupted(resume), count_tensors("tensors", quiet=quiet or as_json) as progress:
            result = verify_merge(
                base,
                merged,
                list(donors or ()),
                expect=expect,
                tolerance=tolerance,
                resume=resume,
                progress=progress,
            )
        if out is not None:
            result.save(out)
        if as_json:
            print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
        else:
            show_verification(console(), result.to_dict())
        sys.stdout.flush()
    raise typer.Exit(_status(result, claimed=bool(expect), allow=allow_undetermined))


@contextmanager
def _interrupted(resume: Path | None) -> Iterator[None]:
    """End with a sentence on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        rest = "" if resume is None else f": the same command continues with {resume}"
        print(f"sigmascope: interrupted{rest}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _status(result: Verification, *, claimed: bool, allow: bool) -> int:
    if claimed and result.verdict == REFUTED:
        return REFUTED_STATUS
    if any(row["status"] == "failed" for row in result.rows):
        return INCOMPLETE
    if claimed and result.verdict == UNDETERMINED and not allow:
        return UNDETERMINED_STATUS
    return DONE
