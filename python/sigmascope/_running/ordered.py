# SPDX-License-Identifier: BSD-3-Clause
"""Rows that threads or an executor compute ahead, delivered in the order of the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from heapq import heappop, heappush
from typing import Protocol

from sigmascope._execution.byte_counts import POLL, ByteCounts
from sigmascope._tables.schema import Row

from .tasks import ByteListener

_QUEUE_DEPTH = 4
"""Matrices per worker that are submitted at a time."""


class TaskRunner(Protocol):
    """Threads or an executor that analyse matrices, which are identified by their index."""

    @property
    def workers(self) -> int:
        """Number of matrices that are analysed at a time."""

    def submit(self, index: int) -> Future[Row]:
        """Start, or queue, the analysis of a matrix."""

    def bytes_read(self, index: int) -> int:
        """Return the stored bytes that were used so far for a matrix, over all passes."""

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row of a future that is done."""

    def close(self) -> None:
        """Stop the analyses that still run."""


def submission_order(indices: Sequence[int], size: Callable[[int], int], workers: int) -> list[int]:
    """Return the order in which to submit matrices whose rows are used in the order of indices.

    In many files the first and the last matrix are large embeddings. A large first matrix changes
    places with the second, so that something is computed while it is read. A large last matrix is
    submitted so early that the other workers compute what comes after it meanwhile.
    """
    order = list(indices)
    if len(order) > 1 and size(order[0]) > size(order[1]):
        order[:2] = order[1], order[0]
    if len(order) > 2:
        last = order.pop()
        place, behind = len(order), 0
        while place > 1 and behind < (workers - 1) * size(last):
            place -= 1
            behind += size(order[place])
        order.insert(place, last)
    return order


class _Submissions:
    """The matrices that are submitted before each row is taken; rows have the order of `indices`.

    At most four matrices per worker are submitted at a time, since a process that is killed loses
    the rows that are not yet taken. While the row of a large matrix is awaited, more are submitted:
    until the other workers have as many bytes each.
    """

    def __init__(self, indices: Sequence[int], size: Callable[[int], int], workers: int) -> None:
        self._remaining = deque(submission_order(indices, size, workers))
        self._size, self._workers = size, workers
        self._count = self._nbytes = 0  # of matrices whose rows are not yet taken

    def before(self, index: int) -> list[int]:
        """Return the matrices to submit, in order, before the row of a matrix is taken."""
        due: list[int] = []
        own, others = self._size(index), self._workers - 1
        while self._remaining and (
            self._count < _QUEUE_DEPTH * self._workers or self._nbytes - own < others * own
        ):
            later = self._remaining.popleft()
            self._count += 1
            self._nbytes += self._size(later)
            due.append(later)
        self._count -= 1
        self._nbytes -= own
        return due


class OrderedPrefetch:
    """Rows in the order of `indices`, computed ahead in the order of :func:`submission_order`.

    Only the thread that made this object takes rows and calls `tell`. Therefore a listener runs in
    that thread, and Ctrl-C arrives there.
    """

    def __init__(
        self, runner: TaskRunner, indices: Sequence[int], size: Callable[[int], int]
    ) -> None:
        self._runner = runner
        self._submissions = _Submissions(indices, size, runner.workers)
        self._submitted: dict[int, Future[Row]] = {}

    def row(self, index: int, tell: ByteListener) -> Row:
        """Wait for a row; report the bytes read while waiting, and once more at the end."""
        for later in self._submissions.before(index):
            self._submitted[later] = self._runner.submit(later)
        future = self._submitted[index]
        while not wait((future,), timeout=POLL).done:
            tell(self._runner.bytes_read(index))
        row = self._runner.result(index, future)
        del self._submitted[index]
        tell(self._runner.bytes_read(index))
        return row

    def __enter__(self) -> OrderedPrefetch:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._submitted.values():
            future.cancel()
        self._runner.close()


def expected_seconds(
    seconds: Sequence[float], sizes: Sequence[int], alone: Sequence[bool], workers: int
) -> float:
    """Return the time of a run from those of its matrices, in the order of the table.

    Workers take matrices as :class:`OrderedPrefetch` submits them, so they may wait for the row of
    a large one, and at the end. A matrix that is analysed `alone` waits for all before it.
    """
    submissions = _Submissions(range(len(sizes)), sizes.__getitem__, workers)
    now, free = 0.0, [0.0] * workers
    ended = [0.0] * len(sizes)
    for index in range(len(sizes)):
        for later in submissions.before(index):
            begin = max(heappop(free), now)
            if alone[later]:
                begin = max([begin, *free])
                free = [begin + seconds[later]] * (workers - 1)  # a heap of equal numbers
            ended[later] = begin + seconds[later]
            heappush(free, ended[later])
        now = max(now, ended[index])
    return now


class ThreadTasks:
    """A task runner that calls ``analyse(index, read)`` on threads of this process.

    `stop_reading` ends reads that may take long, when their results are not needed any more.
    """

    def __init__(
        self,
        analyse: Callable[[int, ByteListener], Row],
        workers: int,
        stop_reading: Callable[[], None] = lambda: None,
    ) -> None:
        self.workers = workers
        self._stop_reading = stop_reading
        self._analyse = analyse
        self._counts = ByteCounts()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sigmascope-scan")
        self._futures: set[Future[Row]] = set()

    def submit(self, index: int) -> Future[Row]:
        """Queue one matrix."""
        future = self._pool.submit(self._analyse, index, self._counts.listener(index))
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def bytes_read(self, index: int) -> int:
        """Return the stored bytes that were used so far for a matrix."""
        return self._counts.of(index)

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row; raise an error that is not about the matrix."""
        return future.result()

    def close(self) -> None:
        """Stop every analysis at its next report of bytes, and wait until all have stopped."""
        self._counts.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        running = tuple(self._futures)
        self._stop_reading()
        while wait(running, timeout=POLL).not_done:  # one may only now begin to read
            self._stop_reading()
        self._pool.shutdown(wait=True)
