# SPDX-License-Identifier: BSD-3-Clause
"""A table filled row by row: from a journal, from headers only, or by computation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from sigmascope._tables.outputs import Outputs
from sigmascope._tables.schema import Row
from sigmascope._tables.table import Table
from sigmascope.errors import OutputError, ScanInterrupted

from .ordered import OrderedPrefetch, TaskRunner, submission_order
from .progress import Meter, Progress


class PendingRow(Protocol):
    """A row that a table will have."""

    @property
    def name(self) -> str:
        """Name of the row."""

    @property
    def matrix(self) -> bool:
        """True if a spectrum is to be computed."""

    @property
    def entrywise(self) -> bool:
        """True if the tensor has no spectrum and its numbers are read one by one."""

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of the matrix that is to be analysed."""

    def row(self) -> Row:
        """Return the row with the columns that the headers give."""


I = TypeVar("I", bound=PendingRow)  # noqa: E741
T = TypeVar("T", bound=Table)


class TableBuilder(Generic[T, I]):
    """The rows of a table in order: rows of a journal, and rows that are still to be made.

    Attributes
    ----------
    table
        The table; it has the rows of the journal at first.
    items
        Every row that the complete table has.
    finished
        Rows of the journal that are kept, by their index in `items`.
    matrices
        Indices of the matrices that are still to be analysed.
    """

    def __init__(
        self,
        table: T,
        items: Sequence[I],
        source: str,
        read_entries: Callable[[I], Row],
        receive: Callable[[I, Row], Row],
    ) -> None:
        """Match the rows of a table with `items`; ValueError, naming `source`, if one is unknown.

        `read_entries` returns the columns of a tensor whose numbers are read one by one. That takes
        little time and is done by this thread. `receive` returns the columns of a computed row.
        """
        self.table = table
        self.items = items
        self._read_entries, self._receive = read_entries, receive
        places = {item.name: index for index, item in enumerate(items)}
        strange = [row["name"] for row in table.rows if row["name"] not in places]
        if strange:
            raise ValueError(f"the journal has a row {strange[0]!r}, which {source} does not have")
        self._places = [places[row["name"]] for row in table.rows]
        self.finished = {
            index: row
            for index, row in zip(self._places, table.rows, strict=True)
            if row["failure"] != "environment" and not self._is_outdated(items[index], row)
        }
        self.matrices = [
            index for index, item in enumerate(items) if item.matrix and index not in self.finished
        ]

    @staticmethod
    def _is_outdated(item: I, row: Row) -> bool:
        """Return True for a row of an earlier version, which read no tensor without a spectrum."""
        return item.entrywise and row["status"] == "not analysed"

    def put(self, index: int, row: Row) -> None:
        """Insert a row in its place, or replace one that failed before."""
        at = bisect_left(self._places, index)
        if self._places[at : at + 1] == [index]:
            self.table.rows[at] = row
        else:
            self._places.insert(at, index)
            self.table.rows.insert(at, row)

    def order(self, workers: int) -> list[int]:
        """Return the order in which the missing rows with a spectrum go to `workers` workers."""
        return submission_order(self.matrices, self._size, workers)

    def _size(self, index: int) -> int:
        return self.items[index].stored_bytes

    def fill(
        self,
        runner: TaskRunner,
        outputs: Outputs[T],
        progress: Progress | None,
    ) -> None:
        """Take the missing rows in order and write them."""
        items = self.items
        meter = Meter(
            progress,
            count=sum(item.matrix for item in items),
            total_bytes=sum(items[index].stored_bytes for index in self.matrices),
        )
        with OrderedPrefetch(runner, self.matrices, self._size) as prefetch:
            try:
                for index, item in enumerate(items):
                    if index in self.finished:
                        meter.keep(self.finished[index], item.matrix)
                        continue
                    row = item.row()
                    if item.matrix:
                        meter.start(item.name, item.stored_bytes)
                        row |= self._receive(item, prefetch.row(index, meter.read))
                    elif item.entrywise:
                        row |= self._read_entries(item)
                    self.put(index, row)
                    outputs.append(row)
                    meter.finish(row, item.stored_bytes)
            except KeyboardInterrupt as stop:
                outputs.finish()
                raise ScanInterrupted(self.table) from stop
            except Exception:
                with suppress(OutputError):
                    outputs.finish()
                raise
            outputs.finish()
