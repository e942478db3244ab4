# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one pair of a comparison, in this process or wherever a task is sent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sigmascope.adapters import Adapter, AdapterOrigin, Scannable, delta_of
from sigmascope.checkpoint import FileIdentity, Origin
from sigmascope.errors import MemoryLimitError
from sigmascope.scanning.prefetch import Prefetch
from sigmascope.scanning.rows import Row
from sigmascope.scanning.tasks import (
    TENSOR_ERRORS,
    Known,
    Options,
    Read,
    failed,
    known_files,
    opened,
)

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
        return cls(pair.name, pair.before.name, pair.after.name, pair.rows, pair.note)


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
    with Prefetch(Couples(before, after, [task.link])) as couples:
        return compared(couples, task.link, task.options)


def compared(
    couples: Prefetch[AnyCouple], link: Link, options: Options, read: Read | None = None
) -> Row:
    """Analyse one pair; what is wrong with it becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that reading the headers does not give.
    """
    began = time.perf_counter()
    try:
        columns = _columns(couples, link.name, options, read)
        couples.check_unchanged(link.name)  # while it was read, that is
    except TENSOR_ERRORS as error:
        return failed(error, began)
    notes = [note for note in (link.note, columns["notes"]) if note]
    evidence = {"notes": "; ".join(notes) or None, "seconds": time.perf_counter() - began}
    return {"status": "analysed"} | columns | evidence


def _columns(couples: Prefetch[AnyCouple], name: str, options: Options, read: Read | None) -> Row:
    """Compute the columns, while the next pair is read into what memory this one leaves."""
    couple = couples.take(name)
    budget = Budget.of(couple, options)
    couples.begin(name, budget.room)
    if budget.held == 0 and couple.in_memory:
        couple = couples.afresh(name)  # read ahead, it leaves too little for itself
    elif budget.held and not couple.in_memory:
        couple = couple.load()
    tally = Tally(read)
    try:
        found = findings(couple, options, budget, tally)
    except MemoryLimitError:
        if not budget.held:
            raise
        # Held, it leaves too little for a basis that grows: from the files then.
        budget = replace(budget, held=0, workers=1, threads=options.num_threads)
        couple = couples.afresh(name)
        found = findings(couple, options, budget, tally)
    return pair_columns(found, options.num_threads)
