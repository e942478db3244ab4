# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``sigmascope extract`` and ``resize``: LoRA adapters (extra ``cli``)."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sigmascope import report
from sigmascope._host.threads import set_numpy_threads
from sigmascope.adapters.resizing import resize as resize_adapter
from sigmascope.comparing.extracting import Extraction
from sigmascope.comparing.extracting import extract as extract_adapter
from sigmascope.comparing.extracting.loop import JOURNAL
from sigmascope.comparing.extracting.options import EXTRACT
from sigmascope.report.tables import console
from sigmascope.scanning import Progress

from .exits import DONE, INCOMPLETE, clean_errors
from .options import JsonOption, QuietOption, path_argument, takes
from .scan import OutputOptions, run_table

EdgeOption = Annotated[
    bool,
    typer.Option(
        "--edge",
        help="Rank: the number of singular values of each change clearly above its noise edge.",
    ),
]

FolderOption = Annotated[
    Path,
    typer.Option("--out", metavar="FOLDER", help="Folder of the new adapter.", show_default=False),
]


_EXTRACT = EXTRACT | {"rank": replace(EXTRACT["rank"], type="int | None")}
"""The options of extract; the text that `rank` may be is the option --edge."""

_RESIZE = ("rank", "energy", "error", "dtype", "overwrite", "memory_limit")


@takes(_EXTRACT.values())
def extract(
    base: Annotated[str, path_argument("BASE", "A checkpoint, as for `sigmascope scan`.")],
    tuned: Annotated[str, path_argument("TUNED", "A fine-tuned version of BASE.")],
    *,
    out: FolderOption,
    edge: EdgeOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Write the change between two checkpoints as a LoRA adapter, with its remaining error."""
    with clean_errors():
        options |= criterion(options["rank"], options["energy"], options["error"], edge)

    def work(progress: Progress | None, pool: Executor | None) -> Extraction:
        return extract_adapter(base, tuned, out, progress=progress, executor=pool, **options)

    outputs = OutputOptions(out / JOURNAL, ())
    run_table(work, report.show_extraction, _status_of, quiet, as_json, options["workers"], outputs)


def criterion(
    rank: int | None, energy: float | None, error: float | None, edge: bool = False
) -> dict[str, Any]:
    """Return the criterion for the rank; ValueError unless exactly one option gives it."""
    options = {"--rank": rank, "--energy": energy, "--error": error, "--edge": edge or None}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        known = "--rank, --energy, --error or --edge"
        raise ValueError(f"give exactly one of {known}; got {' and '.join(given) or 'none'}")
    return {"rank": "edge" if edge else rank, "energy": energy, "error": error}


def _status_of(extraction: Extraction) -> int:
    done = extraction.written or not (extraction.failed or extraction.analysed)
    return DONE if done and not extraction.unconverged else INCOMPLETE


@takes(_EXTRACT[name] for name in _RESIZE)
def resize(
    adapter: Annotated[
        Path, path_argument("ADAPTER", "The folder of a LoRA adapter in PEFT's layout.")
    ],
    *,
    out: FolderOption,
    quiet: QuietOption = False,  # as of the other commands; there is no progress to hide
    **options: Any,
) -> None:
    """Write a LoRA adapter of smaller rank, each product truncated exactly."""
    set_numpy_threads(1)
    with clean_errors():
        options |= criterion(options["rank"], options["energy"], options["error"])
        products = resize_adapter(adapter, out, **options)
        report.show_resized(console(), products)
    raise typer.Exit(DONE)
