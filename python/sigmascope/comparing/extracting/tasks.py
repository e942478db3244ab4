# SPDX-License-Identifier: BSD-3-Clause
"""The rows of an extraction, made by threads of this process or by the workers of an executor.

Both return the tensors of the factors with the columns; the process that has the table writes them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

from sigmascope._running.device_slots import DeviceSlots
from sigmascope._running.ordered import TaskRunner, ThreadTasks
from sigmascope._running.shared_counts import SharedCounter
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters.targets import Target
from sigmascope.adapters.whole import Whole
from sigmascope.adapters.writing import AdapterFolder
from sigmascope.checkpoint import Checkpoint
from sigmascope.comparing.entrywise import compared_entrywise
from sigmascope.comparing.matrix_pairs import StoredPair
from sigmascope.comparing.run import Files
from sigmascope.comparing.tasks import Link, LinkedFiles, MatrixPairs

from .items import Item
from .layers import Request, extract_matrix
from .result import NOT_CARRIED, SAVED

Both = tuple[Checkpoint, Checkpoint]

_TENSORS = "tensors"
"""Member of a row that is not a column: the tensors of the factors, until they are written."""


@dataclass(frozen=True, slots=True)
class ExtractionTask:
    """The description of one extraction, for another process.

    Attributes
    ----------
    linked, attempt, counter
        As for :class:`sigmascope.comparing.tasks.PairTask`.
    carrier
        The weight that an adapter changes, or the reason why it cannot.
    request
        Arguments of the approximation.
    """

    linked: LinkedFiles
    carrier: Target | str
    request: Request
    attempt: int = 0
    counter: SharedCounter | None = None

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.linked.link.name

    @classmethod
    def of(cls, both: Both, files: Files, item: Item, request: Request) -> Self:
        """Describe the extraction of one matrix."""
        return cls(LinkedFiles.of(both, files, Link.of(item.pair)), carrier_of(item), request)


def carrier_of(item: Item) -> Target | str:
    """Return the weight that an adapter changes, or the reason, of an item that is a matrix."""
    assert isinstance(item.carrier, Target | str)
    return item.carrier


def run(task: ExtractionTask) -> Row:
    """Carry out a task: open the checkpoints, unless this process has them open, and extract.

    Returns
    -------
    dict
        Columns and tensors, as :func:`extracted` returns them.
    """
    began = time.perf_counter()
    try:
        pairs = task.linked.opened()
    except TENSOR_ERRORS as error:
        return failed(error, began)
    read = None if task.counter is None else task.counter.listener()
    return extracted(pairs, task.linked.link, task.carrier, task.request, read)


def extracted(
    pairs: MatrixPairs,
    link: Link,
    carrier: Target | str,
    request: Request,
    read: ByteListener | None = None,
) -> Row:
    """Return the columns of one matrix, and its tensors; an error becomes the reason."""
    began = time.perf_counter()
    try:
        pair = pairs[link.name]
        assert isinstance(pair, StoredPair)
        row, tensors = extract_matrix(pair, request, carrier, read)
        pairs.check_unchanged(link.name)  # the files may have changed while they were read
    except TENSOR_ERRORS as error:
        return failed(error, began)
    return row | {"seconds": time.perf_counter() - began, _TENSORS: tensors}


def tasks_on_threads(both: Both, items: Sequence[Item], request: Request) -> ThreadTasks:
    """Return a runner that extracts one matrix at a time on each device."""
    links = {index: Link.of(item.pair) for index, item in enumerate(items) if item.matrix}
    pairs, slots = MatrixPairs(*both, links.values()), DeviceSlots(request.devices)
    workers = len(request.devices)
    each = request.per_worker(workers, 1)

    def row_of(index: int, read: ByteListener) -> Row:
        carrier = carrier_of(items[index])
        with slots.lent() as device:
            return extracted(pairs, links[index], carrier, each.on(device), read)

    def stop_reading() -> None:
        for one in both:
            one.stop_reading()

    return ThreadTasks(row_of, workers, stop_reading)


class Saving:
    """A task runner that writes the factors of a row before it delivers the row."""

    def __init__(self, runner: TaskRunner, items: Sequence[Item], folder: AdapterFolder) -> None:
        self._runner, self._items, self._folder = runner, items, folder

    @property
    def workers(self) -> int:
        """Number of matrices that are computed at a time."""
        return self._runner.workers

    def submit(self, index: int) -> Future[Row]:
        """Start, or queue, the extraction of a matrix."""
        return self._runner.submit(index)

    def bytes_read(self, index: int) -> int:
        """Return the stored bytes that were used so far for a matrix, over all passes."""
        return self._runner.bytes_read(index)

    def result(self, index: int, future: Future[Row]) -> Row:
        """Return the row of a future that is done; OSError if its factors cannot be written."""
        row = self._runner.result(index, future)
        tensors = row.pop(_TENSORS, None)
        if tensors is not None:
            target = self._items[index].target
            assert target is not None
            self._folder.put(target, tensors)
        return row

    def close(self) -> None:
        """Stop the extractions that still run."""
        self._runner.close()


def entrywise(both: Both, item: Item) -> Row:
    """Return the change of a tensor that is not a matrix."""
    comparison: Mapping[str, object] = compared_entrywise(both, item.pair)
    row: Row = {"converged": True}
    for name in ("status", "reason", "failure", "seconds", "relative_change"):
        row[name] = comparison.get(name)
    row["delta_fro_norm"] = comparison.get("delta_fro_norm")
    if comparison["status"] != "entrywise":
        return row
    if not comparison["changed_entries"]:
        return row | {"status": "unchanged"}
    if isinstance(item.carrier, Whole):
        return row | {"status": SAVED}
    return row | {"status": NOT_CARRIED, "reason": item.carrier}
