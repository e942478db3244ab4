# SPDX-License-Identifier: BSD-3-Clause
"""NF4, FP4 and int8 of bitsandbytes.

4-bit: `weight` is bytes (n / 2, 1) of two codes, the first in the high half, in the order of the
elements. A byte may hold the last code of a row and the first of the next. `weight.quant_map` has
the number of each code, `weight.absmax` the scale of each run of `blocksize` elements. If nested,
absmax is bytes: their numbers in `weight.nested_quant_map` are multiplied by
`weight.nested_absmax`, and `nested_offset` is added. Shape and sizes are JSON in the tensor
`weight.quant_state.bitsandbytes__nf4` or `__fp4`. A weight is number * scale in float32, rounded
once.

Int8: `weight` (out, in) and `SCB` (out,), the largest magnitude of a row. A weight is
code * SCB * (1 / 127), rounded after each product.
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

from .modules import GroupedWeight, LayoutError, Module, block_groups, read_integers, read_numbers
from .tables import SIGNED_BYTES

KINDS = ("nf4", "fp4")

_STATE = ".quant_state.bitsandbytes__"
_MOST_STATE = 1 << 16


@dataclass(frozen=True, slots=True)
class _Nested:
    """Scales that are codes themselves."""

    table: Located
    scales: Located
    block: int
    offset: float


def four_bit_weight(module: Module) -> GroupedWeight:
    """Interpret a `weight` of bytes.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout, or its state cannot be read.
    """
    if module.settings.get("load_in_4bit") is False:
        raise LayoutError("the configuration gives load_in_4bit False")
    codes = module.need(".weight", ("U8",), (1, 2))
    kind, state_of = _state_of(module)
    state = _state(state_of)
    block, shape = _size(state, "blocksize"), _shape(state, codes)
    maps = module.need(".weight.quant_map", ("F32",), (1,))
    module.check_shape(maps, (16,))
    nested = _nested(module, state)
    dtypes = ("F32",) if nested is None else ("U8",)
    scales = module.need(".weight.absmax", dtypes, (1,))
    module.check_shape(scales, (-(-prod(shape) // block),))
    packing = Packing(shape, 4, (1, 0), word=1, block=_block_of_sequence(shape[1], block))
    load = partial(_load, packing, block, (scales, maps), nested)
    names = [scales.entry.name]
    others = [maps.entry.name, state_of.entry.name]
    if nested is not None:
        names.append(nested.scales.entry.name)
        others.append(nested.table.entry.name)
    double = "" if nested is None else ", scales are codes of 8 bits"
    how = f"bitsandbytes {kind}, scale per {block} elements{double}"
    name = module.stem + ".weight"
    return GroupedWeight(name, codes, packing, load, tuple(names), tuple(others), how)


def byte_rows(module: Module) -> GroupedWeight:
    """Interpret a `weight` of int8 with a scale per row.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout.
    """
    codes = module.need(".weight", ("I8",), (2,))
    scales = module.need(".SCB", ("F32",), (1, 2))
    rows, columns = codes.entry.shape
    module.check_shape(scales, (rows,), (rows, 1), (1, rows))
    others: list[str] = []
    if module.find(".weight_format") is not None:
        kind = module.need(".weight_format", ("U8",), (0, 1))
        others.append(kind.entry.name)
        if read_integers(kind, "buffered").any():
            raise LayoutError(f"{kind.entry.name} is not 0: the order of the codes is not decoded")
    packing = Packing((rows, columns), 8, (0,), word=1)
    how, name = f"bitsandbytes int8, scale per row, {scales.entry.name}", module.stem + ".weight"
    load = partial(_load_rows, packing, scales)
    return GroupedWeight(name, codes, packing, load, (scales.entry.name,), tuple(others), how)


def _state_of(module: Module) -> tuple[str, Located]:
    kinds = [kind for kind in KINDS if module.find(f".weight{_STATE}{kind}") is not None]
    if len(kinds) != 1:
        raise LayoutError(f"there is no {module.stem}.weight{_STATE}nf4, nor one with fp4")
    return kinds[0], module.need(f".weight{_STATE}{kinds[0]}", ("U8",), (1,))


def _state(tensor: Located) -> Mapping[str, Any]:
    name = tensor.entry.name
    if tensor.entry.nbytes > _MOST_STATE:
        raise LayoutError(f"{name} has {tensor.entry.nbytes} bytes, above {_MOST_STATE}")
    try:
        state = parse_json(read_integers(tensor, "buffered").tobytes(), name)
        if isinstance(state, Members):
            return unique(state, name)
    except CheckpointError as error:
        raise LayoutError(str(error)) from None
    raise LayoutError(f"{name} is not a JSON object")


def _size(state: Mapping[str, Any], key: str) -> int:
    value = state.get(key)
    if type(value) is not int or value < 1:
        raise LayoutError(f"the state gives {key} {brief(value)}")
    return value


def _shape(state: Mapping[str, Any], codes: Located) -> tuple[int, int]:
    shape = state.get("shape")
    if (
        type(shape) is not list
        or len(shape) != 2
        or not all(type(n) is int and n > 0 for n in shape)
    ):
        raise LayoutError(f"the state gives shape {brief(shape)}, which is not a matrix")
    rows, columns = shape
    if -(-rows * columns // 2) != codes.entry.nbytes:
        raise LayoutError(
            f"{codes.entry.name} has {codes.entry.nbytes} bytes, where {rows} x {columns} codes "
            f"have {-(-rows * columns // 2)}"
        )
    return rows, columns


def _nested(module: Module, state: Mapping[str, Any]) -> _Nested | None:
    if module.find(".weight.nested_absmax") is None:
        return None
    table = module.need(".weight.nested_quant_map", ("F32",), (1,))
    module.check_shape(table, (256,))
    scales = module.need(".weight.nested_absmax", ("F32",), (1,))
    offset = state.get("nested_offset")
    if not isinstance(offset, int | float):
        raise LayoutError(f"the state gives nested_offset {brief(offset)}")
    block = _size(state, "nested_blocksize")
    count = module.need(".weight.absmax", ("U8",), (1,)).entry.shape[0]
    module.check_shape(scales, (-(-count // block),))
    return _Nested(table, scales, block, float(offset))


def _load(
    packing: Packing,
    block: int,
    parts: tuple[Located, Located],
    nested: _Nested | None,
    reading: str,
    _: int,
) -> GroupCodes:
    if nested is None:
        scales = read_numbers(parts[0], reading).ravel()
    else:
        codes = read_integers(parts[0], reading)
        table = read_numbers(nested.table, reading).ravel()
        outer = read_numbers(nested.scales, reading).ravel()[np.arange(codes.size) // nested.block]
        scales = table[codes] * outer + np.float32(nested.offset)
    table16: NDArray[np.float32] = read_numbers(parts[1], reading).ravel()
    groups, grid = _grid(scales, packing, block)
    return GroupCodes(packing, table16, groups, grid)


def _block_of_sequence(columns: int, block: int) -> int:
    """Return the block if rows end within a byte, or it is neither part of a row nor whole rows."""
    return block if columns % 2 or (block % columns and columns % block) else 0


def _grid(
    scales: NDArray[np.float32], packing: Packing, block: int
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]]:
    """Return the groups of rows and columns, and the scales of their grid."""
    rows, columns = packing.shape
    if packing.block:
        return block_groups((0, 0), (1, 1)), scales.reshape(1, -1)
    if block % columns == 0:
        return block_groups(packing.shape, (block // columns, columns)), scales.reshape(-1, 1)
    return block_groups(packing.shape, (1, block)), scales.reshape(rows, -1)


def _load_rows(packing: Packing, scales: Located, reading: str, _: int) -> GroupCodes:
    rows, columns = packing.shape
    grid = read_numbers(scales, reading).reshape(rows, 1)
    groups = block_groups(packing.shape, (1, columns))
    return GroupCodes(packing, SIGNED_BYTES, groups, grid, factor=float(np.float32(1 / 127)))
