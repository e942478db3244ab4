# SPDX-License-Identifier: BSD-3-Clause
"""Weights of ONNX models that the tools of onnxruntime quantised to 8 bits.

Such a model states its producer, `onnx.quantize`. A weight `w` consists of the tensors
`w_quantized`, bytes with or without a sign, `w_scale` and `w_zero_point`. The latter two have one
number, or one for each row or column. A number is (code - zero) * scale, as in the operator
DequantizeLinear.
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from sigmascope.extension.quantised import (
    FLOATS,
    SIGNED_BYTES,
    GroupCodes,
    GroupedWeight,
    LayoutError,
    Located,
    Module,
    Packing,
    block_groups,
    dimensions,
    integers,
    read_integers,
    read_numbers,
)

CODES = "_quantized"
"""End of the names of codes."""


def bytes_weight(module: Module) -> GroupedWeight:
    """Interpret `_quantized` with its scale and zero.

    Raises
    ------
    LayoutError
        The tensors are not those of the layout, or scales could belong to rows or to columns.
    """
    codes = module.need(CODES, ("I8", "U8"), (2, 3, 4, 5))
    scales = module.need("_scale", FLOATS, (0, 1))
    zeros = module.need("_zero_point", (codes.entry.dtype,), (0, 1))
    module.check_shape(zeros, scales.entry.shape)
    rows, *rest = codes.entry.shape
    shape = rows, prod(rest)
    count = prod(scales.entry.shape)
    size = _block(codes, scales, count)
    packing = Packing(shape, 8, (0,), word=1)
    load = partial(_load, packing, scales, zeros, size)
    how = f"onnxruntime's bytes, scale and zero per {size[0]} x {size[1]} block"
    if len(rest) > 1:
        how = f"kernel {dimensions(codes.entry.shape)} read as {dimensions(shape)}; {how}"
    scale, zero = scales.entry.name, zeros.entry.name
    return GroupedWeight(module.stem, codes, packing, load, (scale,), (zero,), how)


def _block(codes: Located, scales: Located, count: int) -> tuple[int, int]:
    """Return the rows and columns that share a scale."""
    rows, *rest = codes.entry.shape
    columns = prod(rest)
    if count == 1:
        return rows, columns
    sizes = [(1, columns)] * (count == rows)
    sizes += [(rows, 1)] * (count == columns and len(rest) == 1)
    if len(sizes) != 1:
        raise LayoutError(
            f"{scales.entry.name} has {count} numbers, which are those of "
            f"{'rows or of columns' if sizes else 'neither rows nor columns'} of "
            f"{list(codes.entry.shape)}"
        )
    return sizes.pop()


def _load(
    packing: Packing,
    scales: Located,
    zeros: Located,
    size: tuple[int, int],
    reading: str,
    _: int,
) -> GroupCodes:
    rows, columns = packing.shape
    grid = (rows // size[0], columns // size[1])
    table = SIGNED_BYTES if zeros.entry.dtype == "I8" else integers(8)
    offsets = read_integers(zeros, reading).astype(np.float32).reshape(grid)
    numbers = read_numbers(scales, reading).reshape(grid)
    return GroupCodes(packing, table, block_groups(packing.shape, size), numbers, offsets)
