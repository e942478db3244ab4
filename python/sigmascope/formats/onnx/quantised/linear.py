# SPDX-License-Identifier: BSD-3-Clause
"""Codes that the operators DequantizeLinear and GatherBlockQuantized take in ONNX models.

A number is (code - zero) * scale. Both operators have a scale for every block of `block_size`
elements along one axis, in a tensor with as many axes as the codes. DequantizeLinear may instead
have a single scale, or a vector with a scale for each index of an axis. Zeros are codes of the same
type, in the shape of the scales. Codes of less than 8 bits follow each other in the order of the
elements, with the first one in the low bits.

The weight has the shape that Reshape gives to the numbers before the node that computes with them.

GatherBlockQuantized takes rows of a table. Its codes may be bytes that hold several codes along the
last axis; its zeros are then packed in the same way. Without zeros, a zero is half the number of
codes. A table has the orientation of its operator, like every weight of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension.quantised import (
    E4M3,
    E5M2,
    FLOATS,
    HEADERS,
    SIGNED_BYTES,
    SIGNED_NIBBLES,
    GroupCodes,
    GroupedWeight,
    LayoutError,
    Located,
    Module,
    Packing,
    dimensions,
    integers,
    natural,
    read_integers,
    read_numbers,
    unpacked_bytes,
)

from .inputs import inputs_of, integer_of, original_name

Shape = tuple[int, ...]
Blocks = tuple[NDArray[np.float32], NDArray[np.float32] | None]

TABLES = {
    "I8": SIGNED_BYTES,
    "U8": integers(8),
    "I4": SIGNED_NIBBLES,
    "U4": integers(4),
    "I2": np.array([0, 1, -2, -1], np.float32),
    "U2": integers(2),
    "F8_E4M3": E4M3,
    "F8_E5M2": E5M2,
}
"""Numbers of the codes of each type that is decoded."""

_AXES = (2, 3, 4, 5)
_LEAST_BLOCK = 16


def _stored_blocks(layout: CodesLayout, reading: str) -> Blocks:
    """Read scales and zeros that are stored in the grid of the blocks."""
    scales = read_numbers(layout.scales, reading).reshape(layout.grid)
    return scales, None if layout.zeros is None else _stored_zeros(layout, layout.zeros, reading)


def _stored_zeros(layout: CodesLayout, zeros: Located, reading: str) -> NDArray[np.float32]:
    """Return the zero of every block as a number, in the grid of the blocks."""
    grid, entry = layout.grid, zeros.entry
    if reading == HEADERS:
        return np.zeros(grid, np.float32)
    length = grid[-1] if layout.packed else prod(grid)
    rows = prod(grid) // length
    stored = replace(zeros, entry=replace(entry, dtype="U8", shape=(rows, entry.nbytes // rows)))
    codes = read_integers(stored, reading)
    if layout.bits < 8:
        codes = unpacked_bytes(codes, layout.bits, length)
    numbers: NDArray[np.float32] = layout.table[codes]
    return numbers.reshape(grid)


@dataclass(frozen=True, slots=True)
class CodesLayout:
    """A tensor of codes.

    Attributes
    ----------
    codes, scales, zeros
        Stored tensors.
    shape, sizes
        Extents of the codes, and of the blocks that share a scale.
    table
        Numbers of codes; if zeros are missing, the implied zero is already subtracted.
    result
        Extents of the numbers.
    packed
        True if zeros of less than 8 bits begin at a byte in each row.
    load
        Function of the layout and a file mode that returns the scales and the zeros of all blocks.
    """

    codes: Located
    scales: Located
    zeros: Located | None
    shape: Shape
    sizes: Shape
    table: NDArray[np.float32]
    result: Shape
    packed: bool = False
    load: Callable[[CodesLayout, str], Blocks] = _stored_blocks

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return (len(self.table) - 1).bit_length()

    @property
    def grid(self) -> Shape:
        """Number of blocks along each axis."""
        return tuple(-(-n // size) for n, size in zip(self.shape, self.sizes, strict=True))


def linear_weight(module: Module) -> GroupedWeight:
    """Interpret the first input of DequantizeLinear.

    Raises
    ------
    LayoutError
        Its tensors or attributes are not those of the operator.
    """
    codes = module.need("", tuple(TABLES), _AXES)
    named = inputs_of(module, codes, ("scales", "zero_points"))
    scales = named.need("scales", FLOATS, (0, 1, *_AXES))
    shape, size = codes.entry.shape, integer_of(module, "block_size")
    if size < 0:
        raise LayoutError(f"the node gives block_size {size}")
    axis = _axis(module, "axis", 1, len(shape))
    wanted: tuple[Shape, ...]
    if size:
        sizes = _along(shape, axis, size)
        wanted = (_grid(shape, sizes),)
    elif scales.entry.shape in ((), (1,)):
        sizes, wanted = shape, ((), (1,))
    else:
        sizes = tuple(1 if k == axis else n for k, n in enumerate(shape))
        wanted = ((shape[axis],),)
    named.check_shape(scales, *wanted)
    zeros = None
    if "zero_points" in named.tensors:
        zeros = named.need("zero_points", (codes.entry.dtype,), (len(scales.entry.shape),))
        named.check_shape(zeros, scales.entry.shape)
    table, result = TABLES[codes.entry.dtype], result_shape(module, shape)
    layout = CodesLayout(codes, scales, zeros, shape, sizes, table, result)
    return codes_weight(module, layout, "DequantizeLinear")


def table_weight(module: Module) -> GroupedWeight:
    """Interpret the first input of GatherBlockQuantized.

    Raises
    ------
    LayoutError
        Its tensors or attributes are not those of the operator.
    """
    codes = module.need("", ("U8", "U4", "I4"), _AXES)
    named = inputs_of(module, codes, ("scales", "zero_points"))
    packed, bits = codes.entry.dtype == "U8", integer_of(module, "bits", 4)
    size, shape = integer_of(module, "block_size", 128), codes.entry.shape
    axis = _axis(module, "quantize_axis", 1, len(shape))
    if size < _LEAST_BLOCK or size & (size - 1):
        raise LayoutError(
            f"the node gives block_size {size}, not a power of 2 from {_LEAST_BLOCK} on"
        )
    if bits not in ((2, 4, 8) if packed else (4,)):
        raise LayoutError(f"the node gives bits {bits} for codes of {codes.entry.dtype}")
    table = TABLES[codes.entry.dtype]
    if packed:
        if axis != len(shape) - 1:
            raise LayoutError(f"the node gives quantize_axis {axis}: bytes have codes of the last")
        shape = *shape[:-1], shape[-1] * (8 // bits)
        table = integers(bits)
    sizes = _along(shape, axis, size)
    grid = _grid(shape, sizes)
    scales = named.need("scales", FLOATS, (len(shape),))
    named.check_shape(scales, grid)
    zeros = None
    if "zero_points" in named.tensors:
        zeros = named.need("zero_points", (codes.entry.dtype,), (len(shape),))
        each = bits if packed else 8
        named.check_shape(zeros, (*grid[:-1], -(-grid[-1] * each // 8)))
    elif packed:
        table = table - (1 << (bits - 1))
    layout = CodesLayout(codes, scales, zeros, shape, sizes, table, shape, packed)
    return codes_weight(module, layout, "GatherBlockQuantized")


def result_shape(module: Module, shape: Shape) -> Shape:
    """Return the extents of the numbers after the nodes reshape them."""
    extents: Shape = module.settings.get("shape", shape)
    return extents if len(extents) > 1 else shape


def _axis(module: Module, key: str, default: int, count: int) -> int:
    axis = integer_of(module, key, default)
    if not -count <= axis < count:
        raise LayoutError(f"the node gives {key} {axis}, of {count} axes")
    return axis % count


def _along(shape: Shape, axis: int, size: int) -> Shape:
    return tuple(min(size, n) if k == axis else 1 for k, n in enumerate(shape))


def _grid(shape: Shape, sizes: Shape) -> Shape:
    return tuple(-(-n // size) for n, size in zip(shape, sizes, strict=True))


def codes_weight(module: Module, layout: CodesLayout, operator: str) -> GroupedWeight:
    """Return the weight: a matrix, a kernel with its outputs as rows, or a stack of matrices.

    Raises
    ------
    LayoutError
        Rows end within a byte, or the blocks of the codes are not blocks of the numbers.
    """
    entry, shape, bits = layout.codes.entry, layout.result, layout.bits
    kernel = len(shape) > 3 or entry.usage.kernel or "conv" in entry.name or 1 in shape[1:]
    stack = len(shape) == 3 and not kernel
    rows, *rest = shape[1:] if stack else shape
    columns = prod(rest)
    if columns * bits % 8:
        raise LayoutError(
            f"{entry.name} has rows of {columns} codes of {bits} bits, which end within a byte"
        )
    if shape != layout.shape and (stack or rows not in _leading_products(layout.shape)):
        raise LayoutError(f"codes {dimensions(layout.shape)} are read as {dimensions(shape)}")
    packing = Packing((rows, columns), bits, natural(8 // bits), word=1)
    zero = "" if layout.zeros is None else " and zero"
    how = f"{entry.dtype} of {operator}, scale{zero} per {dimensions(layout.sizes)} block"
    if len(rest) > 1:
        how = f"kernel {dimensions(shape)} read as {dimensions((rows, columns))}; {how}"
    zeros = () if layout.zeros is None else (layout.zeros.entry.name,)
    return GroupedWeight(
        original_name(entry.name, module),
        layout.codes,
        packing,
        partial(_load, layout, packing, stack),
        (layout.scales.entry.name,),
        zeros,
        how,
        slices=shape[0] if stack else None,
    )


def _leading_products(shape: Shape) -> list[int]:
    """Return the possible numbers of rows if leading axes of a tensor are joined."""
    return [prod(shape[:count]) for count in range(1, len(shape) + 1)]


def _load(
    layout: CodesLayout, packing: Packing, stack: bool, reading: str, index: int
) -> GroupCodes:
    scales, zeros = layout.load(layout, reading)
    shape, sizes = layout.shape, layout.sizes
    if stack:
        place = index // sizes[0]
        scales = scales[place]
        zeros = None if zeros is None else zeros[place]
        shape, sizes = shape[1:], sizes[1:]
    leading = _leading_products(shape).index(packing.shape[0]) + 1
    groups = (
        _places(shape[:leading], sizes[:leading], scales.shape[:leading]),
        _places(shape[leading:], sizes[leading:], scales.shape[leading:]),
    )
    grid = prod(scales.shape[:leading]), prod(scales.shape[leading:])
    offsets = None if zeros is None else zeros.reshape(grid)
    return GroupCodes(packing, layout.table, groups, scales.reshape(grid), offsets)


def _places(shape: Shape, sizes: Shape, grid: Shape) -> NDArray[np.int32]:
    """Return the block of each index of joined axes."""
    places = np.zeros((), np.int64)
    for n, size, blocks in zip(shape, sizes, grid, strict=True):
        places = places[..., None] * blocks + np.arange(n) // size
    return places.ravel().astype(np.int32)
