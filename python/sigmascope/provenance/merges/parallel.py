# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of a tensor on several threads, with results in the order of the blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sigmascope import show_config

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Blocks for each thread that are read before their results are taken."""


def in_turn(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield work(item) for each item, in their order, whatever the number of threads."""
    threads = int(show_config()["num_threads"])
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="sigmascope-blocks") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
