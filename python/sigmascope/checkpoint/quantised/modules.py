# SPDX-License-Identifier: BSD-3-Clause
"""The tensors of one module, some of which form a weight of codes in groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.checkpoint.views import Located
from sigmascope.errors import CheckpointError
from sigmascope.matrices.groups import GroupCodes, Packing

from .scales import HEADERS, ScaleGrid

FLOATS = ("F32", "F16", "BF16")
"""Dtypes of scales in most layouts."""

_INTEGERS = {"I64": "<i8", "I32": "<i4", "U32": "<u4", "I8": "i1", "U8": "u1"}


class LayoutError(Exception):
    """A weight does not have the form of its layout; the message is the reported reason."""


@dataclass(frozen=True, slots=True)
class GroupedWeight:
    """A weight of codes in groups; the codes stay in the file.

    Attributes
    ----------
    name : str
        Name of the original weight.
    codes : Located
        The tensor of codes.
    packing : Packing
        Places of the codes.
    load : callable
        Function of a file mode and the number of a slice. It reads the scales and everything else
        that the codes need.
    scales, others : tuple of str
        Names of the other tensors of the weight.
    how : str
        Description of the layout, for people.
    transposed : bool
        True if the stored matrix has inputs as rows.
    slices : int or None
        Number of matrices in a stack, whose codes follow each other; None for a single matrix.
    columns : int or None
        Columns of the stored matrix, if `packing` has more: the last ones are padding.
    """

    name: str
    codes: Located
    packing: Packing
    load: Callable[[str, int], GroupCodes]
    scales: tuple[str, ...]
    others: tuple[str, ...]
    how: str
    transposed: bool = False
    slices: int | None = None
    columns: int | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """The tensors whose names begin with `stem`, with the settings of the quantisation."""

    stem: str
    tensors: Mapping[str, Located]
    settings: Mapping[str, Any]

    def find(self, ending: str) -> Located | None:
        """Return a tensor of the module, or None if it is absent."""
        return self.tensors.get(self.stem + ending)

    def need(self, ending: str, dtypes: tuple[str, ...], axes: tuple[int, ...]) -> Located:
        """Return a tensor of the module, after checking its dtype and number of axes.

        Raises
        ------
        LayoutError
            There is no such tensor.
        """
        tensor = self.find(ending)
        if tensor is None:
            raise LayoutError(f"there is no {self.stem}{ending}")
        entry = tensor.entry
        if entry.dtype not in dtypes or len(entry.shape) not in axes or 0 in entry.shape:
            raise LayoutError(
                f"{entry.name} is {entry.dtype} {list(entry.shape)}, not {' or '.join(dtypes)} "
                f"with {' or '.join(map(str, axes))} axes"
            )
        if entry.strides is not None:
            raise LayoutError(f"{entry.name} is not contiguous: strides {list(entry.strides)}")
        return tensor

    def integer(self, key: str, *allowed: int) -> int:
        """Return an integer setting, which must be an allowed value if such values are given.

        Raises
        ------
        LayoutError
            The setting is missing, or has another value.
        """
        value = self.settings.get(key)
        if type(value) is not int or (allowed and value not in allowed):
            among = f", not one of {list(allowed)}" if allowed else ", not an integer"
            raise LayoutError(f"the configuration gives {key} {brief(value)}{among}")
        return value

    def check_shape(self, tensor: Located, *shapes: tuple[int, ...]) -> None:
        """Raise LayoutError unless a tensor has one of the given shapes."""
        if tensor.entry.shape not in shapes:
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise LayoutError(
                f"{tensor.entry.name} has shape {list(tensor.entry.shape)}, where {wanted} "
                "would fit the codes"
            )


@dataclass(frozen=True, slots=True)
class GroupTensors:
    """The tensors that make numbers of the codes of a weight.

    Attributes
    ----------
    scales, zeros
        The scales and the zeros of blocks; zeros are None if a layout implies them.
    size
        Rows and columns of a block.
    index
        The group of each input; None if groups follow each other.
    """

    scales: Located
    zeros: Located | None
    size: tuple[int, int]
    index: Located | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the tensors besides the scales."""
        return tuple(part.entry.name for part in (self.zeros, self.index) if part is not None)


def groups_of(inputs: int, size: int, count: int, what: str) -> None:
    """Raise LayoutError unless groups of this size divide the inputs into this many groups."""
    if size < 1 or -(-inputs // size) != count:
        raise LayoutError(f"{what} has {count} groups, not {inputs} inputs in groups of {size}")


def read_integers(tensor: Located, reading: str, index: int | None = None) -> NDArray[np.integer]:
    """Read a tensor of integers, or one slice of a stack if an index is given.

    Raises
    ------
    CheckpointError
        The file changed since it was opened, or ends early.
    """
    header, entry = tensor.header, tensor.entry
    header.check_unchanged()
    shape = entry.shape if index is None else entry.shape[1:]
    if reading == HEADERS:
        return np.ones(shape, _INTEGERS[entry.dtype])
    nbytes = np.dtype(_INTEGERS[entry.dtype]).itemsize * prod(shape)
    raw = header.read(entry.offset + (index or 0) * nbytes, nbytes, reading)
    if len(raw) != nbytes:
        raise CheckpointError(f"{header.path}: tensor {entry.name!r}: {len(raw)} of {nbytes} bytes")
    integers: NDArray[np.integer] = np.frombuffer(raw, _INTEGERS[entry.dtype])
    return integers.reshape(shape)


def read_numbers(
    tensor: Located, reading: str, index: int | None = None, *, exponents: bool = False
) -> NDArray[np.float32]:
    """Read a tensor of scales as float32, with two axes: all but the last, joined, and the last.

    If an index is given, only that slice of a stack is read.

    Raises
    ------
    CheckpointError
        The file changed, or ends early; or a number is NaN, infinite or beyond float32.
    """
    shape = tensor.entry.shape if index is None else tensor.entry.shape[1:]
    last = shape[-1] if shape else 1
    grid, first = (prod(shape) // last, last), (index or 0) * prod(shape)
    return ScaleGrid(tensor.header, tensor.entry, first, grid, (1, 1), exponents).load(reading)


def read_groups(
    tensor: Located, reading: str, inputs: int, groups: int
) -> NDArray[np.int32] | None:
    """Read the group index of each input; None if all are -1, which marks the absence of groups.

    Raises
    ------
    CheckpointError
        An index is out of range, or the file cannot be read.
    """
    indices = read_integers(tensor, reading).reshape(inputs)
    if reading == HEADERS or (indices == -1).all():
        return None
    bad = np.flatnonzero((indices < 0) | (indices >= groups))
    if bad.size:
        raise CheckpointError(
            f"{tensor.header.path}: tensor {tensor.entry.name!r}: {bad.size} of {inputs} inputs "
            f"are in no group, the first is input {bad[0]} in group {indices[bad[0]]} of {groups}"
        )
    return indices.astype(np.int32)


def by_size(count: int, size: int) -> NDArray[np.int32]:
    """Return the group index of each of `count` rows or columns, in groups of a size."""
    return (np.arange(count) // size).astype(np.int32)


def block_groups(
    shape: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the group index of each row and of each column, in blocks of a size."""
    return by_size(shape[0], size[0]), by_size(shape[1], size[1])
