# SPDX-License-Identifier: BSD-3-Clause
"""A table filled row by row: those that are there, those that headers tell, those to compute."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from sigmascope._tables.outputs import Outputs
from sigmascope._tables.schema import Row
from sigmascope._tables.table import OutputError, ScanInterrupted, Table

from .ahead import Ahead, Crew
from .progress import Meter, Progress


class Awaited(Protocol):
    """A row to come; `matrix`: whether it is to be computed, `entrywise`: read by itself."""

    @property
    def name(self) -> str:
        """Of the row."""

    @property
    def matrix(self) -> bool:
        """Whether there is something to compute."""

    @property
    def entrywise(self) -> bool:
        """Whether it has no spectrum, and its numbers are read one by one."""

    @property
    def stored_bytes(self) -> int:
        """Of what is to be computed."""

    def row(self) -> Row:
        """Begin the row, with what the headers tell."""


I = TypeVar("I", bound=Awaited)  # noqa: E741
T = TypeVar("T", bound=Table)


class Rows(Generic[T, I]):
    """The rows of a table in order: those that it began with, and those to come.

    `look` gives what is to be read entry by entry its columns; that is little, and done here.
    """

    def __init__(self, table: T, items: Sequence[I], what: str, look: Callable[[I], Row]) -> None:
        self.table = table
        self.items = items
        self._look = look
        places = {item.name: index for index, item in enumerate(items)}
        strange = [row["name"] for row in table.rows if row["name"] not in places]
        if strange:
            raise ValueError(f"the journal has a row {strange[0]!r}, {what} has none")
        self._places = [places[row["name"]] for row in table.rows]
        self.kept = {
            index: row
            for index, row in zip(self._places, table.rows, strict=True)
            if row["failure"] != "environment" and not self._unread(items[index], row)
        }
        self.matrices = [
            index for index, item in enumerate(items) if item.matrix and index not in self.kept
        ]

    @staticmethod
    def _unread(item: I, row: Row) -> bool:
        """Whether a row is of an earlier version, which read no tensor without a spectrum."""
        return item.entrywise and row["status"] == "not analysed"

    def put(self, index: int, row: Row) -> None:
        """Put a row in its place, instead of one that failed before."""
        at = bisect_left(self._places, index)
        if self._places[at : at + 1] == [index]:
            self.table.rows[at] = row
        else:
            self._places.insert(at, index)
            self.table.rows.insert(at, row)

    def fill(
        self,
        crew: Crew,
        outputs: Outputs[T],
        progress: Progress | None,
        begun: Sequence[int] | None = None,
    ) -> None:
        """Take the rows in order, begun in another if that is given, and write them."""
        items = self.items
        meter = Meter(
            progress,
            count=sum(item.matrix for item in items),
            total_bytes=sum(items[index].stored_bytes for index in self.matrices),
        )
        with Ahead(crew, begun or self.matrices) as ahead:
            try:
                for index, item in enumerate(items):
                    if index in self.kept:
                        meter.keep(self.kept[index], item.matrix)
                        continue
                    row = item.row()
                    if item.matrix:
                        meter.start(item.name, item.stored_bytes)
                        row |= ahead.row(index, meter.read)
                    elif item.entrywise:
                        row |= self._look(item)
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
