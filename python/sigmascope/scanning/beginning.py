# SPDX-License-Identifier: BSD-3-Clause
"""The start of a scan: the list of rows to make, and the table before its first row."""

from __future__ import annotations

from sigmascope._display.text import path_text
from sigmascope._execution.build import engine
from sigmascope._execution.several_devices import device_record
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.tasks import Options
from sigmascope._tables.provenance import identities
from sigmascope._tables.shards import Shard
from sigmascope.adapters.scannable import Scannable

from .items import Item, list_items
from .result import Scan

ScanBuilder = TableBuilder[Scan, Item]


def listed_part(
    checkpoint: Scannable, include: Patterns, exclude: Patterns, shard: tuple[int, int] | None
) -> tuple[list[Item], Shard | None]:
    """List the rows to make: all, or those of the part that `shard` names."""
    items = list(list_items(checkpoint, as_list(include), as_list(exclude)))
    if shard is None:
        return items, None
    part = Shard.of(shard, [item.stored_bytes if item.matrix else None for item in items])
    return [items[position] for position in part.positions], part


def empty_table(
    checkpoint: Scannable,
    options: Options,
    include: Patterns,
    exclude: Patterns,
    expected: int,
    part: Shard | None,
) -> Scan:
    """Return the table of a scan before its first row."""
    patterns = {"include": as_list(include), "exclude": as_list(exclude)}
    return Scan(
        checkpoint=path_text(str(checkpoint.path)),
        options=options.recorded() | patterns | checkpoint.choices,
        rows=[],
        expected=expected,
        notes=checkpoint.notes,
        files=identities(checkpoint),
        engine=engine() | device_record(options.devices),
        architecture=checkpoint.architecture,
        shard=part,
    )
