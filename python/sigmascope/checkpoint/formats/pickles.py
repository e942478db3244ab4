# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's files: the places of their tensors, without running a pickle.

Since PyTorch 1.6 such a file is a zip archive. It stores, uncompressed, one record of raw numbers
per storage, and a pickle with the places of the tensors in these records. A tensor is therefore a
range of bytes in the file, and is read like a tensor of a safetensors file, without PyTorch.
TorchScript's archives have the same form; their tensors have the names of a state dict, and their
code is not read. :mod:`sigmascope.checkpoint.formats.legacy_pickles` reads older files.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

from sigmascope._host.formats import described, first_member, kind_of_archive
from sigmascope._host.limits import (
    MAX_DIRECTORY_BYTES,
    MAX_PICKLE_BYTES,
    MAX_TENSORS,
)
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .entries import Header, TensorEntry, opened, start_of
from .inert import Inert, Tensor, unpickled
from .jsontext import brief
from .legacy_pickles import is_legacy, legacy_contents
from .pickled_tree import Record, entries_of, tensor_entry
from .torchscript import Scripted

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


# Exceptions that zipfile raises for damaged archives.
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    struct.error,
)


class _Directory:
    """A file that limits the size of one read, since a damaged archive may request any size."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int | None = -1, /) -> bytes:
        """Read; raise CheckpointError for more than the limit of a zip directory."""
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise CheckpointError(
                f"a directory of {size} bytes, above the limit of {MAX_DIRECTORY_BYTES}"
            )
        return self._file.read(-1 if size is None else size) or b""


def is_saved_by_torch(start: bytes) -> bool:
    """Return whether a file begins like an archive of PyTorch, or like one of its older files."""
    member = first_member(start)
    return is_legacy(start) or (member is not None and kind_of_archive(member) is None)


def read_pickled(path: Place) -> Header:
    """Read the places of the tensors in a file that PyTorch saved, without tensor data.

    :mod:`sigmascope.checkpoint.formats.pickled_tree` defines the names.

    Raises
    ------
    CheckpointError
        The file is not a file of PyTorch, is truncated, or does not name its tensors.
    """
    with opened(path) as (file, stored):
        start = start_of(file)
        if not is_saved_by_torch(start):
            raise CheckpointError(f"{path}: not a PyTorch file but {described(start)}")
        try:
            read = legacy_contents if is_legacy(start) else _archived
            root, records = read(file, stored.size)
            wrapper, entries = entries_of(root, records, path.stem)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except _BROKEN_ARCHIVE as error:
            raise CheckpointError(f"{path}: not a readable zip archive: {error!s:.200}") from None
    notes = (f"{path.name}: the tensors of {wrapper!r}, named without it",) if wrapper else ()
    return Header(path, tuple(entries), {}, stored, notes)


def tensor_in(file: io.RawIOBase, size: int, name: str) -> TensorEntry:
    """Return the place of a tensor that PyTorch saved alone in a file, or in a part of a file.

    Raises
    ------
    CheckpointError
        The file is not a zip archive, or holds something else.
    """
    try:
        root, records = _archived(file, size, Inert)
    except _BROKEN_ARCHIVE as error:
        raise CheckpointError(f"not a readable zip archive: {error!s:.200}") from None
    if not isinstance(root, Tensor):
        raise CheckpointError(f"holds a {type(root).__name__}, not a tensor")
    return tensor_entry(name, root, records)


def _archived(
    file: io.RawIOBase, size: int, reader: type[Inert] = Scripted
) -> tuple[object, dict[str, Record]]:
    """Return the contents of the pickle of an archive, and the places of its storages."""
    limited: Any = _Directory(file)
    with zipfile.ZipFile(limited) as archive:
        prefix, root = _unpickled(archive, reader)
        return root, _records(archive, file, prefix, size)


def _unpickled(archive: zipfile.ZipFile, reader: type[Inert]) -> tuple[str, object]:
    """Return the folder inside the archive, and the contents of its pickle."""
    names = set(archive.namelist())
    if len(names) > MAX_TENSORS:
        raise CheckpointError(f"{len(names)} records, above the limit of {MAX_TENSORS}")
    files = [name for name in names if name.endswith("data.pkl")]
    if len(files) != 1 or files[0].rpartition("/")[2] != "data.pkl":
        raise CheckpointError(
            f"a zip archive with {len(files)} files data.pkl, where PyTorch writes one; it begins "
            f"with {brief(min(names, default=''), 100)}"
        )
    prefix = files[0].removesuffix("data.pkl")
    order = prefix + "byteorder"
    if order in names and _content(archive, order, 16) != b"little":
        raise CheckpointError("its numbers are big-endian")
    return prefix, unpickled(_content(archive, files[0], MAX_PICKLE_BYTES), reader)


def _content(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a stored record; compressed ones are refused, since they may expand a thousandfold."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{brief(name, 200)} is compressed")
    if info.file_size > most:
        raise CheckpointError(
            f"{brief(name, 200)} has {info.file_size} bytes, above the limit of {most}"
        )
    return archive.read(name)


def _records(
    archive: zipfile.ZipFile, file: io.RawIOBase, prefix: str, size: int
) -> dict[str, Record]:
    """Return the place of each storage, from the local headers of the records."""
    records: dict[str, Record] = {}
    start = prefix + "data/"
    for info in archive.infolist():
        if not info.filename.startswith(start):
            continue
        if info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{brief(info.filename, 200)} is compressed")
        file.seek(info.header_offset)
        magic, name, extra = struct.unpack("<4s22xHH", file.read(30) or b"")
        offset = info.header_offset + 30 + name + extra
        if magic != b"PK\x03\x04" or offset + info.file_size > size:
            raise CheckpointError(
                f"{brief(info.filename, 200)} reaches byte {offset + info.file_size} of {size}"
            )
        records[info.filename.removeprefix(start)] = Record(offset, info.file_size)
    return records
