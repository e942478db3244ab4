# SPDX-License-Identifier: BSD-3-Clause
"""Progress of a scan: one live line on a terminal, else one line per matrix (extra ``cli``)."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from sigmascope._running.progress import Progress as Listener
from sigmascope._running.progress import ScanEvent
from sigmascope._tables.schema import Row
from sigmascope._words.text import dimensions, duration, ending, number_of, printable, size

_FIRST_GUESS = 12.0
"""Assumed number of passes over a matrix until the first matrix is finished."""


_AT_ONCE = 0.1
"""Seconds after the start of a matrix in which bytes count as read before its turn."""


class ProgressEstimate:
    """An estimate of the finished fraction of a scan, by bytes.

    The passes over the remaining matrices are estimated from those over the finished ones.
    """

    def __init__(self) -> None:
        self._read = 0
        self._stored = 0

    def fraction(self, event: ScanEvent) -> float:
        """Return the finished fraction, between 0 and 1."""
        if event.kind == "row" and event.stored_bytes:
            self._read += event.read_bytes
            self._stored += event.stored_bytes
        done = float(event.done_bytes)
        if event.kind != "row":
            passes = self._read / self._stored if self._stored else _FIRST_GUESS
            # An unfinished matrix counts at most 95 %.
            done += event.stored_bytes * min(
                event.read_bytes / (max(passes, 1.0) * max(event.stored_bytes, 1)), 0.95
            )
        return done / event.total_bytes if event.total_bytes else 1.0

    def left(self, event: ScanEvent, fraction: float) -> str:
        """Return the remaining time in words; empty as long as it would only be a guess."""
        if event.seconds < 1.0 or fraction < 0.005 or fraction >= 1.0:
            return ""
        return f"{duration(event.seconds * (1.0 - fraction) / fraction)} left"


class LiveProgress:
    """A line of a terminal with tensor, rate and remaining time, which is updated in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._estimate = ProgressEstimate()
        self._began = 0.0, 0
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: ScanEvent) -> None:
        """Show one event."""
        if event.kind == "started":
            self._began = event.seconds, 0
        elif event.seconds - self._began[0] < _AT_ONCE:  # a worker had begun it earlier
            self._began = event.seconds, event.read_bytes
        fraction = self._estimate.fraction(event)
        if self._task is None:
            self._task = self._progress.add_task("", total=1.0, state="")
        left = self._estimate.left(event, fraction)
        state = f"{event.index}/{event.count} {_bytes(event)} {self._rate(event):>9} {left:>13}"
        room = max(12, self._console.width - 14 - len(state) - 2)
        self._progress.update(
            self._task,
            completed=fraction,
            description=ending(event.name, room).ljust(min(room, 40)),
            state=state,
        )

    def _rate(self, event: ScanEvent) -> str:
        """Return the bytes per second: of this matrix, or of all that are finished."""
        since, before = self._began
        if event.read_bytes > before and event.seconds > since:
            return f"{size((event.read_bytes - before) / (event.seconds - since))}/s"
        if event.done_bytes and event.seconds > 0:
            return f"{size(event.done_bytes / event.seconds)}/s"
        return ""


def _bytes(event: ScanEvent) -> str:
    """Return the stored bytes of the finished matrices, and of all."""
    return f"{size(event.done_bytes)} of {size(event.total_bytes)}"


class LineProgress:
    """A printer of one line per finished matrix, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._estimate = ProgressEstimate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, event: ScanEvent) -> None:
        """Print a finished matrix."""
        fraction = self._estimate.fraction(event)
        if event.kind != "row" or event.row is None:
            return
        if event.row["status"] not in ("analysed", "failed"):
            return
        left = self._estimate.left(event, fraction)
        self._console.print(
            f"[{event.index}/{event.count}] {finding(event.row)}, "
            f"{duration(event.row['seconds'])}, {_bytes(event)}{', ' + left if left else ''}",
            soft_wrap=True,
        )


def watching(out: Console) -> LiveProgress | LineProgress:
    """Return the progress that suits a console."""
    return LiveProgress(out) if out.is_terminal else LineProgress(out)


def both(first: Listener | None, second: Listener) -> Listener:
    """Return a listener that passes events on to both; the first may be None."""

    def listen(event: ScanEvent) -> None:
        if first is not None:
            first(event)
        second(event)

    return listen


def finding(row: Row) -> str:
    """Return one row as one line of text."""
    name = printable(row["name"])
    if row["status"] == "failed":
        return f"{name}: failed: {printable(row['reason'])}"
    pair = "relative_change" in row
    text = f"{name} {dimensions([row['rows'], row['columns']])}: "
    if pair and row["delta_fro_norm"] == 0:
        return f"{text}identical"
    what, norm = ("delta_", "fro_norm") if pair else ("", "spectral_norm")
    text += f"{'|dW|' if pair else 'sigma_1'} {number_of(row, what + norm)}"
    shown = {"effective_rank": "effective rank", "stable_rank": "stable rank"}
    measure = next((m for m in shown if row[what + m] is not None), None)
    if measure is not None:
        text += f", {shown[measure]} {number_of(row, what + measure)}"
    return text if row["converged"] else f"{text}, not converged"
