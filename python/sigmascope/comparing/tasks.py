# SPDX-License-Identifier: BSD-3-Clause
"""The comparison of one pair of matrices, in this process or in a worker of an executor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sigmascope._running.executors import WorkerTask
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, Options, failed
from sigmascope._running.thread_budget import ThreadBudget, ThreadLease
from sigmascope._running.vectors import save_vectors
from sigmascope._tables.schema import Row
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.circuits import Circuits
from sigmascope.adapters.dora import dora_of
from sigmascope.adapters.pairing import delta_of
from sigmascope.adapters.scannable import Scannable
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.scanning.tasks import logit_columns, product_rank

from .analysis import findings
from .entrywise import compared_masks
from .matrix_pairs import AdaptedPair, AdapterPair, MatrixPair, StoredPair
from .measures import pair_columns
from .members import Pair
from .pair_plan import PairPlan
from .pair_spectra import ByteCounter
from .rows import GROUPS
from .scaled_pairs import ScaledPair


@dataclass(frozen=True, slots=True)
class Link:
    """The names of two matrices to compare, and the number of rows if not all are compared."""

    name: str
    before: str
    after: str
    rows: int | None
    note: str | None

    @classmethod
    def of(cls, pair: Pair) -> Self:
        """Return the link of a pair that is to be analysed."""
        assert pair.before is not None
        assert pair.after is not None
        return cls(pair.name, pair.before.key, pair.after.key, pair.rows, pair.note)


class MatrixPairs(Mapping[str, MatrixPair]):
    """The matrices of pairs by the names of their rows; each lookup checks the files."""

    def __init__(self, before: Scannable, after: Scannable, links: Iterable[Link]) -> None:
        self._before = before
        self._after = after
        self._links = {link.name: link for link in links}

    def __getitem__(self, name: str) -> MatrixPair:
        link, one, two = self._links[name], self._before, self._after
        if isinstance(one, Adapter | Circuits):
            assert isinstance(two, Adapter | Circuits)
            return AdapterPair(one[link.before], two[link.after])
        assert not isinstance(two, Circuits)
        if isinstance(two, Adapter):
            dora = dora_of(one, link.before, two, link.after)
            if dora is not None:
                return ScaledPair(one[link.before], dora)
            return AdaptedPair(one[link.before], delta_of(one, link.before, two, link.after))
        return self._stored(link, one[link.before], two[link.after])

    def outline(self, name: str) -> MatrixPair:
        """Return a pair without reading scales; see :meth:`Checkpoint.outline`."""
        link, one, two = self._links[name], self._before, self._after
        if isinstance(one, Adapter | Circuits) or isinstance(two, Adapter | Circuits):
            return self[name]
        return self._stored(link, one.outline(link.before), two.outline(link.after))

    @staticmethod
    def _stored(link: Link, before: Matrix, after: Matrix) -> StoredPair:
        if link.rows is not None:
            before, after = before[: link.rows], after[: link.rows]
        return StoredPair(before, after)

    def check_unchanged(self, name: str) -> None:
        """Raise CheckpointError if a file of a pair is no longer the one that was opened."""
        self.outline(name)  # which checks the files

    def stop_reading(self) -> None:
        """End the remote reads of other threads with an error."""
        for each in (self._before, self._after):
            each.stop_reading()

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTask(WorkerTask):
    """The description of the comparison of one pair of matrices, with its options."""

    link: Link
    options: Options

    def analysed(self, checkpoints: Sequence[Scannable], read: ByteListener | None) -> Row:
        """Return the columns that :func:`compare_matrices` gives."""
        before, after = checkpoints
        matrices = MatrixPairs(before, after, [self.link])
        budget = ThreadBudget(self.options.num_threads)
        return compare_matrices(matrices, self.link, self.options, budget, read)


def compare_matrices(
    matrices: MatrixPairs,
    link: Link,
    options: Options,
    budget: ThreadBudget,
    read: ByteListener | None = None,
) -> Row:
    """Compare one pair of matrices; an error becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that the headers do not give.
    """
    began = time.perf_counter()
    try:
        pair = matrices[link.name]
        plan = PairPlan.of(pair, options)
        with budget.pair(plan) as lease:
            columns = _columns(link.name, pair, plan, options, lease, read)
        matrices.check_unchanged(link.name)  # the files may have changed while they were read
    except NonFiniteError as error:
        masks = compared_masks(pair.before, pair.after) if isinstance(pair, StoredPair) else None
        return masks or failed(error, began)
    except TENSOR_ERRORS as error:
        return failed(error, began)
    notes = [note for note in (link.note, columns["notes"]) if note]
    evidence = {"notes": "; ".join(notes) or None, "seconds": lease.seconds}
    return {"status": "analysed"} | columns | evidence


def _columns(
    name: str,
    stored: MatrixPair,
    plan: PairPlan,
    options: Options,
    lease: ThreadLease,
    read: ByteListener | None,
) -> Row:
    """Compute the columns; both matrices are read once if they fit into memory."""
    pair = stored
    if plan.matrix_bytes and not stored.in_memory:
        with lease.without_threads():
            pair = stored.load()
    counter, results = ByteCounter(read), None
    try:
        results = findings(pair, options, plan, counter, lease)
    except MemoryLimitError:
        if not plan.matrix_bytes:
            raise
    if results is None:
        # The matrices in memory left a basis no room to grow: compute from the files. This code is
        # outside the except block, where the traceback would keep the matrices alive.
        plan = plan.from_files(options)
        pair = stored
        results = findings(pair, options, plan, counter, lease)
    if options.vectors is not None:
        svds = {group: results.spectra[group].svd for group in GROUPS if group in results.spectra}
        save_vectors(options.vectors, name, svds)
    rank: Row = {"product_rank": product_rank(pair.delta)} | _logit_columns(pair)
    del pair  # frees the matrices, since the rest needs only vectors
    with lease.threads(plan.workers, spare=True) as fraction:
        return rank | pair_columns(results, options.num_threads, options.threads_of(fraction))


def _logit_columns(pair: MatrixPair) -> Row:
    """Return the bounds on the logits of two circuits, and after minus before."""
    if not isinstance(pair, AdapterPair):
        return {}
    before, after = logit_columns(pair.before), logit_columns(pair.after)
    row = {f"before_{name}": value for name, value in before.items()}
    row |= {f"after_{name}": value for name, value in after.items()}
    shared = before.keys() & after.keys()
    return row | {f"change_{name}": after[name] - before[name] for name in shared}
