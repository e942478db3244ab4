# SPDX-License-Identifier: BSD-3-Clause
"""Places where the bytes of a header are: a file, a source that reads them, or memory.

Everything built on headers (roles, fused weights, scales and stacks) reads bytes only through these
classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import read_span
from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

from .identity import FileIdentity, file_identity

if TYPE_CHECKING:
    from sigmascope.matrices.groups import GroupCodes
    from sigmascope.matrices.matrix import Matrix

_SMALL, _KEPT = 1 << 16, 256
"""Largest kept read from a source, in bytes, and number of the last reads that are kept.

Scales are read whenever a matrix is looked up, and each read from a source is a request.
"""


class Stored(Protocol):
    """The bytes of a file, or of an object that replaces a file."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file has changed since it was opened."""

    def read(self, offset: int, count: int, reading: str) -> bytes | memoryview:
        """Return bytes, or fewer at the end of the file; CheckpointError if it cannot be read."""

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Return bytes that a file reads when they are used; CheckpointError if it is too short."""

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows; `how` as for :func:`sigmascope.tensor`."""

    def grouped(self, offset: int, codes: GroupCodes, reading: str) -> Matrix:
        """Make a matrix of codes in groups, which begin at an offset."""

    def identity(self) -> FileIdentity:
        """Return name, size and a digest, which a resumed scan compares."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on this machine; its size, time and inode reveal changes."""

    path: Path
    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> StoredFile:
        """Create it with the state of a file from a stat result."""
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ino)

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file has changed since it was opened."""
        try:
            now = StoredFile.of(self.path, os.stat(self.path))
        except OSError as error:
            raise self._unreadable(error) from error
        if now != self:
            how = "written" if now.inode == self.inode else "another file, written"
            raise CheckpointError(
                f"{self.path}: the file changed since it was opened (then {self.size} bytes, "
                f"written at {self.modified_ns} ns; now {now.size} bytes, {how} at "
                f"{now.modified_ns} ns): open the checkpoint again, when no program writes it"
            )

    def read(self, offset: int, count: int, reading: str) -> bytes:
        """Return bytes of the file, or fewer at its end; CheckpointError if there are none."""
        try:
            return read_span(self.path, offset, count, reading)
        except OSError as error:
            raise self._unreadable(error) from error

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Map bytes of the file; a page is read only when it is used."""
        try:
            if os.stat(self.path).st_size < offset + count:
                raise CheckpointError(f"{self.path}: a tensor at {offset} ends beyond the file")
            return np.memmap(self.path, np.uint8, "r", offset, (count,))
        except OSError as error:
            raise self._unreadable(error) from error

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows in the file; `how` as for :func:`sigmascope.tensor`."""
        from sigmascope.matrices.sources import tensor

        return tensor(self.path, offset, shape, dtype, reading=reading, **how)

    def grouped(self, offset: int, codes: GroupCodes, reading: str) -> Matrix:
        """Make a matrix of codes in groups, which begin at an offset."""
        from sigmascope.matrices.groups import grouped_in_file

        return grouped_in_file(self.path, offset, codes, reading)

    def identity(self) -> FileIdentity:
        """Return the identity of the file; see :func:`file_identity`."""
        return file_identity(self.path)

    def _unreadable(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"{self.path}: cannot be read: {error.strerror}")


@dataclass(frozen=True, slots=True)
class StoredSource:
    """Bytes from a source that detects changes itself; `reading` does not matter.

    `name` is the name of the file, without its folder.
    """

    source: ByteSource
    name: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.source.size

    def name_tensors(self, offsets: Iterable[tuple[int, str]]) -> None:
        """Give the source the offset and name of each tensor that it holds, for messages."""
        self.source.parts = tuple(offsets)

    def check_unchanged(self) -> None:
        """Do nothing: every read checks whether the file has changed."""

    def read(self, offset: int, count: int, reading: str) -> bytes:
        """Return bytes of the file, or fewer at its end."""
        small = count <= _SMALL
        return _kept(self.source, offset, count) if small else self.source.read(offset, count)

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Read bytes of the file into memory."""
        if self.size < offset + count:
            raise CheckpointError(f"{self.source.name}: a tensor at {offset} ends beyond the file")
        return np.frombuffer(self.read(offset, count, ""), np.uint8)

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows in the file; `how` as for :func:`sigmascope.tensor`."""
        from sigmascope.matrices.sources import tensor_in_source

        return tensor_in_source(self.source, offset, shape, dtype, **how)

    def grouped(self, offset: int, codes: GroupCodes, reading: str) -> Matrix:
        """Make a matrix of codes in groups, which begin at an offset."""
        from sigmascope.matrices.groups import grouped_in_source

        return grouped_in_source(self.source, offset, codes)

    def identity(self) -> FileIdentity:
        """Return the identity of the file: its size, and a digest of its source's identity."""
        digest = sha256(self.source.identity().encode()).hexdigest()
        return FileIdentity(name=self.name, size=self.size, digest=digest)


@lru_cache(maxsize=_KEPT)
def _kept(source: ByteSource, offset: int, count: int) -> bytes:
    return source.read(offset, count)
