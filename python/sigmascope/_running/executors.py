# SPDX-License-Identifier: BSD-3-Clause
"""Tasks of a scan on an executor that its caller owns: processes, a Dask cluster, MPI."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sigmascope._host.threads import resolve_threads
from sigmascope._tables.schema import Row

_ATTEMPTS = 3


class Sent(Protocol):
    """A task: a dataclass that pickles."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Of its row."""

    @property
    def attempt(self) -> int:
        """0, 1, ...: how often it was lost."""


T = TypeVar("T", bound=Sent)


class Borrowed(Generic[T]):
    """Sends tasks to an executor. One whose worker dies is sent again, or else done here.

    `task(index)` describes the analysis of one row, `run` does it. What an executor has begun it
    also ends, when the scan is interrupted; what it has not begun is cancelled.
    """

    def __init__(
        self,
        executor: Executor,
        task: Callable[[int], T],
        workers: int,
        run: Callable[[T], Row],
    ) -> None:
        self.workers = workers
        self._executor = executor
        self._task = task
        self._run = run

    def submit(self, index: int, attempt: int = 0) -> Future[Row]:
        """Send one task; an executor that takes none gives a future that has failed."""
        try:
            return self._executor.submit(self._run, replace(self._task(index), attempt=attempt))
        except Exception as error:
            refused: Future[Row] = Future()
            refused.set_exception(error)
            return refused

    def read(self, index: int) -> int:
        """Return 0: nothing is heard of a task before its row."""
        return 0

    def row(self, index: int, future: Future[Row]) -> Row:
        """Return the row. What is wrong with a matrix is in it; an exception is the executor's."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return future.result()
            except Exception as error:
                lost = error
            if attempt < _ATTEMPTS:
                future = self.submit(index, attempt)
        task = self._task(index)
        warnings.warn(
            f"the executor lost {task.name} {_ATTEMPTS} times ({type(lost).__name__}: {lost}): "
            "it is analysed in this process",
            RuntimeWarning,
            stacklevel=2,
        )
        return self._run(task)

    def leave(self) -> None:
        """Do nothing: the executor is its owner's."""


def at_once(executor: Executor | None, workers: int | None) -> int:
    """Return how many tasks an executor does at once; ValueError if that makes no sense."""
    if workers is not None and executor is None:
        raise ValueError(f"workers = {workers} are those of an executor, and there is none")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    return workers or resolve_threads(None)
