# SPDX-License-Identifier: BSD-3-Clause
"""Bytes at positions that a Python object reads: objects in stores, file objects, arrays.

It is the counterpart of `ByteSource` in `cpp/storage`, whose implementation `PythonSource` calls
:meth:`ByteSource.read_into`. Matrices, headers and scales are read through it alike.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache, partial
from operator import itemgetter

from sigmascope.errors import CheckpointError

LEAST, MOST = 8 << 20, 64 << 20
"""Smallest and largest number of bytes of a request; a long read is divided into several."""

CONNECTIONS = 8
"""Maximum number of simultaneous requests, over all sources."""


class ByteSource(ABC):
    """Bytes at positions; any number of threads may read at once.

    Attributes
    ----------
    name : str
        Name in messages, without secrets.
    size : int
        Number of bytes.
    parts : sequence of (int, str)
        Offset and name of each part, in the order of offsets, if the parts have names.
    """

    name: str
    size: int
    parts: Sequence[tuple[int, str]] = ()

    concurrent = False
    """True if the pieces of a long read are read at the same time."""

    _stopped = 0.0
    """Time of the last call of :meth:`stop`, as `time.monotonic` tells it."""

    @abstractmethod
    def fill(self, offset: int, memory: memoryview) -> None:
        """Fill `memory` with the bytes from `offset` on; an error if there are fewer."""

    @abstractmethod
    def identity(self) -> str:
        """Return a text that changes when the bytes are known to have changed."""

    def read_into(self, offset: int, memory: memoryview) -> None:
        """Fill `memory` with the bytes from `offset` on, in pieces."""
        began, pieces = time.monotonic(), list(_pieces(offset, memory.cast("B")))

        def piece(at: int, part: memoryview) -> None:
            with checking(partial(self.check_going, began)):
                check_all_going()
                self.fill(at, part)

        if not self.concurrent or len(pieces) == 1:
            for at, part in pieces:
                piece(at, part)
            return
        reads = [_pool().submit(copy_context().run, piece, at, part) for at, part in pieces]
        try:
            wait(reads, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C
            self.stop()
            raise
        finally:  # nobody writes to the memory after this
            for read in reads:
                read.cancel()
            wait(reads)
        for read in reads:
            if not read.cancelled():
                read.result()

    def described(self, offset: int, count: int) -> str:
        """Return the words that name some bytes, and their part, in a message."""
        span = f"bytes {offset} to {offset + count - 1}"
        place = bisect_right(self.parts, offset, key=itemgetter(0))
        return f"tensor {self.parts[place - 1][1]!r}, {span}" if place else span

    def stop(self) -> None:
        """Make reads that are under way in other threads end with an error, as after Ctrl-C."""
        self._stopped = time.monotonic()

    def check_going(self, began: float) -> None:
        """Raise CheckpointError in a read that began before the last call of :meth:`stop`."""
        if began < self._stopped:
            raise CheckpointError(f"{self.name}: reading was stopped")

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes, fewer if the source ends before them."""
        buffer = bytearray(max(min(count, self.size - offset), 0))
        if buffer:
            self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


_CHECKS: ContextVar[tuple[Callable[[], None], ...]] = ContextVar("checks of reads", default=())


@contextmanager
def checking(check: Callable[[], None]) -> Iterator[None]:
    """Let :func:`check_all_going` call a function in this thread; it raises to end a read."""
    token = _CHECKS.set((*_CHECKS.get(), check))
    try:
        yield
    finally:
        _CHECKS.reset(token)


def check_all_going() -> None:
    """Raise CheckpointError if the read of this thread, or a read around it, was stopped.

    Code that waits within a read calls this several times a second.
    """
    for check in _CHECKS.get():
        check()


def _pieces(offset: int, memory: memoryview) -> Iterator[tuple[int, memoryview]]:
    size = min(max(-(-memory.nbytes // CONNECTIONS), LEAST), MOST)
    for start in range(0, memory.nbytes, size):
        yield offset + start, memory[start : start + size]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="sigmascope-fetch")
