# SPDX-License-Identifier: BSD-3-Clause
"""Weights of torchao in safetensors files, as transformers and torchao write them since 2025.

A weight `m.weight` consists of the tensors `m._weight_qdata`, `m._weight_scale` and, in some kinds,
`m._weight_zero_point`. The metadata of the file have JSON of that name: the class of the weight,
and its `block_size`, the rows and columns that share a scale. These kinds are decoded:

- `Int8Tensor` and `IntxUnpackedToInt8Tensor`: bytes with (code - zero) * scale;
- `Float8Tensor`: codes in F8_E4M3 or F8_E5M2;
- `Int4Tensor`: two signed codes in a byte, the first in the low bits, with code * scale + zero and
  the grid of scales transposed;
- the microscaling kinds.

Weights with three axes are stacks of experts. Their tensors have the axis of experts first, and a
third number of `block_size` says whether each expert has separate scales. Other kinds, whose codes
are in an order for one processor, are only named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import Members, brief, parse_json, unique
from sigmascope.checkpoint.views import Located
from sigmascope.errors import CheckpointError
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import (
    FLOATS,
    GroupedWeight,
    LayoutError,
    Module,
    block_groups,
    read_integers,
    read_numbers,
)
from .tables import E4M3, E5M2, SIGNED_BYTES, SIGNED_NIBBLES
from .torchao_microscaled import KINDS, microscaled_weight

CODES = "_qdata"
"""End of the names of codes."""

ACTIVATIONS = ("_act_quant_scale", "_act_quant_zero_point", "_act_per_tensor_scale")
"""Ends of the names of tensors that quantise inputs, which do not change the weight."""

_MOST_METADATA = 1 << 16
_BYTES = {
    "Int8Tensor": ("I8",),
    "IntxUnpackedToInt8Tensor": ("I8",),
    "Float8Tensor": ("F8_E4M3", "F8_E5M2"),
}
_TABLES = {"I8": SIGNED_BYTES, "F8_E4M3": E4M3, "F8_E5M2": E5M2}
_TILED = {
    "Int4TilePackedTo4dTensor": "its codes are in tiles for tensor cores",
    "Int4PreshuffledTensor": "its codes are shuffled for tensor cores",
    "Int4MarlinSparseTensor": "its codes are sparse, in tiles for tensor cores",
    "Int4OpaqueTensor": "its order of codes is that of one processor",
    "IntxOpaqueTensor": "its order of codes is that of one processor",
    "Int4PlainInt32Tensor": "its order of codes is that of one of two accelerators",
}


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Rows and columns that share a scale, and the grid of scales of a matrix.

    `each` is true if each matrix of a stack has a separate grid.
    """

    size: tuple[int, int]
    grid: tuple[int, int]
    each: bool
    transposed: bool


def torchao_weight(module: Module) -> GroupedWeight:
    """Interpret `_qdata` by the class that the metadata of its file name.

    Raises
    ------
    LayoutError
        The metadata lack the class, the class is not decoded, or the tensors are not those of the
        layout.
    """
    folder, _, parameter = module.stem.rpartition("._")
    name = f"{folder}.{parameter}"
    codes = module.find(CODES)
    assert codes is not None
    kind, data = _described(name, codes)
    if kind in _TILED:
        raise LayoutError(f"{name} is an {kind}: {_TILED[kind]}, not decoded")
    if kind in KINDS:
        return microscaled_weight(module, name, kind, data)
    if kind not in _BYTES and kind != "Int4Tensor":
        raise LayoutError(f"{name} is of class {brief(kind)}, which is not decoded")
    if module.find("_act_pre_scale") is not None:
        raise LayoutError(f"there is {module.stem}_act_pre_scale, which is not applied")
    nibbles = kind == "Int4Tensor"
    codes = module.need(CODES, ("U8", "I8") if nibbles else _BYTES[kind], (2, 3))
    *stack, rows, columns = codes.entry.shape
    shape = (rows, 2 * columns if nibbles else columns)
    packing = Packing(shape, 4, (0, 1), word=1) if nibbles else Packing(shape, 8, (0,), word=1)
    blocks = _blocks(data.get("block_size"), (*stack, *shape), name, nibbles)
    wanted = (*(stack if blocks.each else [1] * len(stack)), *blocks.grid)
    scales = _grid(module, "_scale", FLOATS, wanted, blocks)
    zeros = None
    if nibbles or module.find("_zero_point") is not None:
        zeros = _grid(module, "_zero_point", (*FLOATS, "I8"), wanted, blocks)
    table = SIGNED_NIBBLES if nibbles else _TABLES[codes.entry.dtype]
    load = partial(_load, packing, table, scales, zeros, blocks)
    zero = "" if zeros is None else " and zero"
    size = f"{blocks.size[0]} x {blocks.size[1]}"
    how = f"torchao {kind}, scale{zero} per {size} block, {scales.entry.name}"
    parts = [zeros, *(module.find(ending) for ending in ACTIVATIONS)]
    others = tuple(each.entry.name for each in parts if each is not None)
    count = stack[0] if stack else None
    return GroupedWeight(
        name, codes, packing, load, (scales.entry.name,), others, how, slices=count
    )


