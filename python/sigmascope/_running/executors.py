# SPDX-License-Identifier: BSD-3-Clause
"""Tasks of a scan on an executor that the caller owns: processes, a Dask cluster, MPI."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sigmascope._host.threads import resolve_threads
from sigmascope._tables.schema import Row

from .shared_counts import SharedCounter, SharedCounts

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

    @property
    def counter(self) -> SharedCounter | None:
        """The place where the worker reports the bytes that it reads, if there is one."""


T = TypeVar("T", bound=PicklableTask)


class ExecutorTasks(Generic[T]):
    """A task runner that sends tasks to an executor.

    A task whose worker dies is sent again, and is run in this process after three attempts.
    `task(index)` describes the analysis of one of `rows` rows and `run` carries it out. When a scan
    is interrupted, tasks that wait are cancelled and tasks that run are left to the executor.

    Processes of this machine report the bytes that they read; other executors report nothing
    before a row.
    """

    def __init__(
        self,
        executor: Executor,
        task: Callable[[int], T],
        workers: int,
        run: Callable[[T], Row],
        rows: int,
    ) -> None:
        self.workers = workers
        self._executor = executor
        self._task = task
        self._run = run
        self._counts = SharedCounts(rows) if isinstance(executor, ProcessPoolExecutor) else None

    def submit(self, index: int, attempt: int = 0) -> Future[Row]:
        """Send one task; return a failed future if the executor refuses it."""
        try:
            counter = None if self._counts is None else self._counts.counter(index)
            task = replace(self._task(index), attempt=attempt, counter=counter)
            return self._executor.submit(self._run, task)
        except Exception as error:
            refused: Future[Row] = Future()
            refused.set_exception(error)
            return refused

    def bytes_read(self, index: int) -> int:
        """Return the stored bytes that were used so far for a row, over all passes."""
        return 0 if self._counts is None else self._counts.of(index)

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row; an exception is a failure of the executor, and the task is repeated.

        An error of the matrix does not raise; it becomes part of the row.
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
        """Forget the bytes that were read; the caller closes the executor."""
        if self._counts is not None:
            self._counts.close()


def concurrent_tasks(
    executor: Executor | None, workers: int | None, *, plan: bool = False
) -> int | None:
    """Return how many tasks an executor runs at once; None for a run in threads of this process.

    A plan needs no executor. ValueError for contradictory arguments.
    """
    if workers is not None and executor is None and not plan:
        raise ValueError(f"workers = {workers} without an executor")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if executor is None:
        return workers
    return workers or resolve_threads(None)
