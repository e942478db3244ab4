# SPDX-License-Identifier: BSD-3-Clause
"""The options that several commands share (extra ``cli``)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Effort(StrEnum):
    """Extent of the computation for each matrix."""

    TOP = "top"
    DENSITY = "density"
    EXACT = "exact"


class Accuracy(StrEnum):
    """Accuracy at effort "exact"."""

    REFERENCE = "reference"
    FAST = "fast"


class Reading(StrEnum):
    """Mode of reading files."""

    BUFFERED = "buffered"
    UNCACHED = "uncached"
    MAPPED = "mapped"


EffortOption = Annotated[
    Effort,
    typer.Option(
        help="top: the k largest values; density: also the spectral density; exact: every value."
    ),
]
RankOption = Annotated[
    int, typer.Option("-k", "--k", min=1, metavar="N", help="Number of largest values.")
]
TolOption = Annotated[
    float, typer.Option(metavar="X", help="Error of the k values, in units of the largest one.")
]
AccuracyOption = Annotated[
    Accuracy,
    typer.Option(help="At effort exact: sums in float64, or faster with wider error bounds."),
]
SeedOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same numbers.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Number of threads. Default: all cores. Changes no result."
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help='Memory limit, like "2GiB". Default: half of the available memory.'
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where to compute: cpu, or an NVIDIA GPU as cuda (the first one), cuda:1, or cuda:all "
        "(each matrix on one of them). `sigmascope config` lists what there is.",
    ),
]
ReadingOption = Annotated[
    Reading,
    typer.Option(help="Read through the page cache, past it, or mapped. Changes no result."),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help='Analyse only tensors that match, like "*.mlp.*"; may be repeated.'
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Leave out tensors that match; may be repeated."),
]
OutOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Save as .jsonl (grows row by row), .csv, .parquet or .html (to read); repeatable.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print rows as JSON lines on standard output.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
HeadsOption = Annotated[
    bool, typer.Option("--heads", help="Cut q, k, v and o into attention heads, a row each.")
]
RulesOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Own rules for roles, .toml or .json; see docs/roles.md."),
]
CheckpointArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A .safetensors, .pt or .npy file, a folder of them, or a LoRA adapter's.",
        show_default=False,
    ),
]
