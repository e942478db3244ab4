# SPDX-License-Identifier: BSD-3-Clause
"""Comparison of two tables' headers: the same checkpoint, with options that give the same bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmascope._words.text import path_text
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.formats.entries import opened
from sigmascope.checkpoint.formats.identity import FileIdentity
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .journal import Header
from .options import may_differ
from .scan_options import SCAN

FREE = (*may_differ(SCAN), "device_memory", "seed_drawn")
"""Options that may differ between two parts of one scan.

No result depends on the number of threads. The memory of the host and of a device may lead to
another method, which the row states; a resumed scan uses the memory in its journal. Devices of one
kind give the same bits; their kind is in the record of the engine. Parts that each drew a seed
belong together, too: every row has the seed of its part.
"""


def identities(checkpoint: Scannable) -> tuple[FileIdentity, ...]:
    """Return name, size and digest of every file of a checkpoint, without its folder's path."""
    if not isinstance(checkpoint, Adapter):
        return checkpoint.identities()
    return tuple(_identity(path, checkpoint) for path in checkpoint.files)


def _identity(path: Place, checkpoint: Adapter) -> FileIdentity:
    try:
        with opened(path) as (_, stored):
            identity = stored.identity()
        if isinstance(path, Path):  # several adapters have a folder each
            identity["name"] = path_text(path.relative_to(str(checkpoint.origin.path)).as_posix())
        return identity
    except CheckpointError:  # the rows of its tensors will have the error
        return FileIdentity(name=path_text(path.name), size=0, digest="")


def differences(then: Header, now: Header, *, among: Iterable[str] = ()) -> list[str]:
    """List the differences that prevent two tables from being parts of one scan.

    Parameters
    ----------
    then, now
        Headers of both.
    among
        Members of the header to compare besides files and options: "engine", "shard", "expected".

    Returns
    -------
    list of str
        A sentence for each difference, with both values.
    """
    texts = list(_files(then["files"], now["files"]))
    texts += _changes(then["options"], now["options"])
    for member in among:
        before, after = then.get(member), now.get(member)  # comparisons once had no shard
        if member == "engine":
            texts += _changes(*({"device_kind": "cpu"} | each[member] for each in (then, now)))
        elif before != after:
            texts.append(f"{member} was {_brief(before)}, is {_brief(after)}")
    return texts


def _brief(value: Any) -> str:
    return f"{value['index']}/{value['count']}" if isinstance(value, Mapping) else str(value)


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    both_drawn = {"seed"} if then.get("seed_drawn") and now.get("seed_drawn") else set()
    for name in sorted({*then, *now} - {*FREE} - both_drawn):
        if then.get(name) != now.get(name):
            yield f"{name} was {then.get(name)!r}, is {now.get(name)!r}"


def _files(then: Sequence[FileIdentity], now: Sequence[FileIdentity]) -> Iterator[str]:
    before, after = ({file["name"]: file for file in files} for files in (then, now))
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"{name} is missing"
        elif name not in before:
            yield f"{name} is new"
        elif before[name]["size"] != after[name]["size"]:
            yield f"{name} had {before[name]['size']} bytes, has {after[name]['size']}"
        elif before[name]["digest"] != after[name]["digest"]:
            yield f"{name} has different content of the same size"
