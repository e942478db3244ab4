# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope apply`` (extra ``cli``)."""

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
from sigmascope.provenance.commands import DonorsOption, JsonOption, count_tensors

from .applying import apply as apply_changes
from .terminal import show_application


def apply(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The model, in safetensors files.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to write.", show_default=False)
    ],
    donors: Annotated[
        list[str],
        DonorsOption,
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="The weight of each donor: .5,.5. Default: 1 for each.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="FORMAT", help="Format of the weights: base, bf16, f16 or f32.")
    ] = "base",
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest size of a file of weights.")
    ] = "5GB",
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the result as .json or .html.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a base plus weighted changes of adapters and models, and verify what was written.

    Each number is rounded once. After Ctrl-C, a kill or a full disk, the same command continues.
    The exit status is 0 if the folder is written and confirmed, 1 if it is not confirmed, and 2 for
    a wrong command, or if a file cannot be read or written.
    """
    with clean_errors():
        scales = _read_weights(weights)
        with (
            _interrupted(out),
            count_tensors("tensors written", quiet=quiet or as_json) as progress,
        ):
            result = apply_changes(
                base,
                out,
                list(donors),
                weights=scales,
                dtype=dtype,
                shard_size=shard_size,
                progress=progress,
            )
        if save is not None:
            result.save(save)
        if as_json:
            print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
        else:
            show_application(console(), result.to_dict())
        sys.stdout.flush()
    raise typer.Exit(DONE if result.confirmed else INCOMPLETE)


def _read_weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--weights {text}: give numbers, such as .5,.5") from None


@contextmanager
def _interrupted(out: Path) -> Iterator[None]:
    """End with a sentence on Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"sigmascope: interrupted: the same command continues with {out}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
