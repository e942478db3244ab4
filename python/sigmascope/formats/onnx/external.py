# SPDX-License-Identifier: BSD-3-Clause
"""Files next to an ONNX model that hold the numbers of its initialisers.

The model names the path of such a file, which is followed only down from the folder of the model.
The file at that path may be a symbolic link to any place, as download caches make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sigmascope.checkpoint import opened
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import Place, Stored, brief, is_plain

_MOST_DIGITS = 20


class Location(NamedTuple):
    """Path of a file relative to the folder of the model, and first byte in it."""

    file: str
    offset: int


def location_of(external: Mapping[str, str], where: str, nbytes: int) -> Location:
    """Check the place of an initialiser in a separate file; messages begin with `where`.

    Raises
    ------
    CheckpointError
        There is no path, the path leaves the folder, a number is malformed, or the length does not
        fit the shape.
    """
    if "location" not in external:
        raise CheckpointError(f"{where}: its numbers are in a file without a name")
    name = external["location"]
    parts = PurePosixPath(name).parts
    if not parts or not all(map(is_plain, parts)):
        raise CheckpointError(f"{where}: file {brief(name, 200)} is not below that of the model")
    length = _number(external, "length", where, nbytes)
    if length != nbytes:
        raise CheckpointError(f"{where}: length {length}, but the shape takes {nbytes} bytes")
    return Location("/".join(parts), _number(external, "offset", where, 0))


def _number(external: Mapping[str, str], key: str, where: str, default: int) -> int:
    text = external.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise CheckpointError(f"{where}: {key} {brief(text, 60)} is not a number of bytes")
    return int(text)


def data_file(model: Place, name: str, tensor: str) -> Stored:
    """Return the place of the bytes of a file of numbers; CheckpointError without such a file."""
    place = model.parent / name
    if isinstance(place, Path) and not place.exists():
        raise CheckpointError(f"{model}: {tensor}: its file {brief(name, 200)} is missing")
    with opened(place) as (_, stored):
        return stored
