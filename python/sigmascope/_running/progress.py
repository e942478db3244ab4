# SPDX-License-Identifier: BSD-3-Clause
"""What a scan tells its listener while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sigmascope._tables.schema import Row

Kind = Literal["started", "reading", "row", "kept"]


@dataclass(frozen=True, slots=True)
class ScanEvent:
    """What a scan is doing, for whoever shows it.

    Attributes
    ----------
    kind
        "started": a matrix is begun; "reading": some of it was read, about 20 times a second;
        "row": the row of a tensor is there, analysed or not; "kept": it was there before a scan
        was resumed.
    name
        Of the tensor or the slice.
    index, count
        Number of this matrix among those to be analysed, from 1, and how many there are. A row
        that is not analysed has the index of the matrix before it.
    stored_bytes, read_bytes
        Of this matrix: as stored, and read so far over all passes.
    done_bytes, total_bytes
        Stored bytes of the matrices that are finished, and of all that are to be analysed; those of
        kept rows count in neither.
    seconds
        Since the scan began.
    row
        With kinds "row" and "kept", else None.
    """

    kind: Kind
    name: str
    index: int
    count: int
    stored_bytes: int
    read_bytes: int
    done_bytes: int
    total_bytes: int
    seconds: float
    row: Row | None = None


Progress = Callable[[ScanEvent], object]


@dataclass(slots=True)
class Meter:
    """Tells the listener how far the scan is."""

    listener: Progress | None
    count: int
    total_bytes: int
    began: float = field(default_factory=time.perf_counter)
    index: int = 0
    done_bytes: int = 0
    name: str = ""
    stored_bytes: int = 0
    read_bytes: int = 0

    def start(self, name: str, stored_bytes: int) -> None:
        """Begin a matrix."""
        self.index += 1
        self.name, self.stored_bytes = name, stored_bytes
        self.read_bytes = 0
        self.tell("started")

    def read(self, nbytes: int) -> None:
        """Take the bytes of this matrix that were read so far, over all passes."""
        self.read_bytes = nbytes
        self.tell("reading")

    def finish(self, row: Row, stored_bytes: int) -> None:
        """Report a row; its matrix, if it has one, is done."""
        self.done_bytes += stored_bytes
        self.name = row["name"]
        self.tell("row", row)
        self.stored_bytes = self.read_bytes = 0

    def keep(self, row: Row, matrix: bool) -> None:
        """Report a row that was there before; whether it is that of a matrix."""
        self.index += matrix
        self.name = row["name"]
        self.tell("kept", row)

    def tell(self, kind: Kind, row: Row | None = None) -> None:
        """Send the state to the listener, if there is one."""
        if self.listener is None:
            return
        self.listener(
            ScanEvent(
                kind=kind,
                name=self.name,
                index=self.index,
                count=self.count,
                stored_bytes=self.stored_bytes,
                read_bytes=self.read_bytes,
                done_bytes=self.done_bytes,
                total_bytes=self.total_bytes,
                seconds=time.perf_counter() - self.began,
                row=row,
            )
        )
