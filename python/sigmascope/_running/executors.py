# SPDX-License-Identifier: BSD-3-Clause
"""Tasks of a scan on an executor that the caller owns: processes, a Dask cluster, MPI."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, replace

from sigmascope._host.threads import resolve_threads
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable

from .shared_counts import SharedCounter, SharedCounts
from .tasks import TENSOR_ERRORS, ByteListener, SourceFiles, failed

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTask(ABC):
    """The description of the analysis of one row, for a process that can open the same files.

    It holds no array and takes a few kilobytes.

    Attributes
    ----------
    name
        Name of the row.
    sources
        The checkpoints.
    attempt
        Number of this attempt, from 0. It makes each attempt a different task for an executor that
        remembers the results of tasks.
    counter
        The counter to which the worker reports the bytes that it reads, if there is one.
    """

    name: str
    sources: tuple[SourceFiles, ...]
    attempt: int = 0
    counter: SharedCounter | None = None

    @abstractmethod
    def analysed(self, checkpoints: Sequence[Scannable], read: ByteListener | None) -> Row:
        """Return the columns that the headers do not give; an error of the row is one of them."""


def run(task: WorkerTask) -> Row:
    """Carry out a task: open the checkpoints, unless this process has them open, and analyse.

    An error of a file becomes the reason in the row.
    """
    began = time.perf_counter()
    try:
        checkpoints = [source.opened() for source in task.sources]
    except TENSOR_ERRORS as error:
        return failed(error, began)
    return task.analysed(checkpoints, None if task.counter is None else task.counter.listener())


class ExecutorTasks:
    """A task runner that sends tasks to an executor.

    A task whose worker dies is sent again, and is run in this process after three attempts.
    `task(index)` describes the analysis of one of `rows` rows. When a scan is interrupted, tasks
    that wait are cancelled and tasks that run are left to the executor.

    Processes of this machine report the bytes that they read; other executors report nothing
    before a row is finished.

    `check(index)` raises CheckpointError if a file of a row is no longer the one that this process
    opened: a worker opens it later, and may read what was written meanwhile.
    """

    def __init__(
        self,
        executor: Executor,
        task: Callable[[int], WorkerTask],
        check: Callable[[int], None],
        workers: int,
        rows: int,
    ) -> None:
        self.workers = workers
        self._executor = executor
        self._task = task
        self._check = check
        self._counts = SharedCounts(rows) if isinstance(executor, ProcessPoolExecutor) else None

    def submit(self, index: int, attempt: int = 0) -> Future[Row]:
        """Send one task; return a failed future if the executor refuses it."""
        try:
            counter = None if self._counts is None else self._counts.counter(index)
            task = replace(self._task(index), attempt=attempt, counter=counter)
            return self._executor.submit(run, task)
        except Exception as error:
            refused: Future[Row] = Future()
            refused.set_exception(error)
            return refused

    def bytes_read(self, index: int) -> int:
        """Return the stored bytes that were used so far for a row, over all passes."""
        return 0 if self._counts is None else self._counts.of(index)

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row; repeat the task after an exception, which is a failure of the executor.

        An error of the matrix raises no exception; it becomes part of the row. So does a file that
        was written since this process opened it.
        """
        began = time.perf_counter()
        row = self._returned(index, future)
        try:
            self._check(index)
        except TENSOR_ERRORS as error:
            return row if row["status"] == "failed" else failed(error, began)
        return row

    def _returned(self, index: int, future: Future[Row]) -> Row:
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
        return run(task)

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
