# SPDX-License-Identifier: BSD-3-Clause
"""Which files a checkpoint consists of: one file, or a folder with or without an index.

A folder is read by its `model.safetensors.index.json`, else by the only other
`*.safetensors.index.json` in it, else as `model.safetensors` alone, else as all its
`*.safetensors` files. Files in the folder that take no part are noted, never read in silence.

Shard names in an index are plain file names; separators, drives and `..` are refused. The file
of that name may be a symbolic link to anywhere: download caches keep their blobs elsewhere, and
the link was made by the owner of the folder, not by the author of the index.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from sigmascope.checkpoint.jsontext import Members, brief, parse_json, unique
from sigmascope.checkpoint.safetensors import Header, read_header
from sigmascope.errors import CheckpointError

MAX_JSON_BYTES = 100_000_000

_INDEX_SUFFIX = ".safetensors.index.json"
_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)\.safetensors")


@dataclass(frozen=True, slots=True)
class Index:
    """A validated index file: which tensor stands in which shard."""

    path: Path
    weight_map: Mapping[str, str]
    total_size: object  # as written: the real ones are too often wrong to be refused


@dataclass(frozen=True, slots=True)
class Files:
    """The headers of a checkpoint in file-name order, and remarks for its reader."""

    folder: Path
    headers: tuple[Header, ...]
    notes: tuple[str, ...]


def read_files(path: str | os.PathLike[str]) -> Files:
    """Find the files of a checkpoint and validate every header, and the index against them.

    Parameters
    ----------
    path : path-like
        A safetensors file, an index file, or a folder.

    Raises
    ------
    CheckpointError
        Nothing to read, a file that is not what it claims to be, or files and index that
        disagree. One bad shard fails the whole: half a checkpoint is no checkpoint.
    """
    path = Path(path).absolute()
    try:
        if path.is_dir():
            return _read_folder(path)
        path.stat()
        if path.suffix == ".json":
            return _read_indexed(path)
        return Files(path.parent, (read_header(path),), ())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def read_json(path: Path) -> dict[str, object]:
    """Read the top-level object of a JSON file, repeated keys refused.

    Raises
    ------
    CheckpointError
        The file cannot be read, is above 100 MB, or holds no JSON object.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: above the limit of {MAX_JSON_BYTES} bytes")
    return unique(parse_json(raw, f"{path}: the text"), f"{path}: the text")


def read_index(path: Path) -> Index:
    """Read and validate one `*.safetensors.index.json`.

    Raises
    ------
    CheckpointError
        The text is not JSON, repeats a key, has no weight_map of strings to plain
        `.safetensors` file names, or has a metadata that is no object.
    """
    members = read_json(path)
    if "weight_map" not in members:
        raise CheckpointError(f"{path}: no 'weight_map' in the index")
    weight_map = unique(members["weight_map"], f"{path}: weight_map")
    if not weight_map:
        raise CheckpointError(f"{path}: weight_map is empty")
    for name, shard in weight_map.items():
        if not isinstance(shard, str):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is no string"
            )
        if not _is_plain(shard):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is not a plain file name"
            )
        if not shard.endswith(".safetensors"):
            raise CheckpointError(
                f"{path}: tensor {brief(name)}: shard {brief(shard)} is no .safetensors file"
            )
    metadata = unique(members.get("metadata", Members()), f"{path}: metadata")
    return Index(path, weight_map, metadata.get("total_size"))


