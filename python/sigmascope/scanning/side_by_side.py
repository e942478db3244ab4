# SPDX-License-Identifier: BSD-3-Clause
"""Threads and memory shared out among matrices that are analysed side by side in one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Condition
from typing import Self

from sigmascope._execution.memory import MINIMUM
from sigmascope._running.tasks import TENSOR_ERRORS, Options
from sigmascope.adapters import Scannable
from sigmascope.analysis.admission import in_memory
from sigmascope.analysis.low_rank import LowRank

from .items import Item

LEAST_SHARE = 0.9
"""Of all stored bytes, those of matrices that can be analysed beside others."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many matrices at once, and what each is given.

    Two matrices take less time on one core each than one after the other on both: parts of each are
    serial, and its threads wait for one another.

    Attributes
    ----------
    workers
        Matrices at once.
    each
        The options of a matrix beside others.
    whole
        Those of a matrix that needs all the memory, and has all threads.
    alone
        The names of these.
    """

    workers: int
    each: Options
    whole: Options
    alone: frozenset[str] = frozenset()

    @classmethod
    def of(cls, checkpoint: Scannable, items: Sequence[Item], options: Options) -> Self:
        """Share out to as many as have what each would have had by itself: its bytes, read once."""
        total = sum(item.stored_bytes for item in items)
        workers = min(options.num_threads, options.memory_limit // MINIMUM)
        while workers > 1:
            each = options.shared(workers)
            alone = frozenset(i.name for i in items if not _fits(checkpoint, i.name, each, options))
            beside = sum(item.stored_bytes for item in items if item.name not in alone)
            if len(items) >= 2 * workers and beside >= LEAST_SHARE * total:
                return cls(workers, each, options, alone)
            workers //= 2
        return cls(1, options, options)

    def options_of(self, name: str) -> Options:
        """Return the options of one matrix."""
        return self.whole if name in self.alone else self.each


def _fits(checkpoint: Scannable, name: str, share: Options, whole: Options) -> bool:
    """Whether a share is enough to hold a matrix and do what would be done with all the memory.

    True if it cannot be read: its row will say it.
    """
    with suppress(*TENSOR_ERRORS):
        a = checkpoint[name]
        if isinstance(a, LowRank):
            return a.working_bytes <= share.memory_limit
        (chosen, needed), (wanted, _) = (
            in_memory(
                a,
                effort=options.effort,
                k=options.k,
                tol=options.tol,
                accuracy=options.accuracy,
                vectors=False,
                measures=options.measures,
                num_threads=options.num_threads,
                memory_limit=options.memory_limit,
            )
            for options in (share, whole)
        )
        return chosen.effort == wanted.effort and needed.plus(a.nbytes).peak <= share.memory_limit
    return True


class Turns:
    """Who may be at work: several side by side, or one alone. Whoever asks first comes first."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._working = 0
        self._alone = False
        self._changed = Condition()

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and hold it."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(
                lambda: (
                    self._waiting[0] is ticket
                    and not self._alone
                    and (self._working == 0 or not alone)
                )
            )
            self._waiting.popleft()
            self._working += 1
            self._alone = alone
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._alone = False
                self._changed.notify_all()
