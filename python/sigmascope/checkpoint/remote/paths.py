# SPDX-License-Identifier: BSD-3-Clause
"""Paths of remote files, which are used like :class:`pathlib.Path` for local files.

A path can be pickled, and its text has no secrets. The password or signature of a URL is in the
store that the path belongs to.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from sigmascope._host.formats import REGISTERED
from sigmascope.matrices.byte_source import ByteSource

_FILES = (
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".distcp", ".npy", ".npz", ".json"),
    *(".tar", ".jit", *(end for ends in REGISTERED.values() for end in ends if end[0] == ".")),
)
"""Suffixes of files; a path with another one is a folder."""

_BLOCK = 1 << 16


class Store(Protocol):
    """Files by their keys: paths below a root."""

    @property
    def root(self) -> str:
        """Address of the root, without secrets."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, as far as the store can find them."""

    def exists(self, key: str) -> bool:
        """Tell whether there is such a file."""

    def missing(self, folder: str, names: list[str]) -> list[str]:
        """Return the given names that are known not to be files of a folder."""

    def opened(self, key: str) -> tuple[ByteSource, bytes]:
        """Return the source of a file, and its first bytes, which opening it reads."""


@dataclass(frozen=True)
class RemotePath:
    """A file or a folder of a store; `key` has no slash at its ends."""

    store: Store
    key: str = ""

    def __str__(self) -> str:
        return f"{self.store.root}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.store, f"{self.key}/{name}".lstrip("/"))

    @property
    def name(self) -> str:
        """Name of the file, or of the folder."""
        return PurePosixPath(str(self)).name

    @property
    def stem(self) -> str:
        """Name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """Suffix of the name, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> RemotePath:
        """Folder of the file."""
        return RemotePath(self.store, self.key.rpartition("/")[0])

    def is_dir(self) -> bool:
        """Return whether this is a folder, from its suffix and without a request."""
        return self.suffix not in _FILES

    def exists(self) -> bool:
        """Tell whether there is such a file."""
        return self.store.exists(self.key)

    def names(self) -> list[str]:
        """Return the names of the files in this folder, as far as the store can find them."""
        return sorted(self.store.names(self.key))

    def missing(self, names: list[str]) -> list[str]:
        """Return the given names that are known not to be files of this folder."""
        return self.store.missing(self.key, names)

    def opened(self) -> tuple[ByteSource, bytes]:
        """Return the source of the file, and its first bytes, which opening it reads."""
        return self.store.opened(self.key)

    def read(self, most: int) -> bytes:
        """Return all bytes of the file.

        Raises
        ------
        CheckpointError
            The file cannot be read, or has more than `most` bytes.
        """
        from sigmascope.errors import CheckpointError

        source, start = self.opened()
        if source.size > most:
            raise CheckpointError(f"{self}: {source.size} bytes, above the limit of {most} bytes")
        return start[: source.size] + source.read(len(start), source.size - len(start))


Place = Path | RemotePath
"""The path of a file, wherever it is."""


class PositionedFile(io.RawIOBase):
    """A file object for reading with a position that can be set; derived classes define `read`.

    Parameters
    ----------
    size : int
        Number of bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Change the position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(base[whence] + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def within(self, size: int | None) -> int:
        """Return the number of bytes that a read of this size gives; all if negative or None."""
        left = max(self._size - self._position, 0)
        return left if size is None or size < 0 else min(size, left)


class SourceFile(PositionedFile):
    """A file object over a source, for reading headers in blocks; the last block is kept.

    Parameters
    ----------
    source : ByteSource
    start : bytes
        The first bytes, if already known.
    """

    def __init__(self, source: ByteSource, start: bytes) -> None:
        super().__init__(source.size)
        self._source = source
        self._at, self._block = 0, start

    def read(self, size: int | None = -1, /) -> bytes:
        """Return bytes, all that there are up to the end if `size` is negative or None."""
        count = self.within(size)
        start = self._position - self._at
        if start < 0 or start + count > len(self._block):
            self._block = self._source.read(self._position, max(count, _BLOCK))
            self._at, start = self._position, 0
        self._position += count
        return self._block[start : start + count]


class FilePart(PositionedFile):
    """The bytes `start` to `start + size` of a file, as a file object for reading.

    Parameters
    ----------
    file : file object
    start, size : int
        First byte, and number of bytes; the file must have them.
    """

    def __init__(self, file: io.RawIOBase, start: int, size: int) -> None:
        super().__init__(size)
        self._file, self._start = file, start

    def read(self, size: int | None = -1, /) -> bytes:
        """Return bytes, all that there are up to the end if `size` is negative or None."""
        count = self.within(size)
        self._file.seek(self._start + self._position)
        data = self._file.read(count) or b""
        self._position += len(data)
        return data


Location = str | os.PathLike[str] | RemotePath
"""The path or the URL of a checkpoint."""


def shown_path(given: Location, path: str | RemotePath) -> Place:
    """Return a path as the caller wrote it, or a URL without its secrets."""
    if isinstance(path, RemotePath):
        return path
    return given if isinstance(given, RemotePath) else Path(given)