def _is_plain(name: str) -> bool:
    # Both flavours on every platform: the same index must not mean two things.
    return (
        name not in ("", ".", "..")
        and "\0" not in name
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def _read_folder(folder: Path) -> Files:
    names = _visible(folder)
    indexes = [name for name in names if name.endswith(_INDEX_SUFFIX)]
    files = [name for name in names if name.endswith(".safetensors")]
    if "model" + _INDEX_SUFFIX in indexes:
        return _read_indexed(folder / ("model" + _INDEX_SUFFIX))
    if len(indexes) > 1:
        raise CheckpointError(f"{folder}: several indexes, open one of them: {_listed(indexes)}")
    if indexes:
        return _read_indexed(folder / indexes[0])
    if not files:
        raise CheckpointError(f"{folder}: no .safetensors file{_elsewhere(folder, names)}")
    chosen = ["model.safetensors"] if "model.safetensors" in files else files
    _check_numbering(folder, chosen)
    headers = tuple(read_header(folder / name) for name in chosen)
    _check_distinct(headers)
    return Files(folder, headers, _left_out(files, chosen))


def _read_indexed(path: Path) -> Files:
    index = read_index(path)
    folder = path.parent
    shards = sorted(set(index.weight_map.values()))
    missing = [shard for shard in shards if not os.path.exists(folder / shard)]
    if missing:
        raise CheckpointError(f"{path}: shards missing from the folder: {_listed(missing)}")
    headers = tuple(read_header(folder / shard) for shard in shards)
    _check_distinct(headers)
    _check_index(index, headers)
    present = [name for name in _visible(folder) if name.endswith(".safetensors")]
    return Files(folder, headers, _size_note(index, headers) + _left_out(present, shards))


def _visible(folder: Path) -> list[str]:
    # Names with a leading dot are other programs' own: half-done downloads, resource forks.
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _check_distinct(headers: Iterable[Header]) -> None:
    seen: dict[str, Path] = {}
    for header in headers:
        for entry in header.entries:
            if entry.name in seen:
                raise CheckpointError(
                    f"{header.path}: tensor {brief(entry.name, 200)} stands in "
                    f"{seen[entry.name].name} too"
                )
            seen[entry.name] = header.path


def _check_index(index: Index, headers: Iterable[Header]) -> None:
    """Index and shards must name the same tensors in the same places."""
    promises: dict[str, set[str]] = {}
    for name, shard in index.weight_map.items():
        promises.setdefault(shard, set()).add(name)
    for header in headers:
        shard = header.path.name
        held, promised = {entry.name for entry in header.entries}, promises[shard]
        if promised - held:
            raise CheckpointError(
                f"{index.path}: tensors not in their shard {shard}: "
                f"{_listed(sorted(promised - held))}"
            )
        if held - promised:
            raise CheckpointError(
                f"{index.path}: tensors of {shard} not in the index: "
                f"{_listed(sorted(held - promised))}"
            )


def _check_numbering(folder: Path, names: Iterable[str]) -> None:
    """Without an index, the names of numbered shards tell whether one is absent."""
    numbered: dict[tuple[str, str], set[int]] = {}
    for name in names:
        if match := _SHARD_NAME.fullmatch(name):
            key = match["stem"], match["total"]
            numbered.setdefault(key, set()).add(int(match["number"]))
    for (stem, total), numbers in numbered.items():
        # Counting starts at 1 in most writers and at 0 in a few.
        if len(numbers) < int(total):
            raise CheckpointError(
                f"{folder}: {len(numbers)} of the {int(total)} shards {stem}-*-of-{total} "
                "are here, and no index"
            )


def _size_note(index: Index, headers: Iterable[Header]) -> tuple[str, ...]:
    total = sum(entry.nbytes for header in headers for entry in header.entries)
    if index.total_size is None or index.total_size == total:
        return ()
    claim = f"{index.path.name}: total_size {brief(index.total_size)}"
    return (f"{claim}, but the tensors take {total} bytes",)


def _left_out(present: Iterable[str], chosen: Iterable[str]) -> tuple[str, ...]:
    others = sorted(set(present) - set(chosen))
    return (f"files not part of the checkpoint: {_listed(others)}",) if others else ()


def _elsewhere(folder: Path, names: Iterable[str]) -> str:
    """Hint where the weights may be, for the message that there are none."""
    below = {path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*.safetensors")}
    below |= {
        path.parent.relative_to(folder).as_posix()
        for path in folder.glob("snapshots/*/*.safetensors")
    }
    if below:
        return f"; sub-folders with some: {_listed(sorted(below))}"
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".gguf"))]
    return f" (other formats are not read: {_listed(pickles)})" if pickles else ""


def _listed(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(brief(name, 200) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
