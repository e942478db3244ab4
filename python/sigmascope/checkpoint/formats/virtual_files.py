# SPDX-License-Identifier: BSD-3-Clause
"""Tensors whose bytes are made when they are read, one after another in a virtual file."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence

from sigmascope.errors import CheckpointError
from sigmascope.matrices.byte_source import ByteSource

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
        """Read as many bytes as `memory` has, from byte `start` of a tensor on."""
