# SPDX-License-Identifier: BSD-3-Clause
"""The rows of an extraction: columns and tensors, which the process that has the table writes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sigmascope._running.shared_counts import SharedCounter
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters.targets import Target
from sigmascope.adapters.whole import Whole
from sigmascope.checkpoint import Checkpoint
from sigmascope.comparing.entrywise import compared_entrywise
from sigmascope.comparing.matrix_pairs import StoredPair
from sigmascope.comparing.run import Files
from sigmascope.comparing.tasks import Link, LinkedFiles, MatrixPairs

from .items import Item
from .layers import Request, extract_matrix
from .result import NOT_CARRIED, SAVED

Both = tuple[Checkpoint, Checkpoint]

TENSORS = "tensors"
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
    return row | {"seconds": time.perf_counter() - began, TENSORS: tensors}


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
