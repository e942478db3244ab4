# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one pair of a comparison, in this process or wherever a task is sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sigmascope._running.sharing import Share, Sharing
from sigmascope._running.tasks import (
    TENSOR_ERRORS,
    Known,
    Options,
    Read,
    failed,
    known_files,
    opened,
)
from sigmascope._tables.schema import Row
from sigmascope.adapters import Adapter, AdapterOrigin, Scannable, delta_of
from sigmascope.checkpoint import FileIdentity, Origin
from sigmascope.errors import MemoryLimitError

from .analysis import findings
from .at_once import Budget, Tally
from .couples import Adapted, Adapters, AnyCouple, Couple
from .measures import pair_columns
from .pairing import Pair


@dataclass(frozen=True, slots=True)
class Link:
    """Which matrices of two checkpoints are compared, and how many rows of them, if not all."""

    name: str
    before: str
    after: str
    rows: int | None
    note: str | None

    @classmethod
    def of(cls, pair: Pair) -> Self:
        """Say what a pair that is to be analysed is."""
        assert pair.before is not None
        assert pair.after is not None
        return cls(pair.name, pair.before.key, pair.after.key, pair.rows, pair.note)


class Couples(Mapping[str, AnyCouple]):
    """The matrices of pairs, by the names of their rows; looked up, files are checked."""

    def __init__(self, before: Scannable, after: Scannable, links: Iterable[Link]) -> None:
        self._before = before
        self._after = after
        self._links = {link.name: link for link in links}

    def __getitem__(self, name: str) -> AnyCouple:
        link, one, two = self._links[name], self._before, self._after
        if isinstance(one, Adapter):
            assert isinstance(two, Adapter)
            return Adapters(one[link.before], two[link.after])
        if isinstance(two, Adapter):
            return Adapted(one[link.before], delta_of(one, link.before, two, link.after))
        before, after = one[link.before], two[link.after]
        if link.rows is not None:
            before, after = before[: link.rows], after[: link.rows]
        return Couple(before, after)

    def check_unchanged(self, name: str) -> None:
        """CheckpointError if a file of a pair is no longer the one that was opened."""
        self[name]  # looking it up checks that

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair to analyse, for whoever can open the same files: no array, a few kilobytes.

    Attributes
    ----------
    origins, files
        Of both checkpoints, as for :class:`sigmascope.scanning.tasks.Task`.
    link
        What is compared.
    options
        Of the analysis.
    attempt
        0, 1, ...: an executor that remembers results must not repeat a failure from memory.
    """

    origins: tuple[Origin | AdapterOrigin, Origin | AdapterOrigin]
    files: tuple[Known, Known]
    link: Link
    options: Options
    attempt: int = 0

    @property
    def name(self) -> str:
        """Of the row."""
        return self.link.name

    @classmethod
    def of(
        cls,
        checkpoints: tuple[Scannable, Scannable],
        files: tuple[Sequence[FileIdentity], Sequence[FileIdentity]],
        link: Link,
        options: Options,
    ) -> Self:
        """Describe the analysis of one pair."""
        before, after = checkpoints
        known = known_files(before, files[0]), known_files(after, files[1])
        return cls((before.origin, after.origin), known, link, options)


def run(task: PairTask) -> Row:
    """Do a task: open the checkpoints, if this process does not hold them yet, and analyse.

    Returns
    -------
    dict
        The columns that :func:`compared` gives; what is wrong with a file is one of them.
    """
    began = time.perf_counter()
    try:
        before, after = (opened(*one) for one in zip(task.origins, task.files, strict=True))
    except TENSOR_ERRORS as error:
        return failed(error, began)
    couples = Couples(before, after, [task.link])
    return compared(couples, task.link, task.options, Sharing(task.options.num_threads))


def compared(
    couples: Couples, link: Link, options: Options, sharing: Sharing, read: Read | None = None
) -> Row:
    """Analyse one pair; what is wrong with it becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that reading the headers does not give.
    """
    began = time.perf_counter()
    try:
        couple = couples[link.name]
        budget = Budget.of(couple, options)
        with sharing.pair(budget) as share:
            columns = _columns(couple, budget, options, share, read)
        couples.check_unchanged(link.name)  # while it was read, that is
    except TENSOR_ERRORS as error:
        return failed(error, began)
    notes = [note for note in (link.note, columns["notes"]) if note]
    evidence = {"notes": "; ".join(notes) or None, "seconds": share.seconds}
    return {"status": "analysed"} | columns | evidence


def _columns(
    stored: AnyCouple, budget: Budget, options: Options, share: Share, read: Read | None
) -> Row:
    """Compute the columns; both matrices are read once if they fit into memory."""
    couple = stored
    if budget.held and not stored.in_memory:
        with share.without_threads():
            couple = stored.load()
    tally, found = Tally(read), None
    try:
        found = findings(couple, options, budget, tally, share)
    except MemoryLimitError:
        if not budget.held:
            raise
    if found is None:  # held, it leaves too little for a basis that grows: from the files then
        # Not while there is the error, whose traceback holds what is held.
        budget, couple = replace(budget, held=0, workers=1, threads=options.num_threads), stored
        found = findings(couple, options, budget, tally, share)
    del couple  # what is held of it: the vectors are enough now
    with share.threads(budget.workers, spare=True) as part:
        return pair_columns(found, options.num_threads, options.threads_of(part))
