# SPDX-License-Identifier: BSD-3-Clause
"""The files of a checkpoint: one file, a folder with or without an index, or ranks.

A folder is read in the first format of the table in `readers` that it contains. The files come from
the first of these that exists:

- `model.safetensors.index.json` (`pytorch_model.bin.index.json`);
- the only other index of that format;
- `model.safetensors` (`pytorch_model.bin`), without other files;
- all files of the format.

A note names the weight files that are not read. Files `consolidated.00`, `consolidated.01` and so
on with the same tensors are the ranks of tensor parallelism: each holds a piece of every matrix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigmascope.checkpoint.remote.paths import Place, RemotePath
from sigmascope.errors import CheckpointError

from .entries import Header, read_each
from .hub import snapshot_of
from .index import check_index, format_names, read_index, size_note
from .jsontext import brief
from .readers import (
    SAFETENSORS,
    SUFFIXES,
    Reader,
    missing_readers,
    own_readers,
    reader_of,
    readers,
)
from .variants import chosen, variants_of

_UNREAD = {
    ".npz": "save the arrays as .npy files",
}
_GET_TENSOR = "give {name: reader.get_tensor(name)} of tf.train.load_checkpoint to open_checkpoint"
_TENSORFLOW = {
    "saved_model.pb": f"a SavedModel of TensorFlow: {_GET_TENSOR}, of its path variables/variables",
    "*.data-00000-of-*": f"a checkpoint of TensorFlow: {_GET_TENSOR}",
}
"""Files that identify a folder without a readable file."""

_SHARD_NAME = re.compile(
    r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<total>\d+)\.(?:safetensors|bin|pt|msgpack)"
)
_RANK_NAME = re.compile(r"consolidated\.(\d\d)\.(?:safetensors|pth|pt)")


@dataclass(frozen=True, slots=True)
class Files:
    """The headers of a checkpoint in file-name order, for each rank, and notes."""

    folder: Place | None
    ranks: tuple[tuple[Header, ...], ...]
    notes: tuple[str, ...]

    @property
    def headers(self) -> tuple[Header, ...]:
        """All headers, rank after rank."""
        return tuple(header for rank in self.ranks for header in rank)

    @property
    def settings(self) -> Mapping[str, Any] | None:
        """Settings of the model, if the files hold them; the first file counts."""
        return self.headers[0].settings if self.headers else None


def read_files(path: str | os.PathLike[str] | RemotePath, variant: str | None = None) -> Files:
    """Find the files of a checkpoint and validate every header, and the index against them.

    Parameters
    ----------
    path : path-like or RemotePath
        A file, an index file, a folder, or the folder of a model in the cache of the Hub.
    variant : str, optional
        The variant to read, if a folder has several;
        see :mod:`sigmascope.checkpoint.formats.variants`.

    Raises
    ------
    CheckpointError
        There is nothing to read, a file is invalid, or files and index disagree. One bad shard
        makes the call fail: a checkpoint is never read in part.
    """
    if not isinstance(path, RemotePath):
        path = snapshot_of(Path(path).absolute())
    try:
        if path.is_dir():
            return _read_folder(path, variant)
        if variant is not None:
            raise CheckpointError(f"{path}: variant {variant!r} needs a folder, and this is a file")
        if isinstance(path, Path):
            path.stat()
        if path.suffix == ".json":
            indexed = (each for each in own_readers([path.name]) if each.index_suffix)
            fitting = (each for each in indexed if path.name.endswith(each.index_suffix))
            return _read_indexed(path, next(fitting, SAFETENSORS))
        return _read_together(path.parent, reader_of(path).read(path), ())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def read_ranks(paths: Sequence[str | os.PathLike[str] | RemotePath]) -> Files:
    """Read one checkpoint for each rank of tensor parallelism, in the order of the ranks.

    Raises
    ------
    CheckpointError
        As for `read_files`, or one of the paths holds several ranks itself.
    """
    checkpoints = [read_files(path) for path in paths]
    if not checkpoints:
        raise CheckpointError("the list of paths of ranks is empty")
    for files, path in zip(checkpoints, paths, strict=True):
        if len(files.ranks) > 1:
            raise CheckpointError(f"{path}: {len(files.ranks)} ranks, but one is expected")
    notes = tuple(dict.fromkeys(note for files in checkpoints for note in files.notes))
    return Files(checkpoints[0].folder, tuple(files.ranks[0] for files in checkpoints), notes)


def _files(folder: Place, headers: tuple[Header, ...], notes: tuple[str, ...]) -> Files:
    return Files(folder, (headers,), notes + tuple(n for header in headers for n in header.notes))


def _read_folder(folder: Place, variant: str | None = None) -> Files:
    every = _visible(folder)
    names = chosen(folder, every, variant)
    for reader in readers(names):
        end = reader.index_suffix
        end = end if variant is None else f"{end.removesuffix('json')}{variant}.json"
        indexes = [name for name in names if reader.index_suffix and name.endswith(end)]
        files = [name for name in names if reader.fits(name)]
        if reader.main_index in indexes:
            return _read_indexed(folder / reader.main_index, reader, every)
        if len(indexes) > 1:
            raise CheckpointError(
                f"{folder}: there are several indexes; open one of them: {format_names(indexes)}"
            )
        if indexes:
            return _read_indexed(folder / indexes[0], reader, every)
        if files and reader.chosen is not None:
            headers = reader.read(folder / reader.chosen(folder, files))
            read = [header.path.name for header in headers]
            return _read_together(folder, headers, _left_out(every, read))
        if files:
            read = [reader.main_file] if reader.main_file in files else files
            return _read_all(folder, read, reader, _left_out(every, read))
    raise CheckpointError(f"{folder}: no .safetensors file{_elsewhere(folder, names)}")


def _read_all(folder: Place, names: list[str], reader: Reader, notes: tuple[str, ...]) -> Files:
    _check_numbering(folder, names)
    headers = read_each(folder, names, reader.read)
    ranks = [match for name in names if (match := _RANK_NAME.fullmatch(name))]
    tensors = [{entry.name for entry in header.entries} for header in headers]
    if len(ranks) == len(names) > 1 and any(other == tensors[0] for other in tensors[1:]):
        numbers = [int(match[1]) for match in ranks]
        if numbers != list(range(len(ranks))):
            raise CheckpointError(f"{folder}: only ranks {numbers} are here, counting from 0")
        notes += tuple(note for header in headers for note in header.notes)
        return Files(folder, tuple((header,) for header in headers), notes)
    return _read_together(folder, headers, notes)


def _read_together(folder: Place, headers: tuple[Header, ...], notes: tuple[str, ...]) -> Files:
    _check_distinct(headers)
    return _files(folder, headers, notes)


def _read_indexed(path: Place, reader: Reader, every: list[str] | None = None) -> Files:
    """Read the shards of an index; `every` lists the files of its folder, if that is known."""
    index = read_index(path, reader.suffixes)
    folder = path.parent
    shards = sorted(set(index.weight_map.values()))
    if isinstance(folder, Path):
        there = set(os.listdir(folder))  # one check per shard would take longer
        missing = [name for name in shards if name not in there or not (folder / name).exists()]
    else:
        missing = folder.missing(shards)
    if missing:
        raise CheckpointError(f"{path}: shards missing from the folder: {format_names(missing)}")
    headers = read_each(folder, shards, reader.read)
    _check_distinct(headers)
    check_index(index, headers)
    left_out = _left_out(every if every is not None else _visible(folder), shards)
    return _files(folder, headers, size_note(index, headers) + left_out)


def _visible(folder: Place) -> list[str]:
    # Names with a leading dot belong to other programs: partial downloads, resource forks.
    names = os.listdir(folder) if isinstance(folder, Path) else folder.names()
    return sorted(name for name in names if not name.startswith("."))


def _check_distinct(headers: Iterable[Header]) -> None:
    seen: dict[str, Place] = {}
    for header in headers:
        for entry in header.entries:
            if entry.name in seen:
                raise CheckpointError(
                    f"{header.path}: tensor {brief(entry.name, 200)} is also in "
                    f"{seen[entry.name].name} (pieces of one matrix, the ranks of tensor "
                    "parallelism, are opened as a list of paths)"
                )
            seen[entry.name] = header.path


def _check_numbering(folder: Place, names: Iterable[str]) -> None:
    """Raise CheckpointError if numbered shards are missing; without an index, names show that."""
    numbered: dict[tuple[str, str], set[int]] = {}
    for name in names:
        if match := _SHARD_NAME.fullmatch(name):
            key = match["stem"], match["total"]
            numbered.setdefault(key, set()).add(int(match["number"]))
    for (stem, total), numbers in numbered.items():
        # Most writers count from 1 and some from 0, so only the number of shards is checked.
        if len(numbers) < int(total):
            raise CheckpointError(
                f"{folder}: {len(numbers)} of the {int(total)} shards {stem}-*-of-{total} "
                "are here, without an index"
            )


def _left_out(present: Iterable[str], chosen: Iterable[str]) -> tuple[str, ...]:
    """Return a note on files with weights that are not read."""
    suffixes = SUFFIXES + tuple(_UNREAD)
    present = list(present)
    others = sorted({name for name in present if name.endswith(suffixes)} - set(chosen))
    unread = {_UNREAD[Path(name).suffix] for name in others if Path(name).suffix in _UNREAD}
    reasons = sorted(unread)
    variants = {variant for name, variant in variants_of(present).items() if name in others}
    if variants:
        reasons.append(f"the option variant selects {' or '.join(sorted(variants))}")
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return (f"files not part of the checkpoint: {format_names(others)}{why}",) if others else ()


def _elsewhere(folder: Place, names: Sequence[str]) -> str:
    """Return a hint where weights may be, for the message that a folder has no weights."""
    if isinstance(folder, RemotePath):
        there = format_names(sorted(names)) or "unknown"
        return f"; files there: {there}; pass the address of a file"
    below = {
        path.parent.relative_to(folder).as_posix()
        for pattern in ("*/*.safetensors", "snapshots/*/*.safetensors", "*/_CHECKPOINT_METADATA")
        for path in folder.glob(pattern)
    }
    if below:
        return f"; these sub-folders have some: {format_names(sorted(below))}"
    for pattern, what in _TENSORFLOW.items():
        if next(folder.glob(pattern), None) is not None:
            return f" but {what}"
    others = [name for name in names if name.endswith(tuple(_UNREAD))]
    why = "; ".join(sorted({_UNREAD[Path(name).suffix] for name in others}))
    return f" (not read: {format_names(others)}: {why})" if others else missing_readers(names)
