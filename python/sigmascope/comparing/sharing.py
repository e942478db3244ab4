# SPDX-License-Identifier: BSD-3-Clause
"""Threads and memory shared between a pair and the one after it, so that no thread waits for work.

A pair's parts depend on each other, and some of them run on one thread: what it leaves idle is the
next pair's. No number depends on who runs when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
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

    @contextmanager
    def pair(self, budget: Bounded) -> Iterator[None]:
        """Begin a pair, alone or beside one other: each must fit into the room that one leaves."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    budget.leaves_room(other) and other.leaves_room(budget) for other in self._begun
                )
            )
            self._begun.append(budget)
        try:
            yield
        finally:
            with self._changed:
                self._begun.remove(budget)
                self._changed.notify_all()

    @contextmanager
    def threads(self, workers: int) -> Iterator[None]:
        """Hold the threads of one of so many workers; whoever asks first is served first."""
        parts, ticket = self.parts // min(workers, self.parts), object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(
                lambda: self._waiting[0] is ticket and self._free >= parts  # none overtakes
            )
            self._waiting.popleft()
            self._free -= parts
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += parts
                self._changed.notify_all()
