# SPDX-License-Identifier: BSD-3-Clause
"""The run of an extraction: its rows, the empty table, and the adapter's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sigmascope._running.device_slots import DeviceSlots
from sigmascope._running.ordered import ThreadTasks
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.table_run import TableRun
from sigmascope._running.tasks import ByteListener, SourceFiles
from sigmascope._tables.schema import Row
from sigmascope.adapters.targets import Target
from sigmascope.adapters.whole import SavedTensors, Whole
from sigmascope.adapters.writing import AdapterFolder
from sigmascope.comparing.run import Files, facts_of
from sigmascope.comparing.tasks import Link, MatrixPairs

from .items import Item
from .layers import Request
from .representable import Layouts
from .result import Extraction
from .tasks import TENSORS, Both, ExtractionTask, carrier_of, entrywise, extracted


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionRun(TableRun[Extraction, Item, Request]):
    """The run of an extraction.

    Attributes
    ----------
    both
        The base, and the tuned model.
    files
        The files of each.
    folder
        The folder of the adapter.
    options, keep_memory, patterns, choices, items, part
        As for :class:`TableRun`.
    """

    kind = Extraction

    both: Both
    files: Files
    folder: AdapterFolder

    def facts(self) -> dict[str, Any]:
        """Return the paths, notes, files and architecture of the table."""
        facts = facts_of(self.both, self.files, [item.pair for item in self.items])
        return facts | {"architecture": self.both[0].architecture}

    def builder(self, table: Extraction) -> TableBuilder[Extraction, Item]:
        """Return the builder of the table; rows without factors in the folder are made again."""
        for row, target in self.targets(table):
            if self.folder.rank_of(target) != row["rank"]:
                row["failure"] = "environment"
        return TableRun.builder(self, table)

    def read_entries(self, item: Item) -> Row:
        """Return the change of a tensor that is not a matrix."""
        return entrywise(self.both, item)

    @contextmanager
    def on_threads(self, builder: TableBuilder[Extraction, Item]) -> Iterator[ThreadTasks]:
        """Extract one matrix at a time on each device."""
        items, devices = self.items, self.options.devices
        links = {index: Link.of(items[index].pair) for index in builder.matrices}
        pairs, slots = MatrixPairs(*self.both, links.values()), DeviceSlots(devices)
        each = self.options.per_worker(len(devices), 1)

        def row_of(index: int, read: ByteListener) -> Row:
            carrier = carrier_of(items[index])
            with slots.lent() as device:
                return extracted(pairs, links[index], carrier, each.on(device), read)

        yield ThreadTasks(row_of, len(devices), pairs.stop_reading)

    def task(self, index: int, each: Request) -> ExtractionTask:
        """Describe the extraction of a matrix for a worker with these options."""
        item, sources = self.items[index], tuple(map(SourceFiles.of, self.both, self.files))
        link, carrier = Link.of(item.pair), carrier_of(item)
        return ExtractionTask(
            name=link.name, sources=sources, link=link, carrier=carrier, request=each
        )

    def check_unchanged(self, item: Item) -> None:
        """Raise CheckpointError if a file of a pair is no longer the one that was opened."""
        link = Link.of(item.pair)
        MatrixPairs(*self.both, [link]).check_unchanged(link.name)

    def receive(self, item: Item, row: Row) -> Row:
        """Write the factors of a row, and return its columns; OSError if that fails."""
        tensors = row.pop(TENSORS, None)
        if tensors is not None:
            assert item.target is not None
            self.folder.put(item.target, tensors)
        return row

    def targets(self, table: Extraction) -> Iterator[tuple[Row, Target]]:
        """List the rows whose change the adapter holds, with the changed weights."""
        targets = {item.name: item.target for item in self.items}
        for row in table.analysed:
            target = targets[row["name"]]
            assert target is not None
            yield row, target

    def saved(self, table: Extraction, layouts: Layouts) -> SavedTensors:
        """Read the tensors to store in full, and all other tensors of the saved modules."""
        saved, named = SavedTensors(), {item.name: item for item in self.items}
        before, after = self.both
        for row in table.saved:
            item = named[row["name"]]
            assert isinstance(item.carrier, Whole)
            assert item.pair.after is not None
            saved.add(item.carrier, after, item.pair.after.key)
            if not item.carrier.bias and item.carrier.module not in saved.modules:
                saved.modules.append(item.carrier.module)
        for module in saved.modules:
            for own in layouts.companions(module):
                if Whole(module, own) not in saved.tensors:
                    saved.add(Whole(module, own), before, f"{module}.{own}")
        return saved
