# SPDX-License-Identifier: BSD-3-Clause
"""Microscaling weights of torchao: `MXTensor` and `NVFP4Tensor`, also as stacks of experts.

Codes are bytes of F8_E4M3 or F8_E5M2; or two codes of E2M1 in a byte, the first in the low bits; or
one code of 6 bits (E2M3, E3M2) in the low bits of a byte. `MXTensor` has an exponent of two for
each `block_size` columns. `NVFP4Tensor` has a number in F8_E4M3 for 16 columns. It may also have a
`per_tensor_scale` for all matrices or for each, which multiplies the other scales, with one
rounding to float32.

Scales may be swizzled for tensor cores: consecutive padded tiles of 128 rows and 4 columns, each
stored as 32 x 16 numbers. Row r and column c of a tile are at row r mod 32 and column
4 (r div 32) + c.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import Members, brief
from sigmascope.checkpoint.views import Located
from sigmascope.matrices.groups import GroupCodes, Packing

from .floats import with_factor
from .modules import GroupedWeight, LayoutError, Module, block_groups, read_numbers
from .tables import E2M1, E2M3, E3M2, E4M3, E5M2

KINDS = ("MXTensor", "NVFP4Tensor")
"""Classes of these weights."""

_TILE = (128, 4)
_STORED_TILE = (32, 16)


def _of_low_bits(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the numbers of bytes whose codes have 6 bits; NaN if a higher bit is set."""
    return np.concatenate([table, np.full(256 - table.size, np.nan, np.float32)])


#: By `elem_dtype`: dtype in files, bits of a code, and its numbers.
_ELEMENTS: Mapping[str, tuple[str, int, NDArray[np.float32]]] = {
    "float8_e4m3fn": ("F8_E4M3", 8, E4M3),
    "float8_e5m2": ("F8_E5M2", 8, E5M2),
    "float4_e2m1fn_x2": ("U8", 4, E2M1),
    "fp6_e2m3": ("U8", 8, _of_low_bits(E2M3)),
    "fp6_e3m2": ("U8", 8, _of_low_bits(E3M2)),
}


def microscaled_weight(
    module: Module, name: str, kind: str, data: Mapping[str, Any]
) -> GroupedWeight:
    """Interpret `_qdata` with the attributes from the metadata of its file.

    Raises
    ------
    LayoutError
        An attribute is unknown, or the tensors are not those of the layout.
    """
    nvidia = kind == "NVFP4Tensor"
    element = "float4_e2m1fn_x2" if nvidia else _element(data.get("elem_dtype"), name)
    dtype, bits, table = _ELEMENTS[element]
    codes = module.need("_qdata", (dtype,), (2, 3))
    *stack, rows, length = codes.entry.shape
    columns = 8 * length // bits
    packing = Packing((rows, columns), bits, (0, 1) if bits == 4 else (0,), word=1)
    size, swizzled = data.get("block_size"), data.get("is_swizzled_scales", False)
    if type(size) is not int or size < 1 or columns % size or (nvidia and size != 16):
        raise LayoutError(
            f"the metadata gives block_size {brief(size)} of {name}, {columns} columns"
        )
    if type(swizzled) is not bool:
        raise LayoutError(f"the metadata gives is_swizzled_scales {brief(swizzled)} of {name}")
    grid = (rows, columns // size)
    scales = module.need("_scale", ("F8_E4M3",) if nvidia else ("F8_E8M0",), (len(stack) + 2,))
    if swizzled and stack and stack[0] > 1 and rows % _TILE[0]:
        raise LayoutError(
            f"{scales.entry.name} has tiles of {_TILE[0]} rows, which {stack[0]} matrices of "
            f"{rows} rows share: not decoded"
        )
    module.check_shape(scales, (*stack, *(_tiled(grid) if swizzled else grid)))
    factor = module.find("_per_tensor_scale") if nvidia else None
    names = [scales.entry.name]
    if factor is not None:
        factor = module.need("_per_tensor_scale", ("F32",), (0, 1, 2, 3))
        module.check_shape(factor, (), *[(1,) * n for n in (1, 2, 3)], (*stack, 1, 1))
        names.append(factor.entry.name)
    inputs = module.find("_act_per_tensor_scale")
    load = partial(_load, packing, table, scales, factor, (grid, swizzled))
    return GroupedWeight(
        name,
        codes,
        packing,
        load,
        tuple(names),
        () if inputs is None else (inputs.entry.name,),
        _how(kind, element, size, scales, swizzled),
        slices=stack[0] if stack else None,
    )


def _element(dtype: Any, name: str) -> str:
    """Return the name of the type of elements, from a dtype of torch or a text."""
    stated = dict(dtype) if isinstance(dtype, Members) else {}
    text = stated.get("_data") if stated.get("_type") == "torch.dtype" else dtype
    if not isinstance(text, str) or text not in _ELEMENTS:
        raise LayoutError(f"the metadata gives elem_dtype {brief(text)} of {name}")
    return text


def _tiled(grid: tuple[int, int]) -> tuple[int, int]:
    """Return the shape in which the tiles of a grid are stored."""
    rows, columns = (-(-n // size) for n, size in zip(grid, _TILE, strict=True))
    return rows * _STORED_TILE[0], columns * _STORED_TILE[1]


def _how(kind: str, element: str, size: int, scales: Located, swizzled: bool) -> str:
    of = "" if kind == "NVFP4Tensor" else f" of {element}"
    tiles = " in tiles of 128 x 4" if swizzled else ""
    return f"torchao {kind}{of}, scale per 1 x {size} block, {scales.entry.name}{tiles}"


def _load(
    packing: Packing,
    table: NDArray[np.float32],
    scales: Located,
    factor: Located | None,
    layout: tuple[tuple[int, int], bool],
    reading: str,
    index: int,
) -> GroupCodes:
    grid, swizzled = layout
    values = read_numbers(scales, reading, index if len(scales.entry.shape) == 3 else None)
    numbers = unswizzled(values, grid) if swizzled else values
    if factor is not None:
        numbers = with_factor(numbers, factor, reading, index)
    groups = block_groups(packing.shape, (1, packing.shape[1] // grid[1]))
    return GroupCodes(packing, table, groups, np.ascontiguousarray(numbers))


def unswizzled(stored: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return the scales of swizzled tiles in rows and columns.

    Parameters
    ----------
    stored : array (32 R, 16 C)
        R x C tiles, one after the other in C order.
    grid : (int, int)
        Rows and columns of scales, at most 128 R and 4 C.

    Returns
    -------
    ndarray of float32, shape `grid`
    """
    rows, columns = stored.shape[0] // _STORED_TILE[0], stored.shape[1] // _STORED_TILE[1]
    tiles = stored.reshape(rows, columns, 32, 4, 4)  # r mod 32, r div 32, c
    whole = tiles.transpose(0, 3, 2, 1, 4).reshape(rows * _TILE[0], columns * _TILE[1])
    return whole[: grid[0], : grid[1]]
