# SPDX-License-Identifier: BSD-3-Clause
"""The rows of an extraction: columns and tensors, written by the process that holds the table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigmascope._running.executors import WorkerTask
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable
from sigmascope.adapters.targets import Target
from sigmascope.adapters.whole import Whole
from sigmascope.checkpoint import Checkpoint
from sigmascope.comparing.entrywise import compared_entrywise
from sigmascope.comparing.matrix_pairs import StoredPair
from sigmascope.comparing.tasks import Link, MatrixPairs

from .items import Item
from .layers import Request, extract_matrix
from .result import NOT_CARRIED, SAVED

Both = tuple[Checkpoint, Checkpoint]

TENSORS = "tensors"
"""Member of a row that is not a column: the tensors of the factors, until they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionTask(WorkerTask):
    """The description of the extraction of one matrix.

    Attributes
    ----------
    link
        The pair of matrices.
    carrier
        The weight that an adapter changes, or the reason why it cannot.
    request
        Arguments of the approximation.
    name, sources, attempt, counter
        As for :class:`WorkerTask`.
    """

    link: Link
    carrier: Target | str
    request: Request

    def analysed(self, checkpoints: Sequence[Scannable], read: ByteListener | None) -> Row:
        """Return columns and tensors, as :func:`extracted` does."""
        before, after = checkpoints
        pairs = MatrixPairs(before, after, [self.link])
        return extracted(pairs, self.link, self.carrier, self.request, read)


def carrier_of(item: Item) -> Target | str:
    """Return the weight that an adapter changes for a matrix, or the reason why it cannot."""
    assert isinstance(item.carrier, Target | str)
    return item.carrier


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
