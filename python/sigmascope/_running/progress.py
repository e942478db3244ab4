# SPDX-License-Identifier: BSD-3-Clause
"""Events that a scan sends to its listener while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sigmascope._tables.schema import Row

Kind = Literal["started", "reading", "row", "kept"]


@dataclass(frozen=True, slots=True)
class ScanEvent:
    """One step in the progress of a scan or a comparison.

    Attributes
    ----------
    kind
        "started": the analysis of a matrix starts; "reading": a part of it was read, sent about 20
        times a second; "row": the row of a tensor is finished, analysed or not; "kept": the row
        comes from the journal of a scan that is resumed.
    name
        Name of the tensor or the slice.
    index, count
        Number of this matrix among those to be analysed, from 1, and how many there are. A row
        that is not analysed has the index of the matrix before it.
    stored_bytes, read_bytes
        Stored bytes of this matrix, and bytes read so far over all its passes.
    done_bytes, total_bytes
        Stored bytes of the matrices that are finished, and of all that are to be analysed; kept
        rows count in neither.
    seconds
        Time since the scan began.
    row
        The row, if the kind is "row" or "kept"; else None.
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
    """The progress of a scan, reported to its listener."""

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
        """Report that the analysis of a matrix starts."""
        self.index += 1
        self.name, self.stored_bytes = name, stored_bytes
        self.read_bytes = 0
        self.tell("started")

    def read(self, nbytes: int) -> None:
        """Report the bytes of this matrix that were read so far, over all passes."""
        self.read_bytes = nbytes
        self.tell("reading")

    def finish(self, row: Row, stored_bytes: int) -> None:
        """Report a finished row."""
        self.done_bytes += stored_bytes
        self.name = row["name"]
        self.tell("row", row)
        self.stored_bytes = self.read_bytes = 0

    def keep(self, row: Row, matrix: bool) -> None:
        """Report a row of the journal; `matrix` is True if it is the row of a matrix."""
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
