# SPDX-License-Identifier: BSD-3-Clause
"""The command line: info, scan, merge, bench, demo, config (extra ``cli``)."""

from __future__ import annotations

import signal
import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from . import __version__, report, show_config
from .checkpoint import open_checkpoint
from .cli_bench import bench
from .cli_plan import PlanOption, show_plan
from .cli_scan import (
    ResumeOption,
    ShardOption,
    Terminated,
    WorkersOption,
    merge,
    run_scan,
)
from .demo import fetch
from .exits import DONE, INCOMPLETE, INTERRUPTED, TERMINATED, clean_errors
from .report.tables import console
from .scanning.journal import json_line

app = typer.Typer(
    name="sigmascope",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Spectra of the weights in huge checkpoints, each number with its error.",
    epilog="Exit status: 0 done; 1 tensors failed, cannot be read or did not converge (results "
    "are written); 2 bad usage or input; 130 Ctrl-C (what was done is written).",
)


class Effort(StrEnum):
    """How much is computed of each matrix."""

    TOP = "top"
    DENSITY = "density"
    EXACT = "exact"


class Reading(StrEnum):
    """How files are read."""

    BUFFERED = "buffered"
    UNCACHED = "uncached"
    MAPPED = "mapped"


EffortOption = Annotated[
    Effort,
    typer.Option(help="The k largest values; these and the spectral density; every value."),
]
RankOption = Annotated[
    int, typer.Option("-k", "--k", min=1, metavar="N", help="Largest values wanted.")
]
TolOption = Annotated[
    float, typer.Option(metavar="X", help="Error of the k values, in units of the largest one.")
]
SeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Same seed, same numbers.")]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Default: all cores. Changes no result.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help='For one matrix, like "2GiB". Default: half of what is free.'
    ),
]
ReadingOption = Annotated[
    Reading,
    typer.Option(
        help="Through the page cache, past it (nothing stays there), or mapped. Changes no result."
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help='Only tensors that match, like "*.mlp.*"; may be repeated.'
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
JsonOption = Annotated[bool, typer.Option("--json", help="Rows as JSON lines on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
CheckpointArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A .safetensors, .pt or .npy file, or a folder of them.",
        show_default=False,
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sigmascope {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def info(
    path: CheckpointArgument,
    every: Annotated[bool, typer.Option("--all", help="Every tensor, not grouped.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per tensor on standard output.")
    ] = False,
) -> None:
    """Show what a checkpoint holds, and what cannot be read."""
    with clean_errors():
        checkpoint = open_checkpoint(path)
        if as_json:
            for record in checkpoint.info():
                sys.stdout.write(json_line(dict(record)))
        else:
            report.show_info(console(), checkpoint, every=every)
        sys.stdout.flush()
    raise typer.Exit(INCOMPLETE if checkpoint.unreadable else DONE)


@app.command()
def scan(
    path: CheckpointArgument,
    effort: EffortOption = Effort.DENSITY,
    k: RankOption = 64,
    tol: TolOption = 1e-3,
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    reading: ReadingOption = Reading.BUFFERED,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    out: OutOption = None,
    resume: ResumeOption = None,
    shard: ShardOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    plan: PlanOption = False,
) -> None:
    """Compute the spectrum of every matrix of a checkpoint."""
    if plan:
        show_plan(
            path,
            as_json,
            effort=effort,
            k=k,
            tol=tol,
            seed=seed,
            num_threads=threads,
            memory_limit=memory,
            include=include,
            exclude=exclude,
        )
    run_scan(
        lambda: path,
        quiet,
        as_json,
        effort=effort,
        k=k,
        tol=tol,
        seed=seed,
        num_threads=threads,
        memory_limit=memory,
        reading=reading,
        include=include,
        exclude=exclude,
        out=out,
        resume=resume,
        shard=shard,
        workers=workers,
    )


@app.command()
def demo(
    effort: EffortOption = Effort.EXACT,
    k: RankOption = 64,
    tol: TolOption = 1e-3,
    memory: MemoryOption = None,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Scan a small real model, fetched once (91 MB)."""
    run_scan(
        lambda: _demo_model(quiet),
        quiet,
        as_json,
        effort=effort,
        k=k,
        tol=tol,
        seed=seed,
        num_threads=threads,
        memory_limit=memory,
        include=include,
        exclude=exclude,
        out=out,
    )


app.command()(merge)
app.command()(bench)


@app.command()
def config() -> None:
    """Show version, instruction set, BLAS and devices."""
    out = console()
    for name, value in show_config().items():
        shown = ", ".join(value) if isinstance(value, list) else value
        out.print(f"{name:<12} {shown}", soft_wrap=True)


def _demo_model(quiet: bool) -> Path:
    """Return the demonstration model; a download of minutes must not look like a hang."""
    if quiet:
        return fetch()
    with console(stderr=True).status("fetching the model all-MiniLM-L6-v2, once"):
        return fetch()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def run() -> None:
    """Run the command line, and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old terminal may know no "±"
    try:
        app()
    except KeyboardInterrupt as stop:
        sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
