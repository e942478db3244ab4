# SPDX-License-Identifier: BSD-3-Clause
"""Requests that end at once on Ctrl-C, and that are abandoned if their answers are too slow.

A thread that waits in the native code of obstore sees no signal. Requests therefore run on an event
loop in a separate thread, and the caller waits in slices of a fifth of a second. In the main
thread, a signal ends the wait. Other threads check in each slice whether their read should go on.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import CONNECTIONS, check_all_going, checking

LEAST_RATE = 1 << 10
"""An answer is abandoned if fewer bytes a second arrive, on average over `PERIOD`."""

PERIOD = 30.0
"""Seconds over which the rate is averaged: as long as a server may be silent."""

_SLICE = 0.2
_TOGETHER = 1 << 20
"""Bytes of an answer that are delivered together."""

_PIECE = 1 << 15
"""Fewest bytes that count as progress, except at the end; about as many arrive in a `PERIOD`."""

_AT_ONCE = 8 * CONNECTIONS
"""Files requested before the first answers are examined, since the first may be missing."""

T = TypeVar("T")


class SlowAnswerError(Exception):
    """The bytes of an answer arrive at a lower rate than `LEAST_RATE`."""


def wait_for(request: Callable[[], Awaitable[T]], check: Callable[[], None] = lambda: None) -> T:
    """Make a request and wait for it; an exception that ends the wait cancels the request.

    Parameters
    ----------
    request : callable
        Function that begins the request, on the event loop.
    check : callable
        Function that is called in each slice of the wait, and may raise.
    """
    loop = _loop(os.getpid())
    answer: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    async def awaited() -> T:
        return await request()

    def begin() -> None:
        # Here, on the loop: a signal in the caller would leave a coroutine that nobody awaits.
        tasks.append(loop.create_task(awaited()))
        tasks[0].add_done_callback(deliver)

    def deliver(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            answer.cancel()
        elif (error := task.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    def cancel() -> None:
        for task in tasks:
            task.cancel()

    try:
        loop.call_soon_threadsafe(begin)
        while not wait([answer], _SLICE).done:
            check_all_going()
            check()
    except BaseException:
        loop.call_soon_threadsafe(cancel)
        wait([answer], _SLICE)  # so that no request is under way when the process ends
        raise
    return answer.result()


def chunks_of(answer: Any) -> Iterator[memoryview]:
    """Iterate over the bytes of an answer of obstore as they arrive.

    Raises
    ------
    SlowAnswerError
        Fewer than `LEAST_RATE` bytes a second arrived for `PERIOD` seconds.
    """
    stream = answer.stream(min_chunk_size=_PIECE)
    progress = _Progress()
    ended = False

    async def take() -> list[memoryview]:
        nonlocal ended
        parts: list[memoryview] = []
        while not ended and sum(part.nbytes for part in parts) < _TOGETHER:
            try:
                parts.append(memoryview(await anext(stream)))
                progress.nbytes += parts[-1].nbytes
            except StopAsyncIteration:
                ended = True
        return parts

    while not ended:
        yield from wait_for(take, progress.check)


def concurrently(call: Callable[[str], T], items: Sequence[str]) -> list[T]:
    """Call a function for several items at the same time; results are in the order of the items.

    An exception for one item, or Ctrl-C, ends the requests for all others.
    """
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise CheckpointError("reading was stopped")

    def checked(item: str) -> T:
        with checking(check):
            check()
            return call(item)

    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="sigmascope-open") as pool:
        try:
            parts = (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
            return [result for part in parts for result in pool.map(checked, part)]
        except BaseException:
            stopped.set()
            raise


class _Progress:
    """The bytes of an answer that have arrived, in all and in the present period."""

    def __init__(self) -> None:
        self.nbytes, self._before = 0, 0
        self._began = time.monotonic()

    def check(self) -> None:
        seconds = time.monotonic() - self._began
        if seconds < PERIOD:
            return
        nbytes = self.nbytes - self._before
        if nbytes < LEAST_RATE * seconds:
            raise SlowAnswerError(f"fewer than {nbytes + _PIECE} bytes in {seconds:.1f} s")
        self._began, self._before = time.monotonic(), self.nbytes


@cache
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """Return the event loop of a process; after a fork, the parent's loop has no thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="sigmascope-requests", daemon=True).start()
    return loop
