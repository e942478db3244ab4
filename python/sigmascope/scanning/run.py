# SPDX-License-Identifier: BSD-3-Clause
"""The run of a scan: its rows, the empty table, and the workers that analyse matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sigmascope._running.device_slots import DeviceSlots
from sigmascope._running.ordered import ThreadTasks
from sigmascope._running.prefetch import Prefetch
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.table_run import TableRun, select_part
from sigmascope._running.tasks import ByteListener, Options, SourceFiles
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope._words.text import path_text
from sigmascope.adapters.scannable import Scannable
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.formats.identity import FileIdentity
from sigmascope.matrices.matrix import Matrix

from .concurrency import ConcurrencyPlan, ExclusiveQueue
from .entrywise import entrywise
from .items import Item, list_items
from .result import Scan
from .tasks import MatrixTask, analyse


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRun(TableRun[Scan, Item, Options]):
    """The run of a scan.

    Attributes
    ----------
    checkpoint
    files
        Files of the checkpoint.
    options, keep_memory, patterns, choices, items, part
        As for :class:`TableRun`.
    """

    kind = Scan

    checkpoint: Scannable
    files: tuple[FileIdentity, ...]

    @classmethod
    def of(
        cls,
        checkpoint: Scannable,
        options: Options,
        include: Patterns,
        exclude: Patterns,
        shard: tuple[int, int] | None,
        *,
        keep_memory: bool,
    ) -> Self:
        """List the rows to make: all rows, or the rows of the part that `shard` names."""
        patterns = {"include": as_list(include), "exclude": as_list(exclude)}
        items, part = select_part(list(list_items(checkpoint, *patterns.values())), shard)
        return cls(
            options=options,
            keep_memory=keep_memory,
            patterns=patterns,
            choices=checkpoint.choices,
            items=items,
            part=part,
            checkpoint=checkpoint,
            files=identities(checkpoint),
        )

    def facts(self) -> dict[str, Any]:
        """Return the path, notes, files and architecture of the table."""
        return {
            "checkpoint": path_text(str(self.checkpoint.path)),
            "notes": self.checkpoint.notes,
            "files": self.files,
            "architecture": self.checkpoint.architecture,
        }

    def read_entries(self, item: Item) -> Row:
        """Return the columns of a tensor without a spectrum."""
        return entrywise(self.checkpoint, item.name, item.record["status"])

    @contextmanager
    def on_threads(self, builder: TableBuilder[Scan, Item]) -> Iterator[ThreadTasks]:
        """Analyse matrices in this process."""
        checkpoint, items, options = self.checkpoint, self.items, self.options
        plan = ConcurrencyPlan.of(checkpoint, [item for item in items if item.matrix], options)
        names = [items[index].name for index in builder.order(plan.workers)]
        remote = bool(checkpoint.sources)
        prefetch: Prefetch[Matrix | LowRank] = Prefetch(checkpoint, names, remote=remote)
        queue, slots = ExclusiveQueue(), DeviceSlots(options.devices)
        with prefetch as matrices:

            def row_of(index: int, read: ByteListener) -> Row:
                name = items[index].name
                alone = name in plan.alone
                with queue.turn(alone=alone), slots.lent() as device:
                    row = analyse(matrices, name, plan.options_of(name).on(device), read)
                if plan.workers > 1 and not alone and row.get("failure") == "environment":
                    # its part of the memory may have been too small
                    with queue.turn(alone=True), slots.lent() as device:
                        row = analyse(matrices, name, options.on(device), read)
                return row

            yield ThreadTasks(row_of, plan.workers, checkpoint.stop_reading)

    def task(self, index: int, each: Options) -> MatrixTask:
        """Describe the analysis of a matrix for a worker with these options."""
        sources = (SourceFiles.of(self.checkpoint, self.files),)
        return MatrixTask(name=self.items[index].name, sources=sources, options=each)

    def check_unchanged(self, item: Item) -> None:
        """Raise CheckpointError if the file of a matrix is no longer the one that was opened."""
        self.checkpoint.outline(item.name)  # which checks the file
