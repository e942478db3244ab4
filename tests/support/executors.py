# SPDX-License-Identifier: BSD-3-Clause
"""Executors that do what real ones do only now and then."""

from __future__ import annotations

import pickle
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

    It keeps the verbs of those performed, in order, and the size of the largest description.
    """

    def __init__(self, seed: int = 0, *, losing: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.waiting: list[tuple[LazyFuture, bytes]] = []
        self.losing = losing
        self.verbs: list[str] = []
        self.largest_part = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = LazyFuture(self)
        self.largest_part = max(self.largest_part, len(args[0]))
        self.waiting.append((future, pickle.dumps((fn, args, kwargs))))
        return future

    def perform(self, wanted: LazyFuture) -> None:
        while not wanted.done():
            future, task = self.waiting.pop(int(self.rng.integers(len(self.waiting))))
            if self.losing > 0:
                self.losing -= 1
                future.set_exception(BrokenExecutor("a worker died"))
            else:
                fn, args, kwargs = pickle.loads(task)
                self.verbs.append(args[1])
                future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
