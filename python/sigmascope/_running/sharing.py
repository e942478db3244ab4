# SPDX-License-Identifier: BSD-3-Clause
"""Threads and memory shared between a pair and the one after it, so that no thread waits for work.

A pair's parts depend on each other, and some of them run on one thread: what it leaves idle is the
next pair's. No number depends on who runs when.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import Protocol, Self

MOST_AT_ONCE = (4, 2, 1)
"""Parts of one or two pairs computed at once, if there are as many threads."""


class Bounded(Protocol):
    """What a pair may take."""

    def leaves_room(self, other: Self) -> bool:
        """Whether another pair may be held beside this one."""


class Sharing:
    """What all pairs of one comparison run on.

    Parameters
    ----------
    num_threads
        Of all that runs at once. They are handed out in as many parts as spectra may run at once.
    """

    def __init__(self, num_threads: int) -> None:
        self.parts = next(parts for parts in MOST_AT_ONCE if parts <= max(num_threads, 1))
        self._free = self.parts
        self._waiting: deque[object] = deque()
        self._begun: list[Bounded] = []
        self._changed = Condition()
        self._used, self._since = 0.0, time.perf_counter()
        self.reading = Lock()

    @contextmanager
    def pair(self, budget: Bounded) -> Iterator[Share]:
        """Begin a pair, alone or beside one other: each must fit into the room that one leaves."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    budget.leaves_room(other) and other.leaves_room(budget) for other in self._begun
                )
            )
            self._begun.append(budget)
        try:
            yield Share(self)
        finally:
            with self._changed:
                self._begun.remove(budget)
                self._changed.notify_all()

    @contextmanager
    def threads(self, workers: int, *, spare: bool = False) -> Iterator[float]:
        """Hold the threads of one of so many workers; whoever asks first is served first.

        `spare`: and those that nobody holds or waits for. Their share of all is what is yielded.
        """
        parts, ticket = self.parts // min(workers, self.parts), object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(
                lambda: self._waiting[0] is ticket and self._free >= parts  # none overtakes
            )
            self._waiting.popleft()
            parts = self._free if spare and not self._waiting else parts
            self._take(parts)
        try:
            yield parts / self.parts
        finally:
            with self._changed:
                self._take(-parts)

    def _take(self, parts: int) -> None:
        self._used, self._since = self._used_so_far(), time.perf_counter()
        self._free -= parts
        self._changed.notify_all()

    def _used_so_far(self) -> float:
        passed = time.perf_counter() - self._since
        return self._used + passed * (1.0 - self._free / self.parts)

    def used(self) -> float:
        """Return the seconds for which threads were held so far, each for its share of all."""
        with self._changed:
            return self._used_so_far()


class Share:
    """What one pair has of it.

    Attributes
    ----------
    seconds
        Of all threads, that the pair had for itself: those of all pairs add up to the time that
        the comparison takes.
    """

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._adding = Lock()
        self.seconds = 0.0

    def _add(self, seconds: float) -> None:
        with self._adding:
            self.seconds += seconds

    @contextmanager
    def threads(self, workers: int, *, spare: bool = False) -> Iterator[float]:
        """Hold the threads of one of so many workers; see :meth:`Sharing.threads`."""
        with self._sharing.threads(workers, spare=spare) as share:
            began = time.perf_counter()
            try:
                yield share
            finally:
                self._add((time.perf_counter() - began) * share)

    @contextmanager
    def without_threads(self) -> Iterator[None]:
        """Read, one pair after the other, while another may have the threads."""
        with self._sharing.reading:
            began, used = time.perf_counter(), self._sharing.used()
            try:
                yield
            finally:
                idle = time.perf_counter() - began - (self._sharing.used() - used)
                self._add(max(idle, 0.0))
