# SPDX-License-Identifier: BSD-3-Clause
"""Files of PyTorch before 1.6: a sequence of pickles, then the storages one after another.

`torch.save` still writes them on request. The pickles are a magic number, the version of the
protocol, facts about the machine, the object, and the keys of the storages in their order. A
storage is the number of its elements, in 8 bytes, and its elements. Pickles are not run, and
elements are not read.
"""

from __future__ import annotations

import io
import struct
from typing import Any

from sigmascope._host.limits import MAX_PICKLE_BYTES, MAX_TENSORS
from sigmascope.errors import CheckpointError

from .entries import DTYPE_BITS
from .inert import Storage, unpickled_from
from .jsontext import brief
from .pickled_tree import Record
from .placeholders import Placeholder, Tolerant

MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The end of the first pickle: the magic number, as an integer of 10 bytes."""

_VERSION = 1001
_LONGEST_LINE = 1 << 16
_QUANTISED = {
    "torch.QInt8Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.QInt32Storage": 4,
    "torch.QUInt4x2Storage": 1,
    "torch.QUInt2x4Storage": 1,
}
"""Bytes of an element of storages whose numbers are not read."""


def is_legacy(start: bytes) -> bool:
    """Return whether a file begins like the files of PyTorch before 1.6."""
    return MAGIC in start[:32]


def legacy_contents(file: io.RawIOBase, size: int) -> tuple[object, dict[str, Record]]:
    """Return the contents of a file's pickle, and the places of its storages.

    Raises
    ------
    CheckpointError
        The file is truncated, has another version, comes from a machine with big-endian numbers,
        or has a storage that ends beyond it.
    """
    file.seek(0)
    stream = _Pickles(file, size)
    unpickled_from(stream, Tolerant)  # the magic number
    version, machine = unpickled_from(stream, Tolerant), unpickled_from(stream, Tolerant)
    if version != _VERSION or not isinstance(machine, dict):
        raise CheckpointError(f"version {brief(version)} of PyTorch's files, not {_VERSION}")
    if machine.get("little_endian") is not True:
        raise CheckpointError("its numbers are big-endian")
    reader = _Legacy(stream, encoding="utf-8", errors="surrogateescape")
    root = unpickled_from(stream, reader)
    keys = unpickled_from(stream, Tolerant)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise CheckpointError("the keys of its storages are not a list of strings")
    if len(keys) > MAX_TENSORS or len(set(keys)) != len(keys):
        raise CheckpointError(
            f"{len(keys)} storages, some of them twice, or above the limit of {MAX_TENSORS}"
        )
    return root, _storages(file, stream.position, size, keys, reader.sizes)


def _storages(
    file: io.RawIOBase, position: int, size: int, keys: list[str], sizes: dict[str, int]
) -> dict[str, Record]:
    """Return the place of each storage; it begins where the previous storage ends."""
    records: dict[str, Record] = {}
    for key in keys:
        shown = brief(key, 200)
        if key not in sizes:
            raise CheckpointError(f"storage {shown} belongs to no tensor, so its size is unknown")
        file.seek(position)
        raw = file.read(8) or b""
        if len(raw) < 8:
            raise CheckpointError(f"storage {shown} begins at byte {position}, where the file ends")
        (count,) = struct.unpack("<q", raw)
        end = position + 8 + count * sizes[key]
        if count < 0 or end > size:
            raise CheckpointError(
                f"storage {shown} has {count} elements, and reaches byte {end} of {size}: the file "
                "is cut short or damaged"
            )
        records[key] = Record(position + 8, count * sizes[key])
        position = end
    return records


class _Pickles:
    """The pickles of a file; together they have at most the bytes that a single pickle may have."""

    def __init__(self, file: io.RawIOBase, size: int) -> None:
        self._file, self._size = file, size
        self._piece, self._start = b"", 0
        self.position = 0

    def read(self, count: int) -> bytes:
        """Return the next bytes; CheckpointError if the file or the limit ends before."""
        end = self.position + count
        if count < 0 or end > min(self._size, MAX_PICKLE_BYTES):
            raise CheckpointError(
                f"its pickle has bytes {self.position} to {end}, the file ends at {self._size} and "
                f"the limit is {MAX_PICKLE_BYTES}: it is cut short or damaged"
            )
        at = self.position - self._start
        if at + count > len(self._piece):
            self._file.seek(self.position)
            self._piece = self._file.read(max(count, _LONGEST_LINE)) or b""
            self._start, at = self.position, 0
        self.position = end
        return self._piece[at : at + count]

    def readline(self) -> bytes:
        """Return the bytes to the end of a line, or fewer at the end of the file."""
        begin = self.position
        line = self.read(min(_LONGEST_LINE, self._size - begin)).partition(b"\n")
        data = line[0] + line[1]
        self.position = begin + len(data)
        return data


class _Legacy(Tolerant):
    """A tolerant unpickler that remembers the sizes of the elements of storages, by key."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.sizes: dict[str, int] = {}

    def persistent_load(self, pid: Any) -> Any:
        """Return the record of a storage, or the class of a module that is saved with its code."""
        if isinstance(pid, tuple) and pid[:1] == ("module",) and len(pid) == 4:
            return pid[1]
        if not isinstance(pid, tuple) or len(pid) != 6:
            raise CheckpointError(f"a reference to {brief(pid)} is not a storage")
        storage = super().persistent_load(pid[:5])
        size, key = _QUANTISED.get(getattr(storage, "kind", ""), 0), pid[2]
        if isinstance(storage, Storage):
            size = 16 if storage.dtype == "C128" else DTYPE_BITS[storage.dtype] // 8
        if not size or type(key) is not str or self.sizes.setdefault(key, size) != size:
            raise CheckpointError(f"storage {brief(key, 200)} has elements of no known size")
        view = pid[5]
        if view is None or isinstance(storage, Placeholder):
            return storage
        if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or view[1] < 0:
            raise CheckpointError(f"storage {brief(key, 200)} has a view that is not a part of it")
        return storage._replace(start=view[1])
