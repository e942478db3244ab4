# SPDX-License-Identifier: BSD-3-Clause
"""Tensors whose bytes are made on reading, one after another in a virtual file."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

from .boxes import boxes_of
from .stored import Stored

_ALIGNMENT = 64


class VirtualFile(ByteSource):
    """A source of tensors of known sizes.

    Parameters
    ----------
    name : str
        Name in messages.
    sizes : sequence of int
        Bytes of each tensor.

    Attributes
    ----------
    starts : list of int
        First byte of each tensor.
    """

    def __init__(self, name: str, sizes: Sequence[int]) -> None:
        self.name, self.size = name, 0
        self.starts: list[int] = []
        for size in sizes:
            self.starts.append(self.size)
            self.size += -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
        self._sizes = tuple(sizes)

    def fill(self, offset: int, memory: memoryview) -> None:
        """Read bytes of one tensor."""
        index = bisect_right(self.starts, offset) - 1
        start = offset - self.starts[index]
        if start + memory.nbytes > self._sizes[index]:
            what = self.described(offset, memory.nbytes)
            raise CheckpointError(f"{self.name}: {what}, which has {self._sizes[index]} bytes")
        self.copy(index, start, memory)

    @abstractmethod
    def copy(self, index: int, start: int, memory: memoryview) -> None:
        """Fill `memory` with the bytes of a tensor that begin at byte `start`."""


class VirtualArrays(VirtualFile):
    """Arrays that a library reads by boxes, such as chunked arrays in HDF5 files and zarr stores.

    Parameters
    ----------
    name : str
        Name in messages.
    arrays : sequence of (tuple of int, int)
        Shape, and bytes of an element, of each array.
    files : sequence of Stored
        Files that show whether the arrays have changed.
    """

    def __init__(
        self, name: str, arrays: Sequence[tuple[tuple[int, ...], int]], files: Sequence[Stored]
    ) -> None:
        super().__init__(name, [prod(shape) * itemsize for shape, itemsize in arrays])
        self._extents, self._files = tuple(arrays), tuple(files)

    def copy(self, index: int, start: int, memory: memoryview) -> None:
        """Read bytes of an array: boxes of its elements, one after another."""
        self._check_unchanged()
        shape, size = self._extents[index]
        first, stop = start // size, -(-(start + memory.nbytes) // size)
        buffer = np.empty((stop - first) * size, np.uint8)
        at = 0
        for box in boxes_of(shape or (1,), first, stop - first):
            rows = slice(box.start, box.stop)
            part = np.ascontiguousarray(self.read_box(index, (*box.prefix, rows) if shape else ()))
            buffer[at : at + part.nbytes] = part.reshape(-1).view(np.uint8)
            at += part.nbytes
        self._check_unchanged()  # also after the last read, since no other check follows
        skipped = start - first * size
        memory[:] = buffer[skipped : skipped + memory.nbytes].data

    @abstractmethod
    def read_box(self, index: int, where: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a box of an array (indices of its first axes, then a slice), or CheckpointError."""

    def _check_unchanged(self) -> None:
        for stored in self._files:
            stored.check_unchanged()
