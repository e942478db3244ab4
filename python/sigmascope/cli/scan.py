# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope scan``: journals, parts and processes (extra ``cli``)."""

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
from typing import Any, NamedTuple, NoReturn, TypeVar

import typer
from rich.console import Console

from sigmascope import report
from sigmascope._display.coverage import describe_unread_bytes
from sigmascope._host.threads import set_numpy_threads
from sigmascope._tables.journal import json_line
from sigmascope._tables.scan_options import OPENING
from sigmascope.adapters.scannable import as_scannable
from sigmascope.errors import OutputError, ScanInterrupted
from sigmascope.report.progress import both, watching
from sigmascope.report.tables import console
from sigmascope.scanning import (
    Progress,
    Scan,
    ScanEvent,
    Table,
)
from sigmascope.scanning import scan as scan_checkpoint
from sigmascope.scanning.plans import Plan

from .exits import BAD_INPUT, DONE, INCOMPLETE, INTERRUPTED, TERMINATED, clean_errors, complain
from .resuming import command_again, tell_command

T = TypeVar("T", bound=Table)


class OutputOptions(NamedTuple):
    """The options --resume and --out of a run."""

    resume: Path | None
    out: Sequence[Path]


_PR_SET_PDEATHSIG = 1


class Terminated(KeyboardInterrupt):
    """The signal SIGTERM, which is handled like Ctrl-C, so that finished rows are saved."""


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Return the numbers of "I/N"; ValueError if it is something else."""
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"shard {text!r} is not of the form I/N, such as 0/4")
    return int(index), int(count)


@contextmanager
def processes(count: int | None) -> Iterator[Executor | None]:
    """Yield an executor with `count` processes; None without a count."""
    if count is None:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    hook = threading.excepthook
    try:
        with ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent) as pool:
            _start(pool, count)
            try:
                yield pool
            except BaseException:  # nobody needs the results of the processes any more
                threading.excepthook = _ignore
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    finally:
        threading.excepthook = hook


def _start(pool: ProcessPoolExecutor, count: int) -> None:
    """Start workers that ignore Ctrl-C, which ends the scan; the scan then ends them."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the workers inherit it
    try:
        for _ in range(count):
            pool.submit(int)
    finally:
        signal.signal(signal.SIGINT, handler)


def _end_with_parent() -> None:
    """Make the system end this worker when the scan ends, also if the scan is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _ignore(error: threading.ExceptHookArgs) -> None:
    """Do nothing: the thread of a pool that was ended raises errors about cancelled futures."""


def status_of(scan: Scan) -> int:
    """Return the exit status of a scan: INCOMPLETE if rows failed or did not converge.

    It is INCOMPLETE, too, if most bytes of the checkpoint are not analysed for another reason.
    """
    lacking = scan.failed or scan.unreadable or scan.unconverged
    return INCOMPLETE if lacking or describe_unread_bytes(scan.rows) else DONE


def status_of_interruption(stop: ScanInterrupted) -> int:
    """Return the exit status after Ctrl-C, or after the signal SIGTERM."""
    return TERMINATED if isinstance(stop.__cause__, Terminated) else INTERRUPTED


def take_opening(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the options for opening a checkpoint from the options of a command; return them."""
    return {name: options.pop(name) for name in ("reading", *OPENING) if name in options}


def plan_of_scan(path: str, **options: Any) -> Plan:
    """Plan the scan of a checkpoint."""
    source = as_scannable(path, **take_opening(options))
    return scan_checkpoint(source, plan=True, **options | {"shard": shard_of(options["shard"])})


def run_scan(
    locate: Callable[[], str | Path], quiet: bool, as_json: bool, options: dict[str, Any]
) -> NoReturn:
    """Scan a checkpoint, print the result, and exit with its status."""
    opening, workers = take_opening(options), options.get("workers")

    def work(progress: Progress | None, pool: Executor | None) -> Scan:
        shard = shard_of(options.get("shard"))
        source = as_scannable(locate(), **opening)
        how = options | {"shard": shard, "progress": progress, "executor": pool}
        return scan_checkpoint(source, plan=False, **how)

    outputs = OutputOptions(options.get("resume"), options["out"] or ())
    run_table(work, report.show_scan, status_of, quiet, as_json, workers, outputs)


def run_table(
    work: Callable[[Progress | None, Executor | None], T],
    show: Callable[[Console, T], None],
    status_of_rows: Callable[[T], int],
    quiet: bool,
    as_json: bool,
    workers: int | None,
    outputs: OutputOptions,
) -> NoReturn:
    """Make a table, print it, and exit with its status."""
    set_numpy_threads(1)
    with clean_errors():
        status = DONE
        try:
            with progress_on(quiet) as watcher, processes(workers) as pool:
                table = work(both(watcher, _print_row) if as_json else watcher, pool)
        except ScanInterrupted as stop:
            table = stop.scan
            status = status_of_interruption(stop)
        except OutputError as error:
            complain(error)
            table, status = error.scan, BAD_INPUT
        if not as_json:
            show(console(), table)
            if status != BAD_INPUT:
                report.show_saved(console(), outputs.out)
        if not table.complete:
            command = command_again(sys.argv[1:], outputs.resume, outputs.out)
            tell_command(command, stderr=as_json)
        sys.stdout.flush()
    raise typer.Exit(status or status_of_rows(table))


def _print_row(event: ScanEvent) -> None:
    if event.row is not None:
        sys.stdout.write(json_line(event.row))
        sys.stdout.flush()


def progress_on(quiet: bool) -> AbstractContextManager[Progress | None]:
    """Return the progress display on standard error; standard output has only results."""
    return nullcontext() if quiet else watching(console(stderr=True))
