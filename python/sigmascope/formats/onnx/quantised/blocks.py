# SPDX-License-Identifier: BSD-3-Clause
"""Codes in blocks that the operator MatMulNBits of onnxruntime takes in ONNX models.

The second input of a node is bytes (N, blocks, bytes of a block): for each of N outputs, the codes
of its K inputs in blocks of `block_size`. The last block is padded, and the first code is in the
low bits. Scales are (N, blocks), or flat in models of older tools. Zeros are packed like codes,
each output beginning at a byte, or are numbers with the type of the scales. Without zeros, a zero
is half the number of codes. `g_idx` has the block whose scale and zero an input uses. A weight is
(code - zero) * scale, and its rows are outputs. The node, not the names, identifies the tensors.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import CheckpointError
from sigmascope.extension.quantised import (
    FLOATS,
    HEADERS,
    GroupCodes,
    GroupedWeight,
    LayoutError,
    Located,
    Module,
    Packing,
    block_groups,
    integers,
    natural,
    read_groups,
    read_integers,
    read_numbers,
    unpacked_bytes,
)

from .inputs import inputs_of, integer_of, original_name

_BITS = (2, 4, 8)
_LEAST_BLOCK = 16
_TENSORS = ("scales", "zero_points", "g_idx")


def blocks_weight(module: Module) -> GroupedWeight:
    """Interpret the second input of a node; the node's integers are the settings.

    Raises
    ------
    LayoutError
        Its tensors are not those of the operator, or nodes disagree.
    """
    codes = module.need("", ("U8",), (3,))
    bits, size = _number(module, "bits", 4), _number(module, "block_size")
    rows, columns = _number(module, "N"), _number(module, "K")
    if bits not in _BITS:
        raise LayoutError(f"the node gives bits {bits}, not one of {list(_BITS)}")
    if size < _LEAST_BLOCK or size & (size - 1):
        raise LayoutError(
            f"the node gives block_size {size}, not a power of 2 from {_LEAST_BLOCK} on"
        )
    if kind := module.settings.get("weight_prepacked", 0):
        raise LayoutError(f"weight_prepacked is {kind}: an order for one processor, not decoded")
    blocks = -(-columns // size)
    if codes.entry.shape != (rows, blocks, size * bits // 8):
        raise LayoutError(
            f"{codes.entry.name} has shape {list(codes.entry.shape)}, where N {rows}, K {columns}, "
            f"bits {bits} and block_size {size} make {[rows, blocks, size * bits // 8]}"
        )
    named = inputs_of(module, codes, _TENSORS)
    scales = _part(named, "scales", FLOATS, (rows, blocks))
    zeros = index = None
    if "zero_points" in named.tensors:
        zeros = _zeros(named, scales, rows, blocks, bits)
    if "g_idx" in named.tensors:
        index = named.need("g_idx", ("I32",), (1,))
        named.check_shape(index, (columns,), (blocks * size,))
    packing = Packing((rows, blocks * size), bits, natural(8 // bits), word=1)
    zero = "" if zeros is None else " and zero"
    how = f"{bits} bits of MatMulNBits, scale{zero} per {size} inputs"
    how += "" if index is None else ", by g_idx"
    return GroupedWeight(
        original_name(codes.entry.name, module),
        codes,
        packing,
        partial(_load, packing, size, scales, zeros, index),
        (scales.entry.name,),
        tuple(each.entry.name for each in (zeros, index) if each is not None),
        how,
        columns=columns,
    )


def _number(module: Module, key: str, default: int = 0) -> int:
    number = integer_of(module, key, default)
    if number < 1:
        raise LayoutError(f"the node gives {key} {module.settings.get(key)}")
    return number


def _part(named: Module, what: str, dtypes: tuple[str, ...], shape: tuple[int, int]) -> Located:
    """Return a tensor with this shape; models of older tools store it flat."""
    tensor = named.need(what, dtypes, (1, 2))
    named.check_shape(tensor, shape, (shape[0] * shape[1],))
    return tensor


def _zeros(named: Module, scales: Located, rows: int, blocks: int, bits: int) -> Located:
    if named.tensors["zero_points"].entry.dtype == "U8":
        return _part(named, "zero_points", ("U8",), (rows, -(-blocks * bits // 8)))
    return _part(named, "zero_points", (scales.entry.dtype,), (rows, blocks))


def _load(
    packing: Packing,
    size: int,
    scales: Located,
    zeros: Located | None,
    index: Located | None,
    reading: str,
    _: int,
) -> GroupCodes:
    rows, columns = packing.shape
    grid = (rows, columns // size)
    of_rows, groups = block_groups(packing.shape, (1, size))
    if index is not None:
        (count,) = index.entry.shape
        indices = read_groups(index, reading, count, grid[1])
        if indices is not None:
            groups = np.zeros(columns, np.int32)  # padding may be of any group
            groups[:count] = indices
        elif reading != HEADERS:
            raise CheckpointError(
                f"{index.header.path}: tensor {index.entry.name!r}: all {count} inputs are in "
                f"group -1, of {grid[1]}"
            )
    numbers = read_numbers(scales, reading).reshape(grid)
    if zeros is None:
        table = integers(packing.bits, -(1 << (packing.bits - 1)))
        return GroupCodes(packing, table, (of_rows, groups), numbers)
    offsets = _numbers_of_zeros(zeros, reading, grid, packing.bits)
    return GroupCodes(packing, integers(packing.bits), (of_rows, groups), numbers, offsets)


def _numbers_of_zeros(
    zeros: Located, reading: str, grid: tuple[int, int], bits: int
) -> NDArray[np.float32]:
    if zeros.entry.dtype != "U8":
        return read_numbers(zeros, reading).reshape(grid)
    stored = read_integers(zeros, reading).reshape(grid[0], -1)
    return unpacked_bytes(stored, bits, grid[1]).astype(np.float32)
