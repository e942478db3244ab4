# SPDX-License-Identifier: BSD-3-Clause
"""The result of every format reader: a header of tensors, each a range of bytes in its file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import open_regular
from sigmascope._host.formats import LOOK
from sigmascope.checkpoint.remote.paths import Place, SourceFile
from sigmascope.checkpoint.remote.requests import concurrently
from sigmascope.errors import CheckpointError

from .stored import Stored, StoredFile, StoredSource
from .usage import Usage

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix

T = TypeVar("T")

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


_UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a file: `offset` in bytes from the start of the file.

    `strides` count elements and are None for C order. If the entry is not a tensor, `foreign` is
    the reason and `dtype` the name of its Python type. `usage` holds further facts from the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    strides: tuple[int, ...] | None = None
    foreign: str | None = None
    usage: Usage = _UNKNOWN


@dataclass(frozen=True, slots=True)
class Header:
    """A validated header; `entries` are in file order (by offset).

    `settings` holds the settings of the model under the names of a config.json, if the format has
    them. `layout` names the quantised layout of the weights, if the format states it and the model
    has no configuration that does.
    """

    path: Place
    entries: tuple[TensorEntry, ...]
    metadata: Mapping[str, str]
    stored: Stored
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    layout: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.stored, StoredSource):  # so that its errors can name tensors
            self.stored.name_tensors((entry.offset, entry.name) for entry in self.entries)

    def check_unchanged(self) -> None:
        """Raise CheckpointError if the file has changed since it was opened."""
        self.stored.check_unchanged()

    def read(self, offset: int, count: int, reading: str) -> bytes | memoryview:
        """Return bytes of the file, or fewer at its end; CheckpointError if there are none."""
        return self.stored.read(offset, count, reading)

    def mapped(self, offset: int, count: int) -> NDArray[np.uint8]:
        """Map bytes of the file, or read them if mapping is not possible.

        Raises
        ------
        CheckpointError
            The file cannot be read, or is too short.
        """
        return self.stored.mapped(offset, count)

    def matrix(
        self, offset: int, shape: tuple[int, int], dtype: str, reading: str, **how: Any
    ) -> Matrix:
        """Make a matrix of rows in the file; `how` as for :func:`sigmascope.tensor`."""
        return self.stored.matrix(offset, shape, dtype, reading, **how)


@contextmanager
def opened(path: Place) -> Iterator[tuple[io.RawIOBase, Stored]]:
    """Open a file to read its header; return it with the place of its bytes.

    Raises
    ------
    CheckpointError
        The file cannot be read, is not a regular file, or changed while it was read.
    """
    if not isinstance(path, Path):
        source, start = path.opened()
        yield SourceFile(source, start), StoredSource(source, path.name)
        return
    try:
        # Unbuffered and without the system's read-ahead: tensor data are not touched.
        with open_regular(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            stored = StoredFile.of(path, os.fstat(file.fileno()))
            yield file, stored
            if StoredFile.of(path, os.fstat(file.fileno())) != stored:
                raise CheckpointError(f"{path}: the file changed while its header was read")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def start_of(file: io.RawIOBase, count: int = LOOK) -> bytes:
    """Return the first bytes of a file, and move back to its start."""
    file.seek(0)
    start = file.read(count)
    file.seek(0)
    return start or b""


def read_each(
    folder: Place, names: Sequence[str], read: Callable[[Place], tuple[Header, ...]]
) -> tuple[Header, ...]:
    """Read the headers of some files of a folder; remote files are read at the same time."""
    by_file = of_each(folder, names, read)
    return tuple(header for headers in by_file for header in headers)


def of_each(folder: Place, names: Sequence[str], call: Callable[[Place], T]) -> list[T]:
    """Call a function for the path of each file; for remote files, at the same time."""
    if isinstance(folder, Path):
        return [call(folder / name) for name in names]
    return concurrently(lambda name: call(folder / name), names)
