# SPDX-License-Identifier: BSD-3-Clause
"""File objects, and files of fsspec, as files on other machines.

The file system of fsspec reads its files at any position, and finds their neighbours: shards and
config.json. Any other file object has no neighbours; it has one cursor, so its reads run one after
another. Only their lengths show whether such files have changed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, Protocol, TypeGuard

from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

from .failures import MissingFileError
from .paths import RemotePath


class FileObject(Protocol):
    """An object that reads bytes at a movable cursor."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most this number of bytes."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move the cursor."""


def is_file_object(source: object) -> TypeGuard[FileObject]:
    """Return whether an object is a file of fsspec, or has the methods `read` and `seek`."""
    return _is_fsspec(source) or (hasattr(source, "read") and hasattr(source, "seek"))


def path_of_object(source: Any) -> RemotePath:
    """Return a path for a file object, or for a file of fsspec."""
    if _is_fsspec(source):
        return RemotePath(FsspecStore(source.fs), str(source.path).strip("/"))
    name = getattr(source, "name", "")
    key = PurePosixPath(name).name if isinstance(name, str) else ""
    key = key or "file.safetensors"
    return RemotePath(FileObjectStore(source, key), key)


def _is_fsspec(source: object) -> bool:
    return hasattr(getattr(source, "fs", None), "cat_file") and hasattr(source, "path")


@dataclass(frozen=True)
class FsspecStore:
    """Files of a file system of fsspec."""

    fs: Any = field(repr=False)

    @property
    def root(self) -> str:
        """Protocol of the file system."""
        protocol = self.fs.protocol
        return f"{protocol if isinstance(protocol, str) else protocol[0]}:/"

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        entries = self.fs.ls(self._path(folder), detail=True)
        return [PurePosixPath(each["name"]).name for each in entries if each["type"] == "file"]

    def exists(self, key: str) -> bool:
        """Return whether the file exists."""
        return bool(self.fs.exists(self._path(key)))

    def missing(self, folder: str, names: list[str]) -> list[str]:
        """Return the given names that are not files of a folder."""
        return sorted(set(names) - set(self.names(folder)))

    def opened(self, key: str) -> tuple[ByteSource, bytes]:
        """Return the source of a file; its first bytes are not read."""
        path = self._path(key)
        try:
            return FsspecSource(self.fs, path, f"{self.root}/{key}"), b""
        except FileNotFoundError as error:
            raise MissingFileError(f"{self.root}/{key}: there is no such file") from error

    def _path(self, key: str) -> str:
        local = self.root in ("file:/", "local:/", "memory:/")
        return f"/{key}" if local else key


class FsspecSource(ByteSource):
    """A file of fsspec."""

    def __init__(self, fs: Any, path: str, name: str) -> None:
        self.name, self._fs, self._path = name, fs, path
        self._info = fs.info(path)
        self.size = int(self._info["size"])
        self.concurrent = bool(getattr(fs, "async_impl", False))

    def identity(self) -> str:
        """Return the state of the file as the file system knows it."""
        known = ("ETag", "etag", "checksum", "LastModified", "mtime", "created")
        return ", ".join(str(self._info[name]) for name in known if name in self._info)

    def fill(self, offset: int, memory: memoryview) -> None:
        """Read as many bytes as `memory` has."""
        data = self._fs.cat_file(self._path, start=offset, end=offset + memory.nbytes)
        _copy(data, memory, self, offset)


@dataclass(frozen=True)
class FileObjectStore:
    """One file object, and no other file."""

    file: Any = field(repr=False)
    key: str
    root: str = "file object"

    def names(self, folder: str) -> list[str]:
        """Return the name of the object."""
        return [self.key]

    def exists(self, key: str) -> bool:
        """Return whether this is the key of the object."""
        return key == self.key

    def missing(self, folder: str, names: list[str]) -> list[str]:
        """Return all given names except the name of the object."""
        return sorted(set(names) - {self.key})

    def opened(self, key: str) -> tuple[ByteSource, bytes]:
        """Return the source of the object."""
        if key != self.key:
            raise MissingFileError(f"{self.root}/{key}: there is no such file")
        return FileObjectSource(self.file, f"{self.root}/{key}"), b""


class FileObjectSource(ByteSource):
    """A file object; one read at a time uses its cursor."""

    def __init__(self, file: Any, name: str) -> None:
        self.name, self._file, self._lock = name, file, Lock()
        self.size = int(file.seek(0, io.SEEK_END))

    def __reduce__(self) -> str:
        raise TypeError(f"{self.name} cannot be sent to another process; give a path or a URL")

    def identity(self) -> str:
        """Return an empty identity: a file object does not show whether its file has changed."""
        return ""

    def fill(self, offset: int, memory: memoryview) -> None:
        """Read as many bytes as `memory` has."""
        with self._lock:
            self._file.seek(offset)
            data = bytearray()
            while len(data) < memory.nbytes:
                part = self._file.read(memory.nbytes - len(data))
                if not part:
                    break
                data += part
        _copy(data, memory, self, offset)


def _copy(data: bytes | bytearray, memory: memoryview, source: ByteSource, offset: int) -> None:
    """Copy the bytes that were read into memory; CheckpointError if their number differs."""
    if len(data) != memory.nbytes:
        what = source.described(offset, memory.nbytes)
        raise CheckpointError(f"{source.name}: {what}: {len(data)} bytes could be read")
    memory[:] = data
