# SPDX-License-Identifier: BSD-3-Clause
"""Codes that the nodes Cast, Sub and Mul of ONNX models convert to numbers.

A number is (code - zero) * scale, as for DequantizeLinear. Scales and zeros are spread over the
codes by the rules of ONNX: axes are counted from the last one, and an axis of length 1 stands for
all indices. If nodes have transposed the codes before, the transposed axes count.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension.quantised import (
    FLOATS,
    GroupedWeight,
    LayoutError,
    Located,
    Module,
    read_integers,
    read_numbers,
)

from .inputs import inputs_of
from .linear import TABLES, Blocks, CodesLayout, Shape, codes_weight, result_shape

_AXES = (2, 3, 4, 5)
_INTEGERS = ("I8", "U8", "I32", "I64")


def arithmetic_weight(module: Module) -> GroupedWeight:
    """Interpret codes that Cast and Mul convert to numbers.

    Raises
    ------
    LayoutError
        Scales or zeros do not fit, or have a dtype that is not read.
    """
    codes = module.need("", tuple(TABLES), (1, *_AXES))
    named = inputs_of(module, codes, ("scales", "zero_points"))
    shape: Shape = module.settings["scaled"]
    order: Shape = module.settings["order"]
    every = tuple(range(len(shape) + 1))
    scales, zeros = named.need("scales", FLOATS, every), None
    if "zero_points" in named.tensors:
        zeros = named.need("zero_points", (*FLOATS, *_INTEGERS), every)
    sizes = shape
    for tensor in (scales,) if zeros is None else (scales, zeros):
        grid = _spread(tensor, shape, order)
        sizes = tuple(1 if n > 1 else size for n, size in zip(grid, sizes, strict=True))
    layout = CodesLayout(
        codes,
        scales,
        zeros,
        shape,
        sizes,
        TABLES[codes.entry.dtype],
        result_shape(module, shape),
        load=partial(_blocks, order),
    )
    return codes_weight(module, layout, "Cast and Mul")


def _spread(tensor: Located, shape: Shape, order: Shape) -> Shape:
    """Return the extents of scales or zeros along the axes of the codes, in their order."""
    stored = tensor.entry.shape
    aligned = (1,) * (len(shape) - len(stored)) + stored
    codes = tuple(shape[axis] for axis in order)
    if not all(n in (1, codes[axis]) for axis, n in enumerate(aligned)):
        raise LayoutError(
            f"{tensor.entry.name} has shape {list(stored)}, which cannot be broadcast to "
            f"{list(codes)}"
        )
    return tuple(aligned[order.index(axis)] for axis in range(len(order)))


def _blocks(order: Shape, layout: CodesLayout, reading: str) -> Blocks:
    """Read scales and zeros, and spread them over the grid of the blocks."""
    scales = _numbers(layout, layout.scales, order, reading)
    zeros = layout.zeros
    return scales, None if zeros is None else _numbers(layout, zeros, order, reading)


def _numbers(
    layout: CodesLayout, tensor: Located, order: Shape, reading: str
) -> NDArray[np.float32]:
    read = read_numbers if tensor.entry.dtype in FLOATS else read_integers
    stored = tensor.entry.shape
    numbers = read(tensor, reading).reshape((1,) * (len(order) - len(stored)) + stored)
    numbers = numbers.transpose(np.argsort(order))
    return np.broadcast_to(numbers.astype(np.float32), layout.grid)
