# SPDX-License-Identifier: BSD-3-Clause
"""The files of a GGUF model: one, or shards with a number in name and metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .entries import Header, read_each
from .gguf import read_gguf
from .index import format_names
from .jsontext import brief

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.gguf")


def model_of(folder: Place, names: Iterable[str]) -> str:
    """Return the one GGUF model among the files of a folder, by its first file.

    A projector of images or sounds, whose name begins with "mmproj", is a separate model.

    Raises
    ------
    CheckpointError
        The folder has several models.
    """
    models: dict[str, str] = {}
    for name in sorted(names):
        shard = _SHARD.fullmatch(name)
        models.setdefault(shard["stem"] if shard else name, name)
    main = {stem: name for stem, name in models.items() if not stem.startswith("mmproj")}
    files = list((main or models).values())
    if len(files) > 1:
        raise CheckpointError(
            f"{folder}: there are several GGUF models; open one of them: {format_names(files)}"
        )
    return files[0]


def read_shards(path: Place) -> tuple[Header, ...]:
    """Read a GGUF file, and all other shards of its model if it is a shard.

    Raises
    ------
    CheckpointError
        A file is invalid, shards are missing, or their numbers do not agree.
    """
    first = read_gguf(path)
    total = _number(first, "split.count", 1)
    if total <= 1:
        return (first,)
    match = _SHARD.fullmatch(path.name)
    if match is None or int(match["total"]) != total:
        raise CheckpointError(
            f"{path}: its metadata says that it is one of {total} shards, which must be named "
            f"...-00001-of-{total:05}.gguf"
        )
    names = [f"{match['stem']}-{number:05}-of-{total:05}.gguf" for number in range(1, total + 1)]
    if missing := [name for name in names if not (path.parent / name).exists()]:
        raise CheckpointError(f"{path}: shards missing from the folder: {format_names(missing)}")
    headers = read_each(
        path.parent, names, lambda place: (first if place.name == path.name else read_gguf(place),)
    )
    for place, header in enumerate(headers):
        of, number = _number(header, "split.count", 1), _number(header, "split.no", 0)
        if (of, number) != (total, place):
            raise CheckpointError(
                f"{header.path}: shard {number} of {of} by its metadata, but {place} of {total} by "
                "its name, counting from 0"
            )
    claimed = _number(headers[0], "split.tensors.count", -1)
    present = sum(len(header.entries) for header in headers)
    if claimed not in (-1, present):
        raise CheckpointError(
            f"{headers[0].path}: its metadata says that all shards have {claimed} tensors, but "
            f"they have {present}"
        )
    return headers


def _number(header: Header, key: str, default: int) -> int:
    value = (header.settings or {}).get(key, default)
    if type(value) is not int:
        raise CheckpointError(f"{header.path}: metadata {key!r} is {brief(value)}, not an integer")
    return value
