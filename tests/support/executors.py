# SPDX-License-Identifier: BSD-3-Clause
"""Executors that do what real ones do only now and then."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

import numpy as np


class LazyFuture(Future[Any]):
    """Its executor performs what waits, in random order, until the result asked for is there."""

    def __init__(self, executor: Shuffling) -> None:
        super().__init__()
        self.executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self.executor.perform(self)
        return super().result(timeout)


class Shuffling(Executor):
    """Performs the tasks of a spread matrix in random order, pickled on both ways; loses the first.

    It keeps the verbs of those performed, in order, the size of the largest description, the
    threads of a task, and how many of each verb have waited at once.
    """

    def __init__(self, seed: int = 0, *, losing: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.waiting: list[tuple[LazyFuture, bytes]] = []
        self.losing = losing
        self.verbs: list[str] = []
        self.largest_part = 0
        self.threads: set[int] = set()
        self.most_waiting: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = LazyFuture(self)
        part, verb, _, options = args
        self.largest_part = max(self.largest_part, len(part))
        self.threads.add(options["threads"])
        self._now[verb] += 1
        self.most_waiting |= self._now
        self.waiting.append((future, pickle.dumps((fn, args, kwargs))))
        return future

    def perform(self, wanted: LazyFuture) -> None:
        while not wanted.done():
            future, task = self.waiting.pop(int(self.rng.integers(len(self.waiting))))
            fn, args, kwargs = pickle.loads(task)
            self._now[args[1]] -= 1
            if self.losing > 0:
                self.losing -= 1
                future.set_exception(BrokenExecutor("a worker died"))
            else:
                self.verbs.append(args[1])
                future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
