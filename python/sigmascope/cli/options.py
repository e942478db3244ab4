# SPDX-License-Identifier: BSD-3-Clause
"""The options that several commands share (extra ``cli``)."""

from __future__ import annotations

import os
from enum import StrEnum
from glob import escape, glob
from pathlib import Path
from typing import Annotated

import typer


def paths_here(incomplete: str) -> list[str]:
    """Complete a path for the shell; a URL is left as it is."""
    paths = sorted(glob(f"{escape(incomplete)}*"))
    return [f"{path}/" if os.path.isdir(path) else path for path in paths]


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
        help="How much is computed of each matrix. top: its k largest singular values. density: "
        "also the distribution of all its singular values, estimated; ranks and the noise edge "
        "follow from it, each with its error. exact: every singular value, the slowest."
    ),
]
RankOption = Annotated[
    int,
    typer.Option(
        "-k", "--k", min=1, metavar="N", help="Number of the largest singular values to compute."
    ),
]
TolOption = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="Largest error of the k values, as a fraction of the largest one; 0.001 is 0.1 %.",
    ),
]
AccuracyOption = Annotated[
    Accuracy,
    typer.Option(
        help="Arithmetic of --effort exact. reference: sums in float64. fast: wider error "
        "bounds, and less time from order 4096 on or where one side is 15 times the other."
    ),
]
SeedOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Random seed; the same seed gives the same numbers.")
]
DrawnSeedOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Seed of the random start; the same seed gives the same numbers. Default: that of the "
        "journal of --resume, or else one that is drawn and shown, so that nobody can make a file "
        "that the start misses.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Number of threads. Default: all cores. No number depends on it."
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help='Largest amount of memory to use, like "2GiB" or "500MB". Default: half of what is '
        "available.",
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
    typer.Option(
        help="Way of reading files; no number depends on it. buffered: through the system's cache "
        "of files. uncached: past that cache, so that other programs keep theirs. mapped: as "
        "memory maps."
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help='Analyse only the tensors whose names match: "*" stands for any characters, as in '
        '"*.mlp.*", and "…" too, so that names can be given as tables show them. Repeatable.',
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Leave out the tensors whose names match. Repeatable."),
]
OutOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Save the rows. The suffix is the format: .jsonl (row by row while the command runs; "
        "--resume continues it), .csv, .parquet, or .html (a page to read). Repeatable.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the rows as JSON, one per line, instead of tables.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress while it runs.")]
HeadsOption = Annotated[
    bool,
    typer.Option(
        "--heads",
        help="Analyse each attention head of the q, k, v and o matrices as a matrix of its own.",
    ),
]
RulesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your rules that tell roles (q, up, …) from names of tensors, as .toml or .json; "
        "docs/roles.md has the format.",
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Variant of the weights, for a folder that has several: fp16 reads name.fp16."
        "safetensors instead of name.safetensors.",
    ),
]
ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        "--calibration",
        metavar="FILE",
        help="A calibration that `sigmascope calibrate` made from runs of known data; with it the "
        "result says how narrow or broad the data was. `example` shows what an answer looks like.",
    ),
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Part of the recipe by which the model was trained, like lr=1e-5; it is compared with "
        "that of the calibration. Repeatable.",
    ),
]
AlphaOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=0.5,
        metavar="P",
        help="Significance level: the smaller, the more certain a verdict has to be.",
    ),
]
CheckpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A .safetensors, .gguf, .onnx, .pt, .npy or .h5 file (extra hdf5), a folder of them, "
        "one of torch.distributed.checkpoint or of orbax (extra tensorstore), the folder of a LoRA "
        "adapter, or that of a model in the cache of the Hugging Face Hub. Or a URL: "
        "hf://org/model@revision, https://…, s3://…, gs://…, az://…; of it headers and tensors are "
        "read when they are used, and nothing is stored on this machine.",
        show_default=False,
        autocompletion=paths_here,
    ),
]
