# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope check`` (extra ``cli``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sigmascope.extension.commands import DONE, AlphaOption, clean_errors, console
from sigmascope.provenance.commands import (
    REFUTED_STATUS,
    UNDETERMINED_STATUS,
    AllowUndeterminedOption,
    DonorsOption,
    JsonOption,
    ToleranceOption,
)

from .check import check as check_claims
from .terminal import show_check


def check(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The checkpoint before.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The checkpoint to check.")],
    expect: Annotated[
        list[str],
        typer.Option(
            metavar="CLAIM",
            help="identical, rounding, adapter, linear, weights=.5,.5, survived>=.9, lineage, "
            "independent, relative<=.01 or bits>=4.5. Repeat it for several claims.",
            show_default=False,
        ),
    ],
    donors: Annotated[
        list[str] | None,
        DonorsOption,
    ] = None,
    tolerance: ToleranceOption = 0.0,
    alpha: AlphaOption = 1e-6,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Save the result as .json, .html, .xml (JUnit) or .sarif. Repeat it for several "
            "files.",
            show_default=False,
        ),
    ] = None,
    allow_undetermined: AllowUndeterminedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check claims about a checkpoint, for scripts and pipelines.

    The exit status is 0 if every claim is confirmed, 3 if one is refuted, 4 if one is undetermined,
    and 2 for a wrong command or a file that cannot be opened.
    """
    with clean_errors():
        result = check_claims(
            before, after, expect, donors=list(donors or ()), tolerance=tolerance, alpha=alpha
        )
        for path in out or ():
            result.save(path)
        if as_json:
            print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
        else:
            show_check(console(), result.to_dict())
        sys.stdout.flush()
    if result.verdict == "refuted":
        raise typer.Exit(REFUTED_STATUS)
    undetermined = result.verdict == "undetermined" and not allow_undetermined
    raise typer.Exit(UNDETERMINED_STATUS if undetermined else DONE)
