# SPDX-License-Identifier: BSD-3-Clause
"""The run of a comparison: its pairs, the empty table, and the workers that compare matrices."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sigmascope._execution.memory import keeping
from sigmascope._running.ordered import ThreadTasks
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.table_run import TableRun, select_part
from sigmascope._running.tasks import ByteListener, Options, SourceFiles
from sigmascope._running.thread_budget import ThreadBudget
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope._words.text import counted, path_text
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.circuits import Circuits
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.formats.identity import FileIdentity
from sigmascope.checkpoint.tensors import Tensors

from .adapted import adapted_pairs
from .entrywise import compared_entrywise
from .members import Pair, members, prefixes_text, selected
from .pairing import linked
from .result import Comparison
from .tasks import Link, MatrixPairs, PairTask, compare_matrices

Source = Scannable | Tensors | str | os.PathLike[str]
Both = tuple[Scannable, Scannable]
Files = tuple[tuple[FileIdentity, ...], tuple[FileIdentity, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRun(TableRun[Comparison, Pair, Options]):
    """The run of a comparison.

    Attributes
    ----------
    both
        The two checkpoints.
    files
        The files of each.
    options, keep_memory, patterns, choices, items, part
        As for :class:`TableRun`; an item is a pair of tensors.
    """

    kind = Comparison

    both: Both
    files: Files

    @classmethod
    def of(
        cls,
        both: Both,
        options: Options,
        include: Patterns,
        exclude: Patterns,
        shard: tuple[int, int] | None,
        *,
        keep_memory: bool,
    ) -> Self:
        """List the pairs to compare: all pairs, or the pairs of the part that `shard` names.

        Raises
        ------
        ValueError
            If `both` are an adapter and then a checkpoint, a pattern matches nothing, or there is
            no such part.
        """
        where = f"{both[0].path} and {both[1].path}"
        patterns = {"include": as_list(include), "exclude": as_list(exclude)}
        pairs, part = select_part(selected(_pairs(*both), **patterns, where=where), shard)
        return cls(
            options=options,
            keep_memory=keep_memory,
            patterns=patterns,
            choices=both[0].choices,
            items=pairs,
            part=part,
            both=both,
            files=(identities(both[0]), identities(both[1])),
        )

    def facts(self) -> dict[str, Any]:
        """Return the paths, notes, files and architecture of the table."""
        architecture = _architecture(*self.both)
        return facts_of(self.both, self.files, self.items) | {"architecture": architecture}

    def read_entries(self, item: Pair) -> Row:
        """Return the columns of a pair without spectra."""
        return compared_entrywise(self.both, item)

    @contextmanager
    def on_threads(self, builder: TableBuilder[Comparison, Pair]) -> Iterator[ThreadTasks]:
        """Compare pairs in this process, at most two at a time."""
        links = {index: Link.of(self.items[index]) for index in builder.matrices}
        matrices = MatrixPairs(*self.both, links.values())
        budget = ThreadBudget(self.options.num_threads)

        def row_of(index: int, read: ByteListener) -> Row:
            own = self.options.of_row(index)
            return compare_matrices(matrices, links[index], own, budget, read)

        with keeping():  # about a third of the loaded bytes reuse memory whose pages exist
            yield ThreadTasks(row_of, 2, matrices.stop_reading)

    def task(self, index: int, each: Options) -> PairTask:
        """Describe the comparison of a pair for a worker with these options."""
        link, sources = (
            Link.of(self.items[index]),
            tuple(map(SourceFiles.of, self.both, self.files)),
        )
        return PairTask(name=link.name, sources=sources, link=link, options=each)

    def check_unchanged(self, item: Pair) -> None:
        """Raise CheckpointError if a file of a pair is no longer the one that was opened."""
        link = Link.of(item)
        MatrixPairs(*self.both, [link]).check_unchanged(link.name)


def facts_of(both: Both, files: Files, pairs: Iterable[Pair]) -> dict[str, Any]:
    """Return the paths, notes and files of a table of two checkpoints."""
    before, after = (path_text(str(checkpoint.path)) for checkpoint in both)
    notes, named = _notes(both, pairs), _named_files(*files)
    return {"before": before, "after": after, "notes": notes, "files": named}


def _architecture(before: Scannable, after: Scannable) -> str | None:
    """Name the model, or both models if they differ; None if the configurations do not name one.

    The model_type names a model without `architectures`: "bert" instead of "BertModel". If the
    other model has a class name, the class name stands for both.
    """
    names = list(filter(None, (before.architecture, after.architecture)))
    short, long = (names[0], names[-1]) if names else ("", "")
    if len(short) > len(long):
        short, long = long, short
    if long.lower().startswith(re.sub("[-_]", "", short.lower())):
        return long or None
    return " → ".join(names)


def _notes(both: Both, pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Return the remarks on both checkpoints, each with its side, and on differing names."""
    sides = zip(("before", "after"), both, strict=True)
    notes = [f"{side}: {note}" for side, checkpoint in sides for note in checkpoint.notes]
    renamed = Counter(pair.prefixes for pair in pairs if pair.prefixes is not None)
    for prefixes, count in renamed.items():
        what = counted(count, "pair has", "pairs have")
        notes.append(f"{what} the same name only without {prefixes_text(prefixes)}")
    return tuple(notes)


def _pairs(before: Scannable, after: Scannable) -> Iterator[Pair]:
    """List the pairs of two checkpoints, two adapters, or a checkpoint and an adapter of it.

    Circuits are paired with circuits.
    """
    if isinstance(before, Circuits) != isinstance(after, Circuits):
        one, other = (before, after) if isinstance(before, Circuits) else (after, before)
        raise ValueError(
            f"{one.path} was opened with circuits and {other.path} without: open both alike"
        )
    if isinstance(before, Adapter) == isinstance(after, Adapter):
        return linked(list(members(before)), list(members(after)))
    if isinstance(before, Adapter):
        raise ValueError(
            f"{before.path} is an adapter and {after.path} a checkpoint: "
            "the base comes first, then its adapter"
        )
    assert isinstance(before, Checkpoint)
    assert isinstance(after, Adapter)
    return adapted_pairs(before, after)


def _named_files(
    before: tuple[FileIdentity, ...], after: tuple[FileIdentity, ...]
) -> tuple[FileIdentity, ...]:
    """Return the files of both sides, whose names begin with "before/" and "after/"."""
    return tuple(
        FileIdentity(name=f"{side}/{file['name']}", size=file["size"], digest=file["digest"])
        for side, files in (("before", before), ("after", after))
        for file in files
    )
