# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of an array with several axes: axes of inputs, of outputs, and of matrices.

Rows of the matrix are outputs and columns are inputs, for any order of the axes in the file. If the
axes of one side are not adjacent (heads and their components, for example), the matrix consists of
blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from .formats.entries import DTYPE_BITS
from .reading import MATRIX_DTYPES, MAX_SLICES
from .views import Extent, Located

INPUTS, OUTPUTS, SPATIAL = "i", "o", "s"
"""Letters of axes: inputs, outputs, and positions of a kernel, which are inputs too."""


@dataclass(frozen=True, slots=True)
class _Axis:
    size: int
    stride: int  # in elements


Grid = tuple[tuple[Extent, ...], ...]


def matrices_of_axes(tensor: Located, axes: str) -> Iterator[tuple[dict[str, int], Grid]]:
    """Yield the matrices of an array, each with its place.

    Parameters
    ----------
    tensor : Located
        A contiguous array of floating point numbers.
    axes : str
        A letter for each axis. One or more axes have the letter of inputs, of outputs or of
        kernels; any other letter marks an axis that numbers matrices. Among the inputs, the
        positions of a kernel follow its channels, as in the weights of torch.

    Yields
    ------
    place : dict
        Index of the matrix on each of the other axes, by letter.
    grid : tuple
        Its rows of blocks, as in :class:`~sigmascope.checkpoint.views.View`.
    """
    shape = tensor.entry.shape
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    every = [_Axis(*each) for each in zip(shape, strides, strict=True)]
    of = {letter: [every[k] for k in range(len(axes)) if axes[k] == letter] for letter in axes}
    outputs = of.pop(OUTPUTS)
    inputs = of.pop(INPUTS) + of.pop(SPATIAL, [])
    others = [(letter, axis) for letter, (axis,) in of.items()]
    for place in product(*(range(axis.size) for _, axis in others)):
        start = sum(at * axis.stride for at, (_, axis) in zip(place, others, strict=True))
        letters = dict(zip((letter for letter, _ in others), place, strict=True))
        yield letters, _blocks(tensor, start, outputs, inputs)


def number_of_tiles(shape: Sequence[int], axes: str) -> int:
    """Return the largest possible number of matrices and blocks, from all axes but two."""
    inner = (axes.rindex(OUTPUTS), max(axes.rfind(INPUTS), axes.rfind(SPATIAL)))
    return prod(size for axis, size in enumerate(shape) if axis not in inner)


def is_readable(tensor: Located, axes: str) -> bool:
    """Return whether an array can be read as matrices: plain numbers, and not too many tiles."""
    entry = tensor.entry
    plain = entry.dtype in ("F64", "F32", "F16", "BF16") and entry.strides is None
    return plain and 0 not in entry.shape and number_of_tiles(entry.shape, axes) <= MAX_SLICES


def _blocks(tensor: Located, start: int, outputs: Sequence[_Axis], inputs: Sequence[_Axis]) -> Grid:
    row_starts, rows = _merged(outputs)
    column_starts, columns = _merged(inputs)
    return tuple(
        tuple(_extent(tensor, start + row + column, rows, columns) for column in column_starts)
        for row in row_starts
    )


def _merged(axes: Sequence[_Axis]) -> tuple[list[int], _Axis]:
    """Merge the adjacent last axes of a side; return the starts of blocks along its other axes."""
    *outer, merged = axes
    while outer and outer[-1].stride == merged.size * merged.stride:
        merged = _Axis(outer.pop().size * merged.size, merged.stride)
    places = product(*(range(0, axis.size * axis.stride, axis.stride) for axis in outer))
    return [sum(place) for place in places], merged


def _extent(tensor: Located, start: int, rows: _Axis, columns: _Axis) -> Extent:
    """Return one block, which is contiguous along one side."""
    entry = tensor.entry
    size = DTYPE_BITS[entry.dtype] // 8
    turned = rows.stride == 1 and columns.stride != 1
    down, along = (columns, rows) if turned else (rows, columns)
    assert along.stride == 1
    together = down.size == 1 or down.stride == along.size
    return Extent(
        tensor.header,
        entry.offset + start * size,
        (down.size, along.size),
        MATRIX_DTYPES[entry.dtype],
        rows.size * columns.size * size,
        row_stride=None if together else down.stride * size,
        transposed=turned,
    )
