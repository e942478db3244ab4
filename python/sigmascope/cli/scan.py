# SPDX-License-Identifier: BSD-3-Clause
"""Scans in parts on the command line: resumed, spread over processes and machines, merged."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from sigmascope import report
from sigmascope._host.threads import set_numpy_threads
from sigmascope._tables.journal import json_line
from sigmascope.adapters import as_scannable
from sigmascope.report.progress import both, watching
from sigmascope.report.tables import console
from sigmascope.scanning import OutputError, Progress, Scan, ScanEvent, ScanInterrupted, Table
from sigmascope.scanning import merge as merge_parts
from sigmascope.scanning import scan as scan_checkpoint

from .exits import BAD_INPUT, DONE, INCOMPLETE, INTERRUPTED, TERMINATED, clean_errors, complain

ResumeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Go on with this .jsonl, and append to it; begin it if there is none."
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Only the I-th of N parts, I from 0; `sigmascope merge` joins them."
    ),
]
MeasuresOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Also alpha_farms or randomized_distance, which read a matrix again; may be repeated.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Processes among which threads and memory are shared out."
    ),
]

T = TypeVar("T", bound=Table)

_PR_SET_PDEATHSIG = 1


class Terminated(KeyboardInterrupt):
    """A polite kill: handled as Ctrl-C is, so that it leaves what was done."""


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Return the numbers of "I/N"; ValueError if it is something else."""
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"shard {text!r} is not like '0/4'")
    return int(index), int(count)


@contextmanager
def processes(count: int | None) -> Iterator[Executor | None]:
    """Give that many processes; None, if none are wanted."""
    if count is None:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    hook = threading.excepthook
    try:
        with ProcessPoolExecutor(count, mp_context=context, initializer=_of_the_scan) as pool:
            _start(pool, count)
            try:
                yield pool
            except BaseException:  # what the processes still do is for nobody
                threading.excepthook = _unheard
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    finally:
        threading.excepthook = hook


def _start(pool: ProcessPoolExecutor, count: int) -> None:
    """Start the workers deaf to Ctrl-C: it ends the scan, which ends them."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # they inherit it
    try:
        for _ in range(count):
            pool.submit(int)
    finally:
        signal.signal(signal.SIGINT, heard)


def _of_the_scan() -> None:
    """Let a worker end when the scan does, by a hard kill too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _unheard(error: threading.ExceptHookArgs) -> None:
    """Say nothing: the thread of a pool that is ended stumbles over futures that are cancelled."""


def status_of(found: Scan) -> int:
    """Return the exit status that the rows of a scan deserve."""
    return INCOMPLETE if found.failed or found.unreadable or found.unconverged else DONE


def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART...", help="The .jsonl files.", show_default=False)
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Save as .jsonl, .csv, .parquet or .html; may be repeated."
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Also if parts are missing or unfinished.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Rows as JSON lines on standard output.")
    ] = False,
) -> None:
    """Join the parts of a scan that were made with --shard."""
    with clean_errors():
        found = merge_parts(parts, partial=partial)
        for path in out or ():
            found.save(path)
        if as_json:
            sys.stdout.writelines(map(json_line, found))
        else:
            report.show_scan(console(), found)
            report.show_saved(console(), out or ())
        sys.stdout.flush()
    raise typer.Exit(status_of(found) or (DONE if found.complete else INCOMPLETE))


def run_scan(
    locate: Callable[[], Path],
    quiet: bool,
    as_json: bool,
    shard: str | None = None,
    workers: int | None = None,
    heads: bool = False,
    rules: Path | None = None,
    reading: str | None = None,
    **options: Any,
) -> NoReturn:
    """Scan, show, and leave with the exit status that the result deserves."""

    def work(progress: Progress | None, pool: Executor | None) -> Scan:
        how = options | {"shard": shard_of(shard), "workers": workers}
        source = as_scannable(locate(), reading, heads=heads, rules=rules)
        return scan_checkpoint(source, progress=progress, executor=pool, **how)

    run_table(work, report.show_scan, status_of, quiet, as_json, workers, options["out"] or ())


def run_table(
    work: Callable[[Progress | None, Executor | None], T],
    show: Callable[[Console, T], None],
    status_of_rows: Callable[[T], int],
    quiet: bool,
    as_json: bool,
    workers: int | None,
    saved: Sequence[Path],
) -> NoReturn:
    """Fill a table, show it, and leave with the exit status that it deserves."""
    set_numpy_threads(1)
    with clean_errors():
        status = DONE
        try:
            with _watching(quiet) as watcher, processes(workers) as pool:
                found = work(both(watcher, _print_row) if as_json else watcher, pool)
        except ScanInterrupted as stop:
            found = stop.scan
            status = TERMINATED if isinstance(stop.__cause__, Terminated) else INTERRUPTED
        except OutputError as error:
            complain(error)
            found, status = error.scan, BAD_INPUT
        if not as_json:
            show(console(), found)
            if status != BAD_INPUT:
                report.show_saved(console(), saved)
        sys.stdout.flush()
    raise typer.Exit(status or status_of_rows(found))


def _print_row(event: ScanEvent) -> None:
    if event.row is not None:
        sys.stdout.write(json_line(event.row))
        sys.stdout.flush()


def _watching(quiet: bool) -> AbstractContextManager[Progress | None]:
    """Progress goes to standard error, so that standard output holds the results alone."""
    return nullcontext() if quiet else watching(console(stderr=True))
