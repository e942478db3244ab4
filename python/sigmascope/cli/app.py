# SPDX-License-Identifier: BSD-3-Clause
"""The command line: info, scan, compare, merge, trajectory, reference, … (extra ``cli``)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from sigmascope import __version__, report, show_config
from sigmascope._host.interrupts import handle_again
from sigmascope._tables.journal import json_line
from sigmascope._tables.scan_options import OPENING, SCAN
from sigmascope.adapters.scannable import as_scannable
from sigmascope.report.tables import console

from .compare import compare
from .demo import fetch
from .exits import (
    CLOSED_PIPE,
    DONE,
    INCOMPLETE,
    INTERRUPTED,
    TERMINATED,
    clean_errors,
    is_closed,
)
from .extract import extract, resize
from .manual import manual_page
from .options import CheckpointArgument, JsonOption, QuietOption, takes
from .plan import show_plan
from .registered import iter_commands
from .scan import Terminated, plan_of_scan, run_scan
from .series import reference, trajectory
from .show import merge, show

app = typer.Typer(
    name="sigmascope",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Spectra of the weights in huge checkpoints, each number with its error.",
    epilog="Exit status: 0 success; 1 some tensors failed, cannot be read, did not converge or "
    "have no partner, or most bytes were not analysed (results are written); 2 invalid "
    "usage or input; 130 Ctrl-C (finished rows are written); 141 the reader of the output "
    "closed the pipe.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"sigmascope {__version__}")
        raise typer.Exit(DONE)


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@takes(OPENING.values())
def info(
    path: CheckpointArgument,
    *,
    every: Annotated[bool, typer.Option("--all", help="List each tensor on its own line.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the tensors as JSON, one per line, instead of a table."),
    ] = False,
    **opening: Any,
) -> None:
    """List what a checkpoint holds, and what cannot be read."""
    with clean_errors():
        checkpoint = as_scannable(path, **opening)
        if as_json:
            for record in checkpoint.info():
                sys.stdout.write(json_line(dict(record)))
        else:
            report.show_info(console(), checkpoint, every=every)
        sys.stdout.flush()
    raise typer.Exit(INCOMPLETE if checkpoint.unreadable else DONE)


@takes([*SCAN.values(), *OPENING.values()])
def scan(
    path: CheckpointArgument,
    *,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    **options: Any,
) -> None:
    """Compute the spectrum of every matrix of a checkpoint."""
    if options.pop("plan"):
        unsaved = options | {"out": None}  # `out` is for the plan
        show_plan(lambda: plan_of_scan(path, **unsaved), as_json, options["out"])
    run_scan(lambda: path, quiet, as_json, options)


_OF_DEMO = [
    replace(SCAN["effort"], command_default="exact"),  # the model is small
    *(SCAN[name] for name in ("k", "tol", "device", "memory_limit", "num_threads")),
    replace(
        SCAN["seed"],
        command_default=0,
        help="Random seed; the same seed gives the same numbers.",
    ),
    *(SCAN[name] for name in ("include", "exclude", "out")),
]


@takes(_OF_DEMO)
def demo(*, as_json: JsonOption = False, quiet: QuietOption = False, **options: Any) -> None:
    """Scan a small real model, which is downloaded once (91 MB)."""
    run_scan(lambda: _demo_model(quiet), quiet, as_json, options)


def config() -> None:
    """Print version, instruction set, BLAS and devices."""
    out = console()
    for name, value in show_config().items():
        shown = ", ".join(value) if isinstance(value, list) else value
        out.print(f"{name:<12} {shown}", soft_wrap=True)


def manual() -> None:
    """Print the manual page: sigmascope manual | man -l -"""
    sys.stdout.write(manual_page(typer.main.get_command(app)))


def _add(*commands: Callable[..., None]) -> None:
    """Add commands, whose first lines stand uncut in the list of commands."""
    for command in commands:
        app.command(short_help=(command.__doc__ or "").partition("\n")[0])(command)


_add(info, scan, compare, extract, resize, show, merge, trajectory, reference)
_add(*iter_commands(), demo, config, manual)


def _demo_model(quiet: bool) -> Path:
    """Return the demonstration model; show a status, since a download may take minutes."""
    if quiet:
        return fetch()
    with console(stderr=True).status("downloading the model all-MiniLM-L6-v2, once"):
        return fetch()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def run() -> None:
    """Run the command line, and exit."""
    handle_again()
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # the encoding of a terminal may lack "±"
    output = sys.stdout
    try:
        app()
    except KeyboardInterrupt as stop:
        sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    except SystemExit:
        # Click catches a closed pipe, too: it wraps the stream, and exits with status 1.
        if sys.stdout is not output or is_closed(output):
            sys.exit(CLOSED_PIPE)
        raise
