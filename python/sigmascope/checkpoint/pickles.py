# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's .bin, .pt and .pth files: which tensor lies where, without running a pickle.

Since PyTorch 1.6 such a file is a zip archive that stores, uncompressed, one record of raw numbers
per storage, and a pickle that says which tensors lie in them. So a tensor is a run of bytes in
the file here as well, and is read like one of a safetensors file; PyTorch is not needed.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from sigmascope.checkpoint.entries import DTYPE_BITS, Header, TensorEntry, opened
from sigmascope.checkpoint.inert import Tensor, unpickled
from sigmascope.checkpoint.jsontext import brief
from sigmascope.errors import CheckpointError

SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")

MAX_PICKLE_BYTES = 100_000_000
# A few hundred bytes can name one tensor 2**40 times, or a dict that holds itself.
MAX_ENTRIES = 1_000_000
MAX_DEPTH = 100

#: Keys under which training scripts put the weights beside everything else.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")


# What zipfile raises for bytes that are not, or not quite, a zip archive.
_BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    EOFError,
    struct.error,
)


class _Record(NamedTuple):
    """The bytes of one storage in the file."""

    offset: int
    nbytes: int


def read_pickled(path: Path) -> Header:
    """Read which tensors lie where in a file that PyTorch saved; no tensor data is read.

    Dicts within dicts are flattened, their keys joined by dots; where the weights stand under
    "state_dict", "model" or the like, beside other things, they are named without it.

    Raises
    ------
    CheckpointError
        It is no zip archive (PyTorch before 1.6), is cut short, or its pickle names anything but
        tensors and plain containers.
    """
    with opened(path) as (file, stamp):
        if file.read(4) != b"PK\x03\x04":
            raise CheckpointError(
                f"{path}: no zip archive, as PyTorch writes since 1.6: load it there and save it "
                "anew, best as safetensors"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                prefix, root = _unpickled(archive)
                records = _records(archive, file, prefix, stamp.size)
            note, weights, beside = _weights(root, path.stem)
            entries = [_entry(name, tensor, records) for name, tensor in _leaves(weights)]
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        except _BROKEN_ARCHIVE as error:
            raise CheckpointError(f"{path}: no readable zip archive: {error}") from None
    entries += [_foreign(name, value, f" beside {note!r}, not read") for name, value in beside]
    _check_names(entries, path)
    entries.sort(key=lambda entry: (entry.foreign is not None, entry.offset))
    notes = (f"{path.name}: the tensors of {note!r}, named without it",) if note else ()
    return Header(path, tuple(entries), {}, stamp, notes)


def _unpickled(archive: zipfile.ZipFile) -> tuple[str, object]:
    """The folder inside the archive, and what its pickle holds."""
    found = [name for name in archive.namelist() if name.endswith("data.pkl")]
    if len(found) != 1 or found[0].rpartition("/")[2] != "data.pkl":
        raise CheckpointError(f"a zip archive with {len(found)} pickles, PyTorch writes one")
    info = archive.getinfo(found[0])
    if info.file_size > MAX_PICKLE_BYTES or info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(f"{found[0]} is compressed, or above {MAX_PICKLE_BYTES} bytes")
    prefix = found[0].removesuffix("data.pkl")
    order = prefix + "byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise CheckpointError("its numbers are big-endian")
    return prefix, unpickled(archive.read(found[0]))


def _records(
    archive: zipfile.ZipFile, file: io.FileIO, prefix: str, size: int
) -> dict[str, _Record]:
    """Where each storage lies; the directory of an archive does not say, the records' heads do."""
    records: dict[str, _Record] = {}
    start = prefix + "data/"
    for info in archive.infolist():
        if not info.filename.startswith(start):
            continue
        if info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{info.filename} is compressed")
        file.seek(info.header_offset)
        magic, name, extra = struct.unpack("<4s22xHH", file.read(30))
        offset = info.header_offset + 30 + name + extra
        if magic != b"PK\x03\x04" or offset + info.file_size > size:
            raise CheckpointError(
                f"{info.filename} reaches byte {offset + info.file_size} of {size}"
            )
        records[info.filename.removeprefix(start)] = _Record(offset, info.file_size)
    return records


def _weights(
    root: object, stem: str
) -> tuple[str | None, Mapping[Any, Any], list[tuple[str, object]]]:
    """The dict of weights, the key it stands under if any, and what stands beside it."""
    if isinstance(root, Tensor):
        return None, {stem: root}, []
    if not isinstance(root, dict):
        raise CheckpointError(f"holds a {type(root).__name__}, no tensors by name")
    for key in _WRAPPERS:
        inner = root.get(key)
        if isinstance(inner, dict) and any(isinstance(x, Tensor) for _, x in _leaves(inner)):
            beside = [(str(name), value) for name, value in root.items() if name != key]
            return key, inner, beside
    return None, root, []


def _leaves(values: Mapping[Any, Any]) -> Iterator[tuple[str, object]]:
    """Everything in dicts within dicts, and in lists that hold tensors, in order."""
    pending: list[tuple[str, object, int]] = [("", values, 0)]
    for _ in range(MAX_ENTRIES):
        if not pending:
            return
        name, value, depth = pending.pop()
        if isinstance(value, list | tuple) and not isinstance(value, Tensor):
            value = dict(enumerate(value)) if any(isinstance(x, Tensor) for x in value) else value
        if not isinstance(value, dict) or (not value and depth):
            yield name, value
            continue
        if depth == MAX_DEPTH:
            raise CheckpointError("nested too deeply")
        inner = [(f"{name}.{key}" if depth else f"{key}", x, depth + 1) for key, x in value.items()]
        pending += reversed(inner)
    raise CheckpointError(f"more than {MAX_ENTRIES} entries")


def _entry(name: str, value: object, records: Mapping[str, _Record]) -> TensorEntry:
    if not isinstance(value, Tensor):
        return _foreign(name, value, ", no tensor")
    storage, shape, dtype = value.storage, value.shape, value.dtype
    if storage.key not in records:
        raise CheckpointError(f"tensor {brief(name, 200)}: no record of storage {storage.key!r}")
    record = records[storage.key]
    size = 16 if dtype == "C128" else DTYPE_BITS[dtype] // 8
    count = prod(shape)
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, value.strides, strict=True))
    if count and (value.offset + reach) * size > record.nbytes:
        raise CheckpointError(
            f"tensor {brief(name, 200)}: {(value.offset + reach) * size} bytes of storage "
            f"{storage.key!r}, which has {record.nbytes}"
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


def _check_names(entries: list[TensorEntry], path: Path) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise CheckpointError(f"{path}: two entries are named {brief(entry.name, 200)}")
        seen.add(entry.name)
