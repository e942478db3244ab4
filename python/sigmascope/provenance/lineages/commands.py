# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope lineage`` (extra ``cli``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sigmascope.extension.commands import DONE, clean_errors, console
from sigmascope.provenance.commands import JsonOption

from .blocks import SEED
from .compute import group_by_lineage
from .model_tests import TESTS
from .opening import UNITS, fingerprint
from .result import Lineage
from .terminal import show_lineage, show_lineages

ABSTAINED = 3
"""Exit status if no test applies to any pair."""


def lineage(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Paths or URLs of two checkpoints or more, or fingerprints (.npz).",
            show_default=False,
        ),
    ],
    units: Annotated[
        int,
        typer.Option(metavar="N", help="Most hidden units read of a layer; 0 reads all of them."),
    ] = UNITS,
    layers: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Layers to compare: 0,1,8-11.", show_default=False),
    ] = None,
    alpha: Annotated[
        float, typer.Option(metavar="LEVEL", help="Level over all tests and pairs.")
    ] = 1e-6,
    tests: Annotated[str, typer.Option(metavar="LIST", help="Tests to run.")] = ",".join(TESTS),
    seed: Annotated[
        int, typer.Option(metavar="SEED", help="Seed of the samples and blocks.")
    ] = SEED,
    save_fingerprint: Annotated[
        Path | None,
        typer.Option(
            "--fingerprint",
            metavar="FILE",
            help="Save a fingerprint (.npz) of one checkpoint instead of comparing.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the result as .json or .html.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Test whether checkpoints share an origin, with certified p-values."""
    with clean_errors():
        most = units or None
        if save_fingerprint is not None:
            if len(checkpoints) != 1:
                raise ValueError(f"--fingerprint takes one checkpoint, not {len(checkpoints)}")
            fingerprint(checkpoints[0], units=most, seed=seed).save(save_fingerprint)
            raise typer.Exit(DONE)
        if len(checkpoints) < 2:
            raise ValueError("one checkpoint cannot be compared: name another, or --fingerprint")
        every = group_by_lineage(
            checkpoints,
            layers=None if layers is None else read_layers(layers),
            units=most,
            alpha=alpha,
            tests=[name.strip() for name in tests.split(",")],
            seed=seed,
        )
        result = every.pairs[0, 1] if len(checkpoints) == 2 else every
        if out is not None:
            result.save(out)
        if as_json:
            sys.stdout.write(json.dumps(result.to_dict(), indent=1, allow_nan=False) + "\n")
        else:
            show = show_lineage if isinstance(result, Lineage) else show_lineages
            show(console(), result.to_dict())
        sys.stdout.flush()
    pairs = [result] if isinstance(result, Lineage) else list(result.pairs.values())
    raise typer.Exit(ABSTAINED if all(pair.verdict == "abstain" for pair in pairs) else DONE)


def read_layers(text: str) -> list[int]:
    """Return the layers of a list like "0,1,8-11".

    Raises
    ------
    ValueError
        If a part is neither a number nor a range.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            numbers += range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise ValueError(f"--layers {text}: {part!r} is not a layer, nor a range") from None
    return numbers
