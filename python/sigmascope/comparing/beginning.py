# SPDX-License-Identifier: BSD-3-Clause
"""The start of a comparison: the list of pairs, and the table before its first row."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sigmascope._display.text import counted, path_text
from sigmascope._execution.build import engine
from sigmascope._execution.several_devices import device_record
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.table_builder import TableBuilder
from sigmascope._running.tasks import Options
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


def listed_part(
    both: Both, include: Patterns, exclude: Patterns, shard: tuple[int, int] | None
) -> tuple[list[Pair], Shard | None]:
    """List the pairs to compare: all, or those of the part that `shard` names.

    Raises
    ------
    ValueError
        If `both` are an adapter and then a checkpoint, a pattern matches nothing, or there is no
        such part.
    """
    where = f"{both[0].path} and {both[1].path}"
    pairs = selected(_pairs(*both), as_list(include), as_list(exclude), where)
    if shard is None:
        return pairs, None
    part = Shard.of(shard, [pair.stored_bytes if pair.matrix else None for pair in pairs])
    return [pairs[position] for position in part.positions], part


def empty_table(
    both: Both,
    files: Files,
    options: Options,
    include: Patterns,
    exclude: Patterns,
    pairs: Sequence[Pair],
    part: Shard | None,
) -> Comparison:
    """Return the table of a comparison before its first row; `files` are those of each side."""
    patterns = {"include": as_list(include), "exclude": as_list(exclude)}
    return Comparison(
        before=path_text(str(both[0].path)),
        after=path_text(str(both[1].path)),
        options=options.recorded() | patterns | both[0].choices,
        rows=[],
        expected=len(pairs),
        notes=notes_of(both, pairs),
        files=named_files(*files),
        engine=engine() | device_record(options.devices),
        architecture=_architecture(*both),
        shard=part,
    )


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
