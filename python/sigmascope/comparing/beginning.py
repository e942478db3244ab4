# SPDX-License-Identifier: BSD-3-Clause
"""The start of a comparison: its pairs and options, and the table before its first row."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from sigmascope._display.text import counted, path_text
from sigmascope._execution.build import engine
from sigmascope._execution.several_devices import device_record
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.tasks import Options
from sigmascope._tables.outputs import JournalSettings
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope._tables.shards import Shard
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint import FileIdentity, Tensors

from .adapted import adapted_pairs
from .members import Pair, members, prefixes_text, selected
from .pairing import linked
from .result import Comparison

Source = Scannable | Tensors | str | os.PathLike[str]
Both = tuple[Scannable, Scannable]
Files = tuple[tuple[FileIdentity, ...], tuple[FileIdentity, ...]]
PairBuilder = TableBuilder[Comparison, Pair]


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """A comparison whose arguments are checked: two checkpoints, their pairs, and the options.

    Attributes
    ----------
    both : (Scannable, Scannable)
    options : Options
    include, exclude
        Patterns of names, as for :func:`compare`.
    pairs : list of Pair
        The pairs to compare: all, or those of `part`.
    part : Shard or None
    files : (tuple, tuple)
        The files of each side.
    """

    both: Both
    options: Options
    include: Patterns
    exclude: Patterns
    pairs: list[Pair]
    part: Shard | None
    files: Files

    @classmethod
    def of(
        cls,
        both: Both,
        options: Options,
        include: Patterns,
        exclude: Patterns,
        shard: tuple[int, int] | None,
    ) -> Self:
        """List the pairs to compare: all, or those of the part that `shard` names.

        Raises
        ------
        ValueError
            If `both` are an adapter and then a checkpoint, a pattern matches nothing, or there is
            no such part.
        """
        where = f"{both[0].path} and {both[1].path}"
        pairs = selected(_pairs(*both), as_list(include), as_list(exclude), where)
        part = None
        if shard is not None:
            part = Shard.of(shard, [pair.stored_bytes if pair.matrix else None for pair in pairs])
            pairs = [pairs[position] for position in part.positions]
        files = identities(both[0]), identities(both[1])
        return cls(both, options, include, exclude, pairs, part, files)

    def resuming(self, journal: JournalSettings, *, keep_memory: bool) -> Self:
        """Return the request with the seed and the memory of a journal that is resumed."""
        return replace(self, options=self.options.resuming(journal, keep_memory=keep_memory))

    def empty_table(self) -> Comparison:
        """Return the table of the comparison before its first row."""
        patterns = {"include": as_list(self.include), "exclude": as_list(self.exclude)}
        return Comparison(
            before=path_text(str(self.both[0].path)),
            after=path_text(str(self.both[1].path)),
            options=self.options.recorded() | patterns | self.both[0].choices,
            rows=[],
            expected=len(self.pairs),
            notes=notes_of(self.both, self.pairs),
            files=named_files(*self.files),
            engine=engine() | device_record(self.options.devices),
            architecture=_architecture(*self.both),
            shard=self.part,
        )

    def builder(self, table: Comparison, read_entries: Callable[[Pair], Row]) -> PairBuilder:
        """Return what fills the table; `read_entries` makes a row of a pair without spectra."""
        return PairBuilder(table, self.pairs, f"{table.before} with {table.after}", read_entries)


def _architecture(before: Scannable, after: Scannable) -> str | None:
    """Name the model, or both if they differ; None if a configuration names neither.

    A model without `architectures` is named by its model_type, "bert" instead of "BertModel": the
    class name then stands for both.
    """
    names = list(filter(None, (before.architecture, after.architecture)))
    short, long = (names[0], names[-1]) if names else ("", "")
    if len(short) > len(long):
        short, long = long, short
    if long.lower().startswith(re.sub("[-_]", "", short.lower())):
        return long or None
    return " → ".join(names)


def notes_of(both: Both, pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Return the remarks on both checkpoints, each with its side, and on names that differ."""
    sides = zip(("before", "after"), both, strict=True)
    notes = [f"{side}: {note}" for side, checkpoint in sides for note in checkpoint.notes]
    renamed = Counter(pair.prefixes for pair in pairs if pair.prefixes is not None)
    for prefixes, count in renamed.items():
        what = counted(count, "pair has", "pairs have")
        notes.append(f"{what} the same name only without {prefixes_text(prefixes)}")
    return tuple(notes)


def _pairs(before: Scannable, after: Scannable) -> Iterator[Pair]:
    """List the pairs of two checkpoints, two adapters, or a checkpoint and an adapter of it."""
    if isinstance(before, Adapter) == isinstance(after, Adapter):
        return linked(list(members(before)), list(members(after)))
    if isinstance(before, Adapter):
        raise ValueError(
            f"{before.path} is an adapter and {after.path} a checkpoint: "
            "the base comes first, then its adapter"
        )
    assert isinstance(after, Adapter)
    return adapted_pairs(before, after)


def named_files(
    before: tuple[FileIdentity, ...], after: tuple[FileIdentity, ...]
) -> tuple[FileIdentity, ...]:
    """Return the files of both sides, whose names begin with "before/" and "after/"."""
    return tuple(
        FileIdentity(name=f"{side}/{file['name']}", size=file["size"], digest=file["digest"])
        for side, files in (("before", before), ("after", after))
        for file in files
    )
