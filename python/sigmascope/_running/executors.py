# SPDX-License-Identifier: BSD-3-Clause
"""Tasks of a scan on an executor that the caller owns: processes, a Dask cluster, MPI."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sigmascope._host.threads import resolve_threads
from sigmascope._tables.schema import Row

_ATTEMPTS = 3


class PicklableTask(Protocol):
    """A dataclass that describes the analysis of one row and can be pickled."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Name of the row."""

    @property
    def attempt(self) -> int:
        """Number of times that the executor has lost this task."""


T = TypeVar("T", bound=PicklableTask)


class ExecutorTasks(Generic[T]):
    """A task runner that sends tasks to an executor.

    A task whose worker dies is sent again, and is run in this process after three attempts.
    `task(index)` describes the analysis of one row and `run` carries it out. When a scan is
    interrupted, tasks that wait are cancelled and tasks that run are left to the executor.
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
        """Send one task; return a failed future if the executor refuses it."""
        try:
            return self._executor.submit(self._run, replace(self._task(index), attempt=attempt))
        except Exception as error:
            refused: Future[Row] = Future()
            refused.set_exception(error)
            return refused

    def bytes_read(self, index: int) -> int:
        """Return 0: an executor reports nothing about a task before its row."""
        return 0

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row; an exception is a failure of the executor, and the task is repeated.

        An error of the matrix is no exception but a part of the row.
        """
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

    def close(self) -> None:
        """Do nothing: the caller closes the executor."""


def concurrent_tasks(executor: Executor | None, workers: int | None) -> int:
    """Return how many tasks an executor runs at once; ValueError for contradictory arguments."""
    if workers is not None and executor is None:
        raise ValueError(f"workers = {workers} without an executor")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    return workers or resolve_threads(None)
