# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a scan before the analysis: tensors to analyse, and reasons to omit others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sigmascope._running.selection import Selection
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.record import TensorRecord

from .rows import start_row


@dataclass(frozen=True, slots=True)
class Item:
    """A row that the scan is to make.

    Attributes
    ----------
    record
        The tensor as the checkpoint describes it.
    name
        Name of the row.
    matrix
        True if the spectrum of the tensor is to be computed.
    status, reason
        Status of the row and reason for it, if there is no spectrum.
    entrywise
        True if the tensor has no spectrum and is read entry by entry.
    """

    record: TensorRecord
    name: str
    matrix: bool
    status: str = "not analysed"
    reason: str | None = None
    entrywise: bool = False

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of the matrix to analyse; 0 without one."""
        return self.record["nbytes"] // len(self.record["matrices"]) if self.matrix else 0

    def row(self) -> Row:
        """Return the row with the columns that the headers give."""
        return start_row(self.record, self.name, self.status, self.reason)


def list_items(
    checkpoint: Scannable, include: list[str], exclude: list[str], *, strict: bool = True
) -> Iterator[Item]:
    """List the rows to make, in file order.

    If `strict` and a pattern of `include` matches nothing, a ValueError is raised at the end.
    """
    wanted = Selection(include, exclude)
    for tensor in checkpoint.info():
        for name in tensor["matrices"] or (tensor["name"],):
            record = checkpoint.record_of(name) if tensor["matrices"] else tensor
            excluded = wanted.reason({name, record["name"]})
            if excluded is not None:
                yield Item(record, name, False, "excluded", excluded)
            elif record["matrices"]:
                yield Item(record, name, True)
            else:
                readable = checkpoint.elements(name) is not None
                yield Item(record, name, False, "not analysed", record["reason"], readable)
    if strict:
        wanted.check(str(checkpoint.path))
