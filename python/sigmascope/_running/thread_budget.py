# SPDX-License-Identifier: BSD-3-Clause
"""Threads and memory shared between a pair and the next one, so that no thread is idle.

The parts of a pair depend on each other, and some of them run on one thread. The threads that they
leave idle work on the next pair. No result depends on the order in which parts run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Protocol, Self

MOST_AT_ONCE = (4, 2, 1)
"""Numbers of parts that may be computed at once; the largest that the threads allow is used."""


class PairMemory(Protocol):
    """The memory that the plan of one pair takes."""

    def leaves_room(self, other: Self) -> bool:
        """Return True if another pair fits into the memory that this one leaves."""


class ThreadBudget:
    """The threads of one comparison, which its pairs share.

    Parameters
    ----------
    num_threads : int
        Threads of all pairs together. They are lent in `parts` equal parts.
    """

    def __init__(self, num_threads: int) -> None:
        self.parts = next(parts for parts in MOST_AT_ONCE if parts <= max(num_threads, 1))
        self._free = self.parts
        self._waiting: deque[object] = deque()
        self._active: list[PairMemory] = []
        self._changed = Condition()
        self._used, self._since = 0.0, time.perf_counter()
        self.reading = Lock()

    @contextmanager
    def pair(self, plan: PairMemory) -> Iterator[ThreadLease]:
        """Start a pair as soon as it and every other active pair leave room for each other."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    plan.leaves_room(other) and other.leaves_room(plan) for other in self._active
                )
            )
            self._active.append(plan)
        try:
            yield ThreadLease(self)
        finally:
            with self._changed:
                self._active.remove(plan)
                self._changed.notify_all()

    @contextmanager
    def threads(self, workers: int, *, spare: bool = False) -> Iterator[float]:
        """Lend the threads of one of `workers` equal workers; requests are served in order.

        With `spare`, also lend the threads that nobody uses or waits for. Yield the lent fraction
        of all threads.
        """
        parts, ticket = self.parts // min(workers, self.parts), object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket and self._free >= parts)
            self._waiting.popleft()
            parts = self._free if spare and not self._waiting else parts
            self._take(parts)
        try:
            yield parts / self.parts
        finally:
            with self._changed:
                self._take(-parts)

    def _take(self, parts: int) -> None:
        now = time.perf_counter()  # read once: time between two readings would be lost
        self._used, self._since = self._used_until(now), now
        self._free -= parts
        self._changed.notify_all()

    def _used_until(self, now: float) -> float:
        return self._used + (now - self._since) * (1.0 - self._free / self.parts)

    def used_seconds(self) -> float:
        """Return the time for which threads were lent so far, weighted by their share of all."""
        with self._changed:
            return self._used_until(time.perf_counter())


class ThreadLease:
    """The threads that one pair borrows, and the time that is charged to it.

    Attributes
    ----------
    seconds : float
        Time charged to the pair, as if it had had all threads. The times of all pairs add up to the
        time of the comparison.
    """

    def __init__(self, budget: ThreadBudget) -> None:
        self._budget = budget
        self._adding = Lock()
        self.seconds = 0.0

    def _add(self, seconds: float) -> None:
        with self._adding:
            self.seconds += seconds

    @contextmanager
    def threads(self, workers: int, *, spare: bool = False) -> Iterator[float]:
        """Borrow threads as by :meth:`ThreadBudget.threads`, and charge the time to the pair."""
        with self._budget.threads(workers, spare=spare) as fraction:
            began = time.perf_counter()
            try:
                yield fraction
            finally:
                self._add((time.perf_counter() - began) * fraction)

    @contextmanager
    def without_threads(self) -> Iterator[None]:
        """Read files while other pairs may have the threads; one pair reads at a time."""
        with self._budget.reading:
            used = self._budget.used_seconds()  # read first, so that no time counts twice
            began = time.perf_counter()
            try:
                yield
            finally:
                idle = time.perf_counter() - began - (self._budget.used_seconds() - used)
                self._add(max(idle, 0.0))
