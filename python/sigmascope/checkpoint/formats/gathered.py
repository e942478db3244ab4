# SPDX-License-Identifier: BSD-3-Clause
"""Tensors that are cut into chunks, in one or several files, as a virtual file.

The chunks of a tensor are the cells of a grid. A range of the tensor's bytes, in C order, is
gathered from the chunks that it intersects. Only the needed bytes are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError

from .boxes import boxes_of
from .jsontext import brief
from .stored import Stored
from .virtual_files import VirtualFile


class Piece(NamedTuple):
    """A chunk of a tensor: a box of it, in C order, beginning at byte `start` of a file."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    stored: Stored
    start: int


class PiecedTensor(NamedTuple):
    """A tensor: name, shape, bytes of an element, and the pieces that cover it."""

    name: str
    shape: tuple[int, ...]
    itemsize: int
    pieces: tuple[Piece, ...]


def is_grid(shape: tuple[int, ...], boxes: Sequence[tuple[Sequence[int], Sequence[int]]]) -> bool:
    """Return whether boxes, by offsets and sizes, are all cells of a grid that covers a shape."""
    if not boxes:
        return False
    axes: list[dict[int, int]] = []
    for axis, extent in enumerate(shape):
        starts = sorted({offsets[axis] for offsets, _ in boxes})
        stops = [*starts[1:], extent]
        axes.append({start: stop - start for start, stop in zip(starts, stops, strict=True)})
        if starts[0]:
            return False
    cells = {tuple(offsets) for offsets, _ in boxes}
    sized = all(
        size == axes[axis][offsets[axis]]
        for offsets, sizes in boxes
        for axis, size in enumerate(sizes)
    )
    return sized and len(cells) == len(boxes) == prod(len(axis) for axis in axes)


class GatheredTensors(VirtualFile):
    """Tensors of a checkpoint whose chunks are joined when they are read."""

    def __init__(self, name: str, tensors: Sequence[PiecedTensor]) -> None:
        super().__init__(name, [prod(each.shape) * each.itemsize for each in tensors])
        self._tensors = tuple(tensors)

    def identity(self) -> str:
        """Return a digest of the identities of all files."""
        files = dict.fromkeys(piece.stored for each in self._tensors for piece in each.pieces)
        return sha256(repr([stored.identity() for stored in files]).encode()).hexdigest()

    def copy(self, index: int, start: int, memory: memoryview) -> None:
        """Gather bytes of a tensor."""
        tensor = self._tensors[index]
        item = tensor.itemsize
        first, stop = start // item, -(-(start + memory.nbytes) // item)
        buffer = np.empty((stop - first) * item, np.uint8)
        out = buffer.view(f"V{item}")
        for box in boxes_of(tensor.shape, first, stop - first):
            inner = tensor.shape[len(box.prefix) + 1 :]
            count = (box.stop - box.start) * prod(inner)
            part = out[:count].reshape(box.stop - box.start, *inner)
            for piece in tensor.pieces:
                _copy_rows(piece, box.prefix, box.start, part, tensor)
            out = out[count:]
        skipped = start - first * item
        memory[:] = buffer[skipped : skipped + memory.nbytes].data


def _copy_rows(
    piece: Piece, prefix: tuple[int, ...], first: int, out: NDArray[Any], tensor: PiecedTensor
) -> None:
    """Copy the elements of a piece into rows of a tensor, counted from `first` on."""
    axis = len(prefix)
    local = [index - start for index, start in zip(prefix, piece.offsets, strict=False)]
    if not all(0 <= index < size for index, size in zip(local, piece.sizes, strict=False)):
        return
    begin = max(piece.offsets[axis] - first, 0)
    end = min(piece.offsets[axis] + piece.sizes[axis] - first, len(out))
    if begin >= end:
        return
    place = 0
    for index, size in zip(local, piece.sizes, strict=False):
        place = place * size + index
    row = prod(piece.sizes[axis + 1 :]) * tensor.itemsize
    place = place * piece.sizes[axis] + first + begin - piece.offsets[axis]
    piece.stored.check_unchanged()
    raw = piece.stored.read(piece.start + place * row, (end - begin) * row, "buffered")
    if len(raw) != (end - begin) * row:
        raise CheckpointError(f"a chunk of tensor {brief(tensor.name, 200)} ends beyond its file")
    piece.stored.check_unchanged()  # also after the last read, since no other check follows
    inside = tuple(
        slice(start, start + size)
        for start, size in zip(piece.offsets[axis + 1 :], piece.sizes[axis + 1 :], strict=True)
    )
    numbers = np.frombuffer(raw, out.dtype).reshape(end - begin, *piece.sizes[axis + 1 :])
    out[(slice(begin, end), *inside)] = numbers
