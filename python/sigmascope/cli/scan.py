# SPDX-License-Identifier: BSD-3-Clause
"""The command ``sigmascope scan``: journals, parts and processes (extra ``cli``)."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar

import typer
from rich.console import Console

from sigmascope import report
from sigmascope._display.coverage import describe_unread_bytes
from sigmascope._host.threads import set_numpy_threads
from sigmascope._tables.journal import json_line
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

ResumeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Continue an interrupted run: keep the rows of this .jsonl and append the missing "
        "ones. Without such a file a new one is started.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Make only part I of N, counted from 0, for example 0/4 to 3/4 on four machines. "
        "`sigmascope merge` joins the parts.",
    ),
]
MeasuresOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Measures that are computed only on request: alpha_farms, randomized_distance, "
        "correlation_traps (the last two take three times as long); by compare also update_shares "
        "and update_masks. docs/measures.md explains them. Repeatable.",
    ),
]
VectorsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Save the singular vectors of the k largest values there, a .safetensors per matrix.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Compute in N processes, which share the threads and the memory. Default: in one.",
    ),
]

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
        raise ValueError(f"shard {text!r} is not like '0/4'")
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
    """Make the system end this worker when the scan ends, also if that is killed."""
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


def plan_of_scan(path: str, *, opening: Mapping[str, Any], shard: str | None, **how: Any) -> Plan:
    """Plan the scan of a checkpoint."""
    source = as_scannable(path, **opening)
    return scan_checkpoint(source, shard=shard_of(shard), plan=True, **how)


def run_scan(
    locate: Callable[[], str | Path],
    quiet: bool,
    as_json: bool,
    shard: str | None = None,
    workers: int | None = None,
    opening: Mapping[str, Any] | None = None,
    **options: Any,
) -> NoReturn:
    """Scan a checkpoint, print the result, and exit with its status."""

    def work(progress: Progress | None, pool: Executor | None) -> Scan:
        how = options | {"shard": shard_of(shard), "workers": workers}
        source = as_scannable(locate(), **(opening or {}))
        return scan_checkpoint(source, plan=False, progress=progress, executor=pool, **how)

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
