# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's .bin, .pt and .pth files: the places of their tensors, without running a pickle.

Since PyTorch 1.6 such a file is a zip archive that stores, uncompressed, one record of raw numbers
per storage, and a pickle with the places of tensors in them. So a tensor is a range of bytes in the
file, and is read like that of a safetensors file; PyTorch is not needed. TorchScript's archives
have the same form: their tensors have the names of a state dict, and their code is not read.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from sigmascope._host.formats import recognised
from sigmascope._host.limits import (
    MAX_DIRECTORY_BYTES,
    MAX_NAMES,
    MAX_NESTING,
    MAX_PICKLE_BYTES,
    MAX_TENSORS,
)
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .entries import DTYPE_BITS, Header, TensorEntry, opened, start_of
from .inert import Tensor, unpickled
from .jsontext import brief
from .names import joined
from .torchscript import Scripted

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")

#: Keys under which training scripts store the weights, next to other data.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")


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
    """A file that limits the size of one read, since a damaged archive may ask for any size."""

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


class _Record(NamedTuple):
    """Place of one storage in the file, in bytes."""

    offset: int
    nbytes: int


def read_pickled(path: Place) -> Header:
    """Read the places of the tensors in a file that PyTorch saved; no tensor data is read.

    Nested dicts are flattened, and their keys joined by dots. If the weights are stored under
    "state_dict", "model" or the like, next to other data, that key is not part of their names.

    Raises
    ------
    CheckpointError
        It is no zip archive (PyTorch before 1.6), is cut short, or its pickle names anything but
        tensors and plain containers.
    """
    with opened(path) as (file, stored):
        start = start_of(file)
        if not start.startswith(b"PK\x03\x04"):
            what = recognised(start) or "load it there and save it anew, best as safetensors"
            raise CheckpointError(f"{path}: no zip archive, as PyTorch writes since 1.6: {what}")
        try:
            root, records = _archived(file, stored.size)
            wrapper, weights, others = _weights(root, path.stem)
            entries = [_entry(name, tensor, records) for name, tensor in _leaves(weights)]
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except _BROKEN_ARCHIVE as error:
            raise CheckpointError(f"{path}: no readable zip archive: {error!s:.200}") from None
    entries += [_foreign(name, value, f" next to {wrapper!r}, not read") for name, value in others]
    _check_names(entries, path)
    entries.sort(key=lambda entry: (entry.foreign is not None, entry.offset))
    notes = (f"{path.name}: the tensors of {wrapper!r}, named without it",) if wrapper else ()
    return Header(path, tuple(entries), {}, stored, notes)


def tensor_in(file: io.RawIOBase, size: int, name: str) -> TensorEntry:
    """Return the place of the one tensor that PyTorch saved in a file, or in a part of one.

    Raises
    ------
    CheckpointError
        It is no zip archive, or holds something else.
    """
    try:
        root, records = _archived(file, size)
    except _BROKEN_ARCHIVE as error:
        raise CheckpointError(f"no readable zip archive: {error!s:.200}") from None
    if not isinstance(root, Tensor):
        raise CheckpointError(f"holds a {type(root).__name__}, no tensor")
    return _entry(name, root, records)


def _archived(file: io.RawIOBase, size: int) -> tuple[object, dict[str, _Record]]:
    """Return the contents of the pickle of an archive, and the places of its storages."""
    limited: Any = _Directory(file)
    with zipfile.ZipFile(limited) as archive:
        prefix, root = _unpickled(archive)
        return root, _records(archive, file, prefix, size)


def _unpickled(archive: zipfile.ZipFile) -> tuple[str, object]:
    """Return the folder inside the archive, and the contents of its pickle."""
    names = set(archive.namelist())
    if len(names) > MAX_TENSORS:
        raise CheckpointError(f"{len(names)} records, above the limit of {MAX_TENSORS}")
    found = [name for name in names if name.endswith("data.pkl")]
    if len(found) != 1 or found[0].rpartition("/")[2] != "data.pkl":
        raise CheckpointError(f"a zip archive with {len(found)} pickles, PyTorch writes one")
    prefix = found[0].removesuffix("data.pkl")
    order = prefix + "byteorder"
    if order in names and _content(archive, order, 16) != b"little":
        raise CheckpointError("its numbers are big-endian")
    return prefix, unpickled(_content(archive, found[0], MAX_PICKLE_BYTES), Scripted)


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
) -> dict[str, _Record]:
    """Return the place of each storage, which only the local headers of the records determine."""
    records: dict[str, _Record] = {}
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
        records[info.filename.removeprefix(start)] = _Record(offset, info.file_size)
    return records


