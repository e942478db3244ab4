# SPDX-License-Identifier: BSD-3-Clause
"""Codes of the experts of a layer that the operator QMoE of onnxruntime takes in ONNX models.

The weights of a layer are bytes (experts, outputs, bytes of the inputs), with the first code in the
low bits. Scales are (experts, outputs) or, with `block_size`, (experts, outputs, blocks of inputs).
Zeros are packed along the last axis of the scales. Without zeros, a zero is half the number of
codes. A number is (code - zero) * scale, and rows are outputs, as the operator defines. Other
orders, each for one kind of processor, are not decoded: the node must say `weights_prepacked = 0`.
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

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
    read_integers,
    read_numbers,
    unpacked_bytes,
)
from sigmascope.extension.readers import brief

from .inputs import inputs_of, integer_of, original_name, use_of

_BITS = (2, 4, 8)
_PLACES = {2: "fc1", 5: "fc2", 8: "fc3"}


def experts_weight(module: Module) -> GroupedWeight:
    """Interpret the weights of one layer of all experts.

    Raises
    ------
    LayoutError
        Its tensors or attributes are not those of the operator, or their order is not known.
    """
    codes = module.need("", ("U8",), (3,))
    use = use_of(codes)
    named = inputs_of(module, codes, ("scales", "zero_points"))
    if (kind := module.settings.get("quant_type", "int")) != "int":
        raise LayoutError(f"the node gives quant_type {brief(kind)}, not 'int'")
    if (order := module.settings.get("weights_prepacked", -1)) != 0:
        raise LayoutError(
            f"weights_prepacked is {brief(order)}: an order for one processor, not decoded"
        )
    bits = integer_of(module, "expert_weight_bits", 4)
    bits = integer_of(module, f"{_PLACES[use.place]}_expert_weight_bits", bits)
    if bits not in _BITS:
        raise LayoutError(f"the node gives {bits} bits, not one of {list(_BITS)}")
    count, rows, nbytes = codes.entry.shape
    columns = nbytes * 8 // bits
    size = integer_of(module, "block_size")
    if size < 0 or (size and columns % size):
        raise LayoutError(f"the node gives block_size {size} for {columns} inputs")
    grid = (rows, columns // size if size else 1)
    scales = named.need("scales", FLOATS, (2, 3))
    named.check_shape(scales, (count, *grid) if size else (count, rows))
    zeros = None
    if "zero_points" in named.tensors:
        zeros = named.need("zero_points", ("U8",), (2, 3))
        packed = (rows, -(-grid[1] * bits // 8)) if size else (-(-rows * bits // 8),)
        named.check_shape(zeros, (count, *packed))
    packing = Packing((rows, columns), bits, natural(8 // bits), word=1)
    zero = "" if zeros is None else " and zero"
    return GroupedWeight(
        original_name(codes.entry.name, module),
        codes,
        packing,
        partial(_load, packing, grid, scales, zeros),
        (scales.entry.name,),
        () if zeros is None else (zeros.entry.name,),
        f"{bits} bits of QMoE, scale{zero} per {size or columns} inputs",
        slices=count,
    )


def _load(
    packing: Packing,
    grid: tuple[int, int],
    scales: Located,
    zeros: Located | None,
    reading: str,
    index: int,
) -> GroupCodes:
    groups = block_groups(packing.shape, (1, packing.shape[1] // grid[1]))
    numbers = read_numbers(scales, reading, index).reshape(grid)
    if zeros is None:
        table = integers(packing.bits, -(1 << (packing.bits - 1)))
        return GroupCodes(packing, table, groups, numbers)
    table = integers(packing.bits)
    if reading == HEADERS:
        return GroupCodes(packing, table, groups, numbers, np.zeros(grid, np.float32))
    stored = read_integers(zeros, reading, index)
    stored = stored.reshape(-1, stored.shape[-1])
    offsets = unpacked_bytes(stored, packing.bits, prod(grid) // len(stored))
    return GroupCodes(packing, table, groups, numbers, offsets.reshape(grid).astype(np.float32))
