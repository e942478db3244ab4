# SPDX-License-Identifier: BSD-3-Clause
"""The run that makes a table: rows, options, the journal to resume, and threads or workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from sigmascope._execution.build import engine
from sigmascope._execution.several_devices import device_record
from sigmascope._tables.outputs import (
    JournalSettings,
    Outputs,
    PathLike,
    Paths,
    check_outputs,
    resumed,
    settings_of,
)
from sigmascope._tables.schema import Row
from sigmascope._tables.shards import Shard
from sigmascope._tables.table import Table

from .executors import ExecutorTasks, WorkerTask
from .ordered import TaskRunner
from .progress import Progress
from .run_options import RunOptions
from .table_builder import PendingRow, TableBuilder

I = TypeVar("I", bound=PendingRow)  # noqa: E741
T = TypeVar("T", bound=Table)
O = TypeVar("O", bound=RunOptions)  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRun(ABC, Generic[T, I, O]):
    """A run whose arguments are checked: the rows of its table, and the options of each.

    Attributes
    ----------
    options
        Options of the analysis of each matrix.
    keep_memory
        True if the caller gave a memory limit, which then replaces the limit of a journal.
    patterns
        Patterns of names, "include" and "exclude".
    choices
        Further options that a journal records.
    items
        The rows to make: all rows, or the rows of `part`.
    part
        The part of the table that the run makes; None for all of it.
    """

    kind: ClassVar[type[Any]]
    """Class of the table."""

    options: O
    keep_memory: bool
    patterns: dict[str, list[str]]
    choices: dict[str, Any]
    items: list[I]
    part: Shard | None = None

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the paths, notes, files and architecture of the table."""

    @abstractmethod
    def read_entries(self, item: I) -> Row:
        """Return the columns of a tensor whose numbers are read one by one."""

    @abstractmethod
    def on_threads(self, builder: TableBuilder[T, I]) -> AbstractContextManager[TaskRunner]:
        """Return a runner on threads of this process."""

    @abstractmethod
    def task(self, index: int, each: O) -> WorkerTask:
        """Describe the analysis of a row for a worker with these options."""

    @abstractmethod
    def check_unchanged(self, item: I) -> None:
        """Raise CheckpointError if a file of a row is no longer the one that was opened."""

    def receive(self, item: I, row: Row) -> Row:
        """Return the columns of a row that was computed."""
        return row

    def resuming(self, journal: JournalSettings) -> Self:
        """Return the run with the seed and the memory of a journal that is resumed."""
        options = self.options.resuming(journal, keep_memory=self.keep_memory)
        return replace(self, options=options)

    def empty_table(self) -> T:
        """Return the table before its first row."""
        table: T = self.kind(
            options=self.options.recorded() | self.patterns | self.choices,
            rows=[],
            expected=len(self.items),
            engine=engine() | device_record(self.options.devices),
            shard=self.part,
            **self.facts(),
        )
        return table

    def builder(self, table: T) -> TableBuilder[T, I]:
        """Return the object that fills the table."""
        source = " with ".join(getattr(table, name) for name in table.sources)
        return TableBuilder(table, self.items, source, self.read_entries, self.receive)

    def fill(
        self,
        out: Paths,
        resume: PathLike | None,
        executor: Executor | None,
        workers: int | None,
        progress: Progress | None,
    ) -> T:
        """Make the rows that a journal lacks, and write them; return the table."""
        with Outputs(out, resume, self.kind) as outputs:
            run = self.resuming(outputs.resumed_settings)
            builder = run.builder(outputs.begin(run.empty_table()))
            if executor is None or workers is None:
                with run.on_threads(builder) as runner:
                    builder.fill(runner, outputs, progress)
            else:
                builder.fill(run.on_executor(executor, workers), outputs, progress)
        return builder.table

    def on_executor(self, executor: Executor, workers: int) -> TaskRunner:
        """Return a runner on an executor of the caller, on `workers` rows at once."""
        each = self.options.per_worker(workers)

        def task(index: int) -> WorkerTask:
            return self.task(index, each.of_row(index))

        def check(index: int) -> None:
            self.check_unchanged(self.items[index])

        return ExecutorTasks(executor, task, check, workers, len(self.items))

    def prepare_plan(self, out: Paths, resume: PathLike | None) -> tuple[Self, TableBuilder[T, I]]:
        """Return the run and the rows that it has to make; change no file.

        Raises
        ------
        ValueError, ImportError, OSError
            As :meth:`fill` would, for its outputs and the journal to resume.
        """
        header, rows = check_outputs(out, resume, self.kind.schema)
        run = self.resuming(settings_of(header))
        table = run.empty_table()
        if header is not None and resume is not None:
            table = resumed(Path(resume), header, rows, table)
        return run, run.builder(table)

    def unreadable(self) -> dict[str, str]:
        """Return the weights that this version cannot decode, each with the reason."""
        rows = (item.row() for item in self.items)
        return {
            row["name"]: row["reason"] or ""
            for row in rows
            if row["kind"] == "unreadable" and row["status"] == "not analysed"
        }


def select_part(items: list[I], shard: tuple[int, int] | None) -> tuple[list[I], Shard | None]:
    """Return the items of a part of a table, and the part; all of them if `shard` is None."""
    if shard is None:
        return items, None
    part = Shard.of(shard, [item.stored_bytes if item.matrix else None for item in items])
    return [items[position] for position in part.positions], part