def _described(name: str, codes: Located) -> tuple[str, Mapping[str, Any]]:
    """Return the class of a weight, and its attributes."""
    text = codes.header.metadata.get(name)
    if text is None:
        raise LayoutError(f"the metadata of {codes.header.path.name} does not describe {name}")
    if len(text) > _MOST_METADATA:
        raise LayoutError(f"metadata of {name} with {len(text)} letters, above {_MOST_METADATA}")
    try:
        members = unique(parse_json(text.encode(), f"metadata of {name}"), f"metadata of {name}")
    except CheckpointError as error:
        raise LayoutError(str(error)) from None
    kind, data = members.get("_type"), members.get("_data")
    if not isinstance(kind, str) or not isinstance(data, Members):
        raise LayoutError(f"the metadata of {name} does not name a class with attributes")
    return kind, dict(data)


def _blocks(sizes: Any, shape: tuple[int, ...], name: str, transposed: bool) -> _Blocks:
    """Return the rows and columns that share a scale; all of them if the metadata give none."""
    if sizes is None or sizes == []:
        sizes = list(shape)
    if (
        type(sizes) is not list
        or len(sizes) != len(shape)
        or not all(type(n) is int and n > 0 for n in sizes)
    ):
        raise LayoutError(f"the metadata gives block_size {brief(sizes)} of {name}")
    *stacked, rows, columns = map(min, sizes, shape)
    *stack, m, n = shape
    if stacked and stacked[0] not in (1, stack[0]):
        raise LayoutError(
            f"the metadata gives block_size {brief(sizes)} of {name}: {stacked[0]} of {stack[0]} "
            "matrices share scales"
        )
    each = bool(stacked) and stacked[0] == 1
    return _Blocks((rows, columns), (-(-m // rows), -(-n // columns)), each, transposed)


def _grid(
    module: Module,
    ending: str,
    dtypes: tuple[str, ...],
    wanted: tuple[int, ...],
    blocks: _Blocks,
) -> Located:
    """Return a tensor with a number for each block; axes of length 1 do not matter."""
    tensor = module.need(ending, dtypes, (0, 1, 2, 3, 4))
    if blocks.transposed:
        wanted = (*wanted[:-2], wanted[-1], wanted[-2])
    shape = tensor.entry.shape
    first = not blocks.each or (shape and shape[0] == wanted[0])
    if not first or [n for n in shape if n != 1] != [n for n in wanted if n != 1]:
        raise LayoutError(
            f"{tensor.entry.name} has shape {list(shape)}, where {list(wanted)} would fit the codes"
        )
    return tensor


def _load(
    packing: Packing,
    table: NDArray[np.float32],
    scales: Located,
    zeros: Located | None,
    blocks: _Blocks,
    reading: str,
    index: int,
) -> GroupCodes:
    at = index if blocks.each else None
    groups = block_groups(packing.shape, blocks.size)
    numbers = _oriented(read_numbers(scales, reading, at), blocks)
    if zeros is None:
        return GroupCodes(packing, table, groups, numbers)
    if zeros.entry.dtype == "I8":
        stored = read_integers(zeros, reading, at).astype(np.float32)
    else:
        stored = read_numbers(zeros, reading, at)
    offsets = _oriented(stored, blocks)
    if blocks.transposed:
        return GroupCodes(packing, table, groups, numbers, biases=offsets)
    return GroupCodes(packing, table, groups, numbers, offsets)


def _oriented(numbers: NDArray[np.float32], blocks: _Blocks) -> NDArray[np.float32]:
    assert numbers.size == prod(blocks.grid)
    grid = blocks.grid
    array = numbers.reshape(grid[::-1]).T if blocks.transposed else numbers.reshape(grid)
    return np.ascontiguousarray(array)
