# SPDX-License-Identifier: BSD-3-Clause
"""Division of threads and memory among matrices that one process analyses at the same time.

Memory means host memory and, for CUDA devices, also the memory of each device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Condition
from typing import Self

from sigmascope._execution.memory import MINIMUM
from sigmascope._running.device_slots import most_on_device
from sigmascope._running.tasks import TENSOR_ERRORS, Options
from sigmascope.adapters.scannable import Scannable
from sigmascope.analysis.admission import fits_share, in_memory
from sigmascope.analysis.low_rank import LowRank

from .items import Item

LEAST_SHARE = 0.9
"""Least fraction of all stored bytes that matrices analysed together must have."""


@dataclass(frozen=True, slots=True)
class ConcurrencyPlan:
    """The number of matrices that are analysed at once, and the options of each.

    Two matrices on one core each take less time than one after the other on both cores, since parts
    of each are serial, and its threads wait for one another.

    Attributes
    ----------
    workers
        Number of matrices that are analysed at once.
    each
        Options of a matrix that is analysed together with others.
    full
        Options of a matrix that is analysed alone, with all threads and all memory.
    alone
        Names of the matrices that are analysed alone.
    """

    workers: int
    each: Options
    full: Options
    alone: frozenset[str] = frozenset()

    @classmethod
    def of(cls, checkpoint: Scannable, items: Sequence[Item], options: Options) -> Self:
        """Choose the largest number of workers for which most matrices fit into their share.

        A matrix fits if its share holds the stored bytes and allows the same method as all memory.
        That applies to the memory of the host, and of the device if there is one.
        """
        total = sum(item.stored_bytes for item in items)
        workers = min(options.num_threads, options.memory_limit // MINIMUM)
        while workers > 1:
            each = options.per_worker(workers, most_on_device(workers, len(options.devices)))
            alone = frozenset(i.name for i in items if not _fits(checkpoint, i.name, each, options))
            concurrent = sum(item.stored_bytes for item in items if item.name not in alone)
            if len(items) >= 2 * workers and concurrent >= LEAST_SHARE * total:
                return cls(workers, each, options, alone)
            workers //= 2
        return cls(1, options, options)

    def options_of(self, name: str) -> Options:
        """Return the options of one matrix."""
        return self.full if name in self.alone else self.each


def _fits(checkpoint: Scannable, name: str, share: Options, full: Options) -> bool:
    """Return True if a matrix fits into a share of the memory, with the method of all memory.

    Also True for a matrix that cannot be read; its row will have the error.
    """
    with suppress(*TENSOR_ERRORS):
        a = checkpoint.outline(name)
        if isinstance(a, LowRank):
            return a.working_bytes <= share.memory_limit
        part, whole = share.of_spectrum(), full.of_spectrum()
        needed = in_memory(a, **part)[1].plus(a.nbytes)
        return needed.peak <= share.memory_limit and fits_share(a, part, whole)
    return True


class ExclusiveQueue:
    """A queue that admits several threads at once, or one exclusively, in order of request."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._working = 0
        self._alone = False
        self._changed = Condition()

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until this thread is admitted; with `alone`, until it is the only one."""
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
