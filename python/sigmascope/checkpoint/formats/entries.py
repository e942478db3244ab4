# SPDX-License-Identifier: BSD-3-Clause
"""The result of every format reader: a header of tensors, each a range of bytes in its file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import open_regular, read_span
from sigmascope.errors import CheckpointError

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix

_DTYPES_OF_BITS = {
    4: "F4",
    6: "F6_E2M3 F6_E3M2",
    8: "BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "U16 I16 F16 BF16",
    32: "U32 I32 F32",
    64: "U64 I64 F64 C64",
}
#: Bits per element of every dtype, by its name in the safetensors format.
DTYPE_BITS: Mapping[str, int] = {
    name: bits for bits, names in _DTYPES_OF_BITS.items() for name in names.split()
}


def is_integer(dtype: str) -> bool:
    """Return whether tensors of this dtype, named as in the file, hold integers or booleans."""
    # IQ4_NL and others of that kind are block layouts of GGML.
    return dtype == "BOOL" or (dtype[0] in "UI" and not dtype.startswith("IQ"))


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size, time and inode of a file, by which a change after reading its header is detected."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """Make the stamp from the result of a stat call."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: `offset` in bytes from the start of the file.

    `strides` count elements and are None for C order. For an entry that is no tensor, `foreign` is
    the reason and `dtype` the name of its Python type.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    strides: tuple[int, ...] | None = None
    foreign: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """A validated header; `entries` are in file order (by offset).

    `settings` are those of the model, in the words of a config.json, if the format holds them.
    """

    path: Path
    entries: tuple[TensorEntry, ...]
    metadata: Mapping[str, str]
    stamp: FileStamp
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file has changed since it was opened."""
        try:
            now = FileStamp.of(os.stat(self.path))
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error.strerror}") from error
        if now != self.stamp:
            raise CheckpointError(
                f"{self.path}: the file changed since it was opened "
                f"({self.stamp.size} bytes then, {now.size} now): open the checkpoint again"
            )

    def read(self, offset: int, count: int, reading: str) -> bytes | memoryview:
        """Return bytes of the file, fewer if it ends before; CheckpointError if it has none."""
        try:
            return read_span(self.path, offset, count, reading)
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error.strerror}") from error

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Map bytes of the file; a page is read only when it is used.

        Raises
        ------
        CheckpointError
            The file cannot be read, or ends before.
        """
        try:
            if os.stat(self.path).st_size < offset + count:
                raise CheckpointError(f"{self.path}: a tensor at {offset} ends beyond the file")
            return np.memmap(self.path, np.uint8, "r", offset, (count,))
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read: {error.strerror}") from error

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows in the file; `how` as for :func:`sigmascope.tensor`."""
        from sigmascope.matrices.sources import tensor

        return tensor(self.path, offset, shape, dtype, reading=reading, **how)


@contextmanager
def opened(path: Path) -> Iterator[tuple[io.FileIO, FileStamp]]:
    """Open a regular file to read its header, with its stamp; the file must not change meanwhile.

    Raises
    ------
    CheckpointError
        It cannot be read, is no regular file, or changed while it was read.
    """
    try:
        # Unbuffered and without the system's read-ahead: tensor data are not touched.
        with open_regular(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            stamp = FileStamp.of(os.fstat(file.fileno()))
            yield file, stamp
            if FileStamp.of(os.fstat(file.fileno())) != stamp:
                raise CheckpointError(f"{path}: the file changed while its header was read")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
