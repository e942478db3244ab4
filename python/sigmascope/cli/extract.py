# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope extract`` and ``resize``: LoRA adapters (extra ``cli``)."""

from __future__ import annotations

from concurrent.futures import Executor
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sigmascope import report
from sigmascope._host.threads import set_numpy_threads
from sigmascope.adapters.resizing import resize as resize_adapter
from sigmascope.comparing.extracting import Extraction
from sigmascope.comparing.extracting import extract as extract_adapter
from sigmascope.comparing.extracting.loop import JOURNAL
from sigmascope.report.tables import console
from sigmascope.scanning import Progress

from .exits import DONE, INCOMPLETE, clean_errors
from .options import (
    DeviceOption,
    DrawnSeedOption,
    ExcludeOption,
    IncludeOption,
    JsonOption,
    MemoryOption,
    QuietOption,
    Reading,
    ReadingOption,
    ThreadsOption,
    paths_here,
)
from .scan import OutputOptions, WorkersOption, run_table


class Stored(StrEnum):
    """Formats of stored factors."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


RankOption = Annotated[
    int | None,
    typer.Option("--rank", "-r", min=1, metavar="R", help="Rank of every product."),
]
EnergyOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Least share of the squared norm of each change that its product has, as 0.9; the "
        "rank follows.",
    ),
]
ErrorOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Largest part of the norm of each change that may remain, as 0.1; the rank follows.",
    ),
]
EdgeOption = Annotated[
    bool,
    typer.Option(
        "--edge",
        help="Rank: the number of singular values of each change clearly above its noise edge.",
    ),
]
StoredOption = Annotated[
    Stored, typer.Option(help="Format of the stored factors. The error is that of rounded factors.")
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace an adapter in the folder, once the new one is complete."
    ),
]
FolderOption = Annotated[
    Path,
    typer.Option("--out", metavar="FOLDER", help="Folder of the new adapter.", show_default=False),
]


def extract(
    base: Annotated[
        str,
        typer.Argument(
            metavar="BASE",
            help="A checkpoint, as for `sigmascope scan`.",
            show_default=False,
            autocompletion=paths_here,
        ),
    ],
    tuned: Annotated[
        str,
        typer.Argument(
            metavar="TUNED",
            help="A fine-tuned version of it.",
            show_default=False,
            autocompletion=paths_here,
        ),
    ],
    out: FolderOption,
    rank: RankOption = None,
    energy: EnergyOption = None,
    error: ErrorOption = None,
    edge: EdgeOption = False,
    dtype: StoredOption = Stored.FLOAT32,
    overwrite: OverwriteOption = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Also write changed norms and biases, in full: modules_to_save and bias of PEFT.",
        ),
    ] = False,
    tol: Annotated[
        float,
        typer.Option(
            metavar="X", help="Largest residual of the search, as a part of the largest value."
        ),
    ] = 1e-4,
    device: DeviceOption = "cpu",
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    seed: DrawnSeedOption = None,
    reading: ReadingOption = Reading.BUFFERED,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the change between two checkpoints as a LoRA adapter, with its remaining error."""
    with clean_errors():
        how: dict[str, Any] = criterion(rank, energy, error, edge) | {
            "dtype": dtype.value,
            "whole": whole,
            "overwrite": overwrite,
            "tol": tol,
            "device": device,
            "memory_limit": memory,
            "num_threads": threads,
            "seed": seed,
            "reading": reading,
            "include": include,
            "exclude": exclude,
            "workers": workers,
        }

    def work(progress: Progress | None, pool: Executor | None) -> Extraction:
        return extract_adapter(base, tuned, out, progress=progress, executor=pool, **how)

    outputs = OutputOptions(out / JOURNAL, ())
    run_table(work, report.show_extraction, _status_of, quiet, as_json, workers, outputs)


def criterion(
    rank: int | None, energy: float | None, error: float | None, edge: bool = False
) -> dict[str, Any]:
    """Return the criterion for the rank; ValueError unless exactly one option gives it."""
    options = {"--rank": rank, "--energy": energy, "--error": error, "--edge": edge or None}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        known = "--rank, --energy, --error or --edge"
        raise ValueError(f"one of {known} decides the rank, not {' and '.join(given) or 'none'}")
    return {"rank": "edge" if edge else rank, "energy": energy, "error": error}


def _status_of(extraction: Extraction) -> int:
    done = extraction.written or not (extraction.failed or extraction.analysed)
    return DONE if done and not extraction.unconverged else INCOMPLETE


def resize(
    adapter: Annotated[
        Path,
        typer.Argument(
            metavar="ADAPTER",
            help="The folder of a LoRA adapter in PEFT's layout.",
            show_default=False,
            autocompletion=paths_here,
        ),
    ],
    out: FolderOption,
    rank: RankOption = None,
    energy: EnergyOption = None,
    error: ErrorOption = None,
    dtype: StoredOption = Stored.FLOAT32,
    overwrite: OverwriteOption = False,
    memory: MemoryOption = None,
    quiet: QuietOption = False,  # as of the other commands; there is no progress to hide
) -> None:
    """Write a LoRA adapter of smaller rank, each product truncated exactly."""
    set_numpy_threads(1)
    with clean_errors():
        how = criterion(rank, energy, error) | {"overwrite": overwrite}
        products = resize_adapter(adapter, out, dtype=dtype.value, memory_limit=memory, **how)
        report.show_resized(console(), products)
    raise typer.Exit(DONE)
