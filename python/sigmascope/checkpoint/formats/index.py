# SPDX-License-Identifier: BSD-3-Clause
"""An index of shards, which names the file of each tensor.

Shard names in an index are plain file names; separators, drives and `..` are refused. A file of
that name may be a symbolic link to any place: download caches keep their blobs elsewhere, and the
owner of the folder made the link, not the author of the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from sigmascope._host.files import read_regular
from sigmascope._host.formats import LOOK, recognised
from sigmascope._host.limits import MAX_CONFIG_BYTES, MAX_JSON_BYTES
from sigmascope.checkpoint.remote.paths import Place, RemotePath
from sigmascope.errors import CheckpointError

from .entries import Header
from .jsontext import Members, brief, parse_json, unique
from .names import check_count, checked_name

_USUAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")  # a line break would end a header of a request


@dataclass(frozen=True, slots=True)
class Index:
    """A validated index file: the shard of each tensor."""

    path: Place
    weight_map: Mapping[str, str]
    total_size: object  # as written: wrong sizes are too common to be refused


def read_json(path: Place, most: int = MAX_CONFIG_BYTES) -> dict[str, object]:
    """Read the top-level object of a JSON file; repeated keys are refused.

    Raises
    ------
    CheckpointError
        The file cannot be read, exceeds the limit of bytes, or does not hold a JSON object.
    """
    if isinstance(path, RemotePath):
        raw = path.read(most)
    else:
        try:
            raw = read_regular(path, most)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not raw.lstrip().startswith((b"{", b"[")) and (what := recognised(raw[:LOOK])):
        raise CheckpointError(f"{path}: not a JSON object but {what}")
    return unique(parse_json(raw, f"{path}: the text"), f"{path}: the text")


def read_index(path: Place, suffixes: tuple[str, ...]) -> Index:
    """Read and validate one index of shards whose names end in one of `suffixes`.

    Raises
    ------
    CheckpointError
        The text is not JSON, repeats a key, lacks a weight_map from strings to plain file names
        with these suffixes, or has metadata that are not an object.
    """
    members = read_json(path, MAX_JSON_BYTES)
    if "weight_map" not in members:
        raise CheckpointError(
            f"{path}: the index has no 'weight_map'; open the folder of the model instead"
        )
    weight_map = unique(members["weight_map"], f"{path}: weight_map")
    if not weight_map:
        raise CheckpointError(f"{path}: weight_map is empty")
    check_count(weight_map, f"{path}: weight_map")
    for name, shard in weight_map.items():
        checked_name(name, str(path))
        if not isinstance(shard, str):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is not a string"
            )
        if not is_plain(shard):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is not a plain file name"
            )
        if not shard.endswith(suffixes):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is not a {suffixes[0]} file"
            )
    metadata = unique(members.get("metadata", Members()), f"{path}: metadata")
    return Index(path, weight_map, metadata.get("total_size"))


def is_plain(name: str) -> bool:
    """Return whether a name is a plain file name: without folder, drive or control character."""
    if _USUAL.fullmatch(name):
        return True
    # Both path syntaxes are checked on every platform: an index must have one meaning.
    return (
        name not in ("", ".", "..")
        and _CONTROL.search(name) is None
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def check_index(index: Index, headers: Iterable[Header]) -> None:
    """Raise CheckpointError unless index and shards agree on the place of every tensor."""
    promises: dict[str, set[str]] = {}
    for name, shard in index.weight_map.items():
        promises.setdefault(shard, set()).add(name)
    for header in headers:
        shard = header.path.name
        present, promised = {entry.name for entry in header.entries}, promises[shard]
        if promised - present:
            raise CheckpointError(
                f"{index.path}: tensors not in their shard {shard}: "
                f"{format_names(sorted(promised - present))}"
            )
        if present - promised:
            raise CheckpointError(
                f"{index.path}: tensors of {shard} not in the index: "
                f"{format_names(sorted(present - promised))}"
            )


def size_note(index: Index, headers: Iterable[Header]) -> tuple[str, ...]:
    """Return a note if the total size in the index differs from the size of its shards."""
    total = sum(entry.nbytes for header in headers for entry in header.entries)
    if index.total_size is None or index.total_size == total:
        return ()
    claim = f"{index.path.name}: total_size {brief(index.total_size)}"
    return (f"{claim}, but the tensors take {total} bytes",)


def format_names(names: list[str], limit: int = 5) -> str:
    """Join the first names of a list for a message."""
    shown = ", ".join(brief(name, 200) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