def _weights(
    root: object, stem: str
) -> tuple[str | None, Mapping[Any, Any], list[tuple[str, object]]]:
    """Return the key of the dict of weights if it has one, the dict, and the other entries."""
    if isinstance(root, Tensor):
        return None, {stem: root}, []
    if not isinstance(root, dict):
        raise CheckpointError(f"holds a {type(root).__name__}, no tensors by name")
    for key in WRAPPERS:
        inner = root.get(key)
        if isinstance(inner, dict) and any(isinstance(x, Tensor) for _, x in _leaves(inner)):
            others = [(joined("", name), value) for name, value in root.items() if name != key]
            return key, inner, others
    return None, root, []


def _leaves(values: Mapping[Any, Any]) -> Iterator[tuple[str, object]]:
    """List all entries of nested dicts, and of lists that hold tensors, in order.

    A file of a few hundred bytes can name a tensor 2**40 times, hold a dict that contains itself,
    or have a name of megabytes at each level: entries and characters are counted before names are
    joined.
    """
    pending: list[tuple[str, Iterator[tuple[Any, object]]]] = [("", iter(values.items()))]
    has_tensors: dict[int, bool] = {}
    count, letters = 0, 0
    while pending:
        above, entries = pending[-1]
        key, value = next(entries, (_END, None))
        if key is _END:
            pending.pop()
            continue
        name = joined(above, key)
        count, letters = count + 1, letters + len(name)
        if count > MAX_TENSORS:
            raise CheckpointError(f"more than {MAX_TENSORS} entries")
        if letters > MAX_NAMES:
            raise CheckpointError(f"names of more than {MAX_NAMES} letters together")
        inner = _inner(value, has_tensors)
        if inner is None:
            yield name, value
            continue
        if len(pending) == MAX_NESTING:
            raise CheckpointError(
                f"{brief(name, 200)}: nested too deeply, in more than {MAX_NESTING} dicts"
            )
        pending.append((f"{name}.", inner))


_END = object()


def _inner(value: object, has_tensors: dict[int, bool]) -> Iterator[tuple[Any, object]] | None:
    """Return the items of a non-empty dict or a list with tensors; `has_tensors` caches by id."""
    if isinstance(value, dict):
        return iter(value.items()) if value else None
    if not isinstance(value, list | tuple) or isinstance(value, Tensor):
        return None
    if id(value) not in has_tensors:
        has_tensors[id(value)] = any(isinstance(part, Tensor) for part in value)
    return enumerate(value) if has_tensors[id(value)] else None


def _entry(name: str, value: object, records: Mapping[str, _Record]) -> TensorEntry:
    if not isinstance(value, Tensor):
        return _foreign(name, value, ", no tensor")
    storage, shape, dtype = value.storage, value.shape, value.dtype
    if storage.key not in records:
        key = brief(storage.key, 200)
        raise CheckpointError(f"tensor {brief(name, 200)}: no record of storage {key}")
    record = records[storage.key]
    size = 16 if dtype == "C128" else DTYPE_BITS[dtype] // 8
    count = prod(shape)
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, value.strides, strict=True))
    if count and (value.offset + reach) * size > record.nbytes:
        raise CheckpointError(
            f"tensor {brief(name, 200)}: {(value.offset + reach) * size} bytes of storage "
            f"{brief(storage.key, 200)}, which has {record.nbytes}"
        )
    strides = None if _is_dense(shape, value.strides) else value.strides
    at = record.offset + (value.offset * size if count else 0)
    return TensorEntry(name, dtype, shape, at, count * size, strides)


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= max(size, 1)
    return True


def _foreign(name: str, value: object, why: str) -> TensorEntry:
    kind = "tensor" if isinstance(value, Tensor) else type(value).__name__
    return TensorEntry(name, kind, (), 0, 0, foreign=kind + why)


def _check_names(entries: list[TensorEntry], path: Place) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise CheckpointError(f"{path}: two entries are named {brief(entry.name, 200)}")
        seen.add(entry.name)
