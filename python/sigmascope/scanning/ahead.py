# SPDX-License-Identifier: BSD-3-Clause
"""Matrices analysed ahead of the rows that are written, by one worker or by one per core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

from .rows import Row

Read = Callable[[int], None]
"""Takes the stored bytes that one native call has used so far."""

_POLL = 0.05


class Stopped(BaseException):
    """The scan has ended; what a worker still does is for nobody."""


class Ahead:
    """Calls ``analyse(index, read)`` for every index, in order, on `workers` threads.

    Rows are taken in the same order, by the thread that began; it alone hears from `read`, so that
    a listener is called from there, and Ctrl-C arrives there.
    """

    def __init__(
        self, analyse: Callable[[int, Read], Row], indices: Sequence[int], workers: int
    ) -> None:
        self._stopped = False
        self._counts: dict[int, list[int]] = {index: [0, 0] for index in indices}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sigmascope-scan")
        self._rows: dict[int, Future[Row]] = {
            index: self._pool.submit(analyse, index, self._reader(index)) for index in indices
        }

    def _reader(self, index: int) -> Read:
        counts = self._counts[index]

        def read(nbytes: int) -> None:
            if self._stopped:
                raise Stopped
            if nbytes < counts[1]:  # another native call, whose count begins at zero
                counts[0] += counts[1]
            counts[1] = nbytes

        return read

    def row(self, index: int, tell: Read) -> Row:
        """Wait for a row, telling the bytes read meanwhile, and once more when it is there."""
        future = self._rows.pop(index)
        while True:
            try:
                row = future.result(timeout=_POLL)
            except NotYet:
                if future.done():  # it was the worker's own error
                    raise
                tell(sum(self._counts[index]))
                continue
            tell(sum(self._counts.pop(index)))
            return row

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
