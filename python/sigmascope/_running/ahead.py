# SPDX-License-Identifier: BSD-3-Clause
"""Matrices analysed ahead of the rows that are written: rows come in order, whoever makes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from sigmascope._tables.schema import Row

from .tasks import Read

_POLL = 0.05
_BEGUN = 4
"""Matrices per worker."""

_EARLIER = 2 * _BEGUN - 2
"""Places by which one may be begun before its turn, so that two workers still hold its row."""


class Stopped(BaseException):
    """The scan has ended; what a worker still does is for nobody."""


class Crew(Protocol):
    """Whoever analyses matrices, each of which is known by its index."""

    @property
    def workers(self) -> int:
        """How many matrices are analysed at a time."""

    def submit(self, index: int) -> Future[Row]:
        """Begin, or queue, the analysis of a matrix."""

    def read(self, index: int) -> int:
        """Return the stored bytes that were used so far for it, over all passes."""

    def row(self, index: int, future: Future[Row]) -> Row:
        """Return the result of a future that is done."""

    def leave(self) -> None:
        """End what is still done."""


class Ahead:
    """Rows, with at most four matrices per worker begun or waiting, in the order of `indices`.

    They are taken by the thread that began; it alone hears from `tell`, so that a listener is
    called from there, and Ctrl-C arrives there.
    """

    def __init__(self, crew: Crew, indices: Iterable[int]) -> None:
        self._crew = crew
        self._to_come = deque(indices)
        self._begun: dict[int, Future[Row]] = {}

    def row(self, index: int, tell: Read) -> Row:
        """Wait for a row, telling the bytes read meanwhile, and once more when it is there."""
        while self._to_come and len(self._begun) < _BEGUN * self._crew.workers:
            later = self._to_come.popleft()
            self._begun[later] = self._crew.submit(later)
        future = self._begun[index]
        while not wait((future,), timeout=_POLL).done:
            tell(self._crew.read(index))
        row = self._crew.row(index, future)
        del self._begun[index]
        tell(self._crew.read(index))
        return row

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._begun.values():
            future.cancel()
        self._crew.leave()


def turns(indices: Sequence[int], size: Callable[[int], int]) -> list[int]:
    """Return the order in which to begin matrices whose rows are wanted in the order of indices.

    Embeddings are the first and the last of many files. A large one is not read first, while
    nobody computes, nor computed last, when there is nothing beside it.
    """
    order = list(indices)
    if len(order) > 1 and size(order[0]) > size(order[1]):
        order[:2] = order[1], order[0]
    if len(order) > 2:
        last = order.pop()
        place, behind = len(order), 0
        while place > max(len(order) - _EARLIER, 1) and behind < size(last):
            place -= 1
            behind += size(order[place])
        order.insert(place, last)
    return order


class Threads:
    """Calls ``analyse(index, read)`` on threads of this process."""

    def __init__(self, analyse: Callable[[int, Read], Row], workers: int) -> None:
        self.workers = workers
        self._analyse = analyse
        self._stopped = False
        self._counts: dict[int, list[int]] = {}
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sigmascope-scan")

    def submit(self, index: int) -> Future[Row]:
        """Queue one matrix."""
        self._counts[index] = [0, 0]
        return self._pool.submit(self._analyse, index, self._reader(index))

    def _reader(self, index: int) -> Read:
        counts = self._counts[index]

        def read(nbytes: int) -> None:
            if self._stopped:
                raise Stopped
            if nbytes < counts[1]:  # another native call, whose count begins at zero
                counts[0] += counts[1]
            counts[1] = nbytes

        return read

    def read(self, index: int) -> int:
        """Return the stored bytes used so far."""
        return sum(self._counts[index])

    def row(self, index: int, future: Future[Row]) -> Row:
        """Return the row, or raise what was no fault of the matrix."""
        return future.result()

    def leave(self) -> None:
        """Stop every analysis at its next look at the clock, and wait for that."""
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
