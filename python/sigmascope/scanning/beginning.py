# SPDX-License-Identifier: BSD-3-Clause
"""The start of a scan: its rows and options, and the table before its first row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from sigmascope._display.text import path_text
from sigmascope._execution.build import engine
from sigmascope._execution.several_devices import device_record
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.tasks import Options
from sigmascope._tables.outputs import JournalSettings
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope._tables.shards import Shard
from sigmascope.adapters.scannable import Scannable

from .items import Item, list_items
from .result import Scan

ScanBuilder = TableBuilder[Scan, Item]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan whose arguments are checked: a checkpoint, the rows to make of it, and the options.

    Attributes
    ----------
    checkpoint : Scannable
    options : Options
    include, exclude
        Patterns of names, as for :func:`scan`.
    items : list of Item
        The rows to make: all, or those of `part`.
    part : Shard or None
    """

    checkpoint: Scannable
    options: Options
    include: Patterns
    exclude: Patterns
    items: list[Item]
    part: Shard | None

    @classmethod
    def of(
        cls,
        checkpoint: Scannable,
        options: Options,
        include: Patterns,
        exclude: Patterns,
        shard: tuple[int, int] | None,
    ) -> Self:
        """List the rows to make: all, or those of the part that `shard` names."""
        items = list(list_items(checkpoint, as_list(include), as_list(exclude)))
        part = None
        if shard is not None:
            part = Shard.of(shard, [item.stored_bytes if item.matrix else None for item in items])
            items = [items[position] for position in part.positions]
        return cls(checkpoint, options, include, exclude, items, part)

    def resuming(self, journal: JournalSettings, *, keep_memory: bool) -> Self:
        """Return the request with the seed and the memory of a journal that is resumed."""
        return replace(self, options=self.options.resuming(journal, keep_memory=keep_memory))

    def empty_table(self) -> Scan:
        """Return the table of the scan before its first row."""
        patterns = {"include": as_list(self.include), "exclude": as_list(self.exclude)}
        return Scan(
            checkpoint=path_text(str(self.checkpoint.path)),
            options=self.options.recorded() | patterns | self.checkpoint.choices,
            rows=[],
            expected=len(self.items),
            notes=self.checkpoint.notes,
            files=identities(self.checkpoint),
            engine=engine() | device_record(self.options.devices),
            architecture=self.checkpoint.architecture,
            shard=self.part,
        )

    def builder(self, table: Scan, read_entries: Callable[[Item], Row]) -> ScanBuilder:
        """Return what fills the table; `read_entries` makes a row of a tensor without spectrum."""
        return ScanBuilder(table, self.items, path_text(str(self.checkpoint.path)), read_entries)
