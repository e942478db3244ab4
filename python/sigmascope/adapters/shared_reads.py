# SPDX-License-Identifier: BSD-3-Clause
"""Read the factor B of a remote stack once for all matrices of the stack.

The columns of one matrix are scattered over B, so each matrix reads all of B. For a file on this
machine that is cheap, since its pages stay in memory. A remote file would be downloaded again for
each matrix.
"""

from __future__ import annotations

import threading
from typing import Any

from sigmascope.checkpoint import Checkpoint
from sigmascope.checkpoint.formats.stored import StoredSource
from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import tensor_in_source

Place = tuple[ByteSource, int, int]
"""Bytes: their source, the first one, and their number."""


class LastRead:
    """The bytes of the most recently read tensor, which all threads share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[Place, bytes] | None = None

    def bytes_of(self, place: Place) -> bytes:
        """Return the bytes of a tensor, and read them only if the last call did not."""
        with self._lock:
            if self._last is None or self._last[0] != place:
                self._last = None  # frees its memory before the next read
                source, start, count = place
                content = source.read(start, count)
                if len(content) != count:
                    what = source.described(start, count)
                    raise CheckpointError(
                        f"{source.name}: {what}: {len(content)} bytes could be read"
                    )
                self._last = place, content
            return self._last[1]


class SharedBytes(ByteSource):
    """The bytes of one tensor; the first use of any byte reads all of them."""

    def __init__(self, place: Place, last: LastRead) -> None:
        self._place, self._last = place, last
        self.name, self.size = place[0].name, place[2]

    def fill(self, offset: int, memory: memoryview) -> None:
        """Copy bytes of the tensor."""
        memory[:] = self._last.bytes_of(self._place)[offset : offset + memory.nbytes]

    def identity(self) -> str:
        """Return the identity of the file, with the position of the tensor in it."""
        source, start, count = self._place
        return f"{source.identity()} {start} {count}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._place,)


def _again(place: Place) -> SharedBytes:
    return SharedBytes(place, LastRead())


def shared_matrix(weights: Checkpoint, name: str, last: LastRead) -> Matrix:
    """Return a matrix of a checkpoint; a remote matrix reads its whole tensor at once."""
    view = weights.view_of(name)
    extent = view.grid[0][0]
    stored = extent.header.stored
    plain = not extent.scaled and extent.row_stride is None and view.cut is None
    if not isinstance(stored, StoredSource) or not plain:
        return weights[name]
    source = SharedBytes((stored.source, extent.offset, extent.nbytes), last)
    matrix = tensor_in_source(source, 0, extent.stored_shape, extent.dtype)
    return matrix.T if extent.transposed else matrix
