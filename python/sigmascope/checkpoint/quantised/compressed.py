# SPDX-License-Identifier: BSD-3-Clause
"""Integers of compressed-tensors (llm-compressor, vLLM).

`pack-quantized`: `weight_packed` has 32-bit words of codes along rows, and `weight_shape` the shape
of the weight. Scales are per group, channel or tensor; zeros are packed along the columns of their
grid. The least integer is stored as 0. From version 0.18 on, codes whose bits do not divide 32
cross words; in earlier versions, a word has as many codes as fit. The number of words shows which
version wrote them, or else the configuration does. Experts are stacked.

`int-quantized`: `weight` is bytes. A weight is (code - zero) * scale: the difference is exact, and
the product is rounded once.

The fp8 weights of `float-quantized` are matrices with scales, as in other layouts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import Members, brief
from sigmascope.checkpoint.views import Located
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import (
    FLOATS,
    GroupedWeight,
    GroupTensors,
    LayoutError,
    Module,
    block_groups,
    groups_of,
    read_groups,
    read_integers,
    read_numbers,
)
from .tables import SIGNED_BYTES, dense, integers, natural, unpacked

_DENSE_SINCE = (0, 18)


def packed_weight(module: Module) -> GroupedWeight:
    """Interpret `weight_packed` in 32-bit words.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    _check_format(module, "pack-quantized")
    codes = module.need(".weight_packed", ("I32",), (2, 3))
    shape = _shape(module, codes)
    scheme = _scheme(module, lambda each: _fits_words(each, module, codes, shape))
    bits = _integer(scheme, "num_bits", codes)
    packing = Packing(shape, bits, _orders(bits, module, codes, shape[1])[0])
    stack = codes.entry.shape[:-2]
    scales, size = _scales(module, stack, shape, scheme)
    zeros = _zeros(module, stack, packing, scales) if scheme.get("symmetric") is False else None
    index = None if stack else _index(module, shape[1])
    tensors = GroupTensors(scales, zeros, size, index)
    load = partial(_load_integers, packing, tensors, bool(stack))
    stored_shape = module.find(".weight_shape")
    others = tensors.others + (() if stored_shape is None else (stored_shape.entry.name,))
    zero = "" if zeros is None else " and zero"
    how = f"compressed-tensors, {bits} bits, scale{zero} per {size[0]} x {size[1]} block"
    how += "" if index is None else ", by g_idx"
    name, slices = module.stem + ".weight", stack[0] if stack else None
    return GroupedWeight(
        name, codes, packing, load, (scales.entry.name,), others, how, slices=slices
    )


def byte_weight(module: Module) -> GroupedWeight:
    """Interpret a `weight` of int8.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    _check_format(module, "int-quantized", "naive-quantized")
    codes = module.need(".weight", ("I8",), (2,))
    shape = (codes.entry.shape[0], codes.entry.shape[1])
    scheme = _scheme(module, lambda each: each.get("num_bits") == 8)
    packing = Packing(shape, 8, (0,), word=1)
    scales, size = _scales(module, (), shape, scheme)
    zeros = None
    if scheme.get("symmetric") is False:
        zeros = module.need(".weight_zero_point", ("I8",), (0, 1, 2))
        module.check_shape(zeros, scales.entry.shape)
    tensors = GroupTensors(scales, zeros, size)
    load = partial(_load_integers, packing, tensors, False)
    zero = "" if zeros is None else " and zero"
    how = f"compressed-tensors, int8, scale{zero} per {size[0]} x {size[1]} block"
    name, names = module.stem + ".weight", (scales.entry.name,)
    return GroupedWeight(name, codes, packing, load, names, tensors.others, how)


def schemes(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of weights of all `config_groups`.

    Raises
    ------
    LayoutError
        The configuration has no such settings.
    """
    groups = settings.get("config_groups")
    members = [each for _, each in groups] if isinstance(groups, Members) else []
    sections = [dict(each).get("weights") for each in members if isinstance(each, Members)]
    if weights := [dict(each) for each in sections if isinstance(each, Members)]:
        return weights
    raise LayoutError("the configuration has no config_groups with weights")


def _check_format(module: Module, *formats: str) -> None:
    kind = module.settings.get("format")
    if kind not in (*formats, "mixed-precision"):
        raise LayoutError(f"the configuration gives format {brief(kind)}, not {formats[0]}")


def _shape(module: Module, codes: Located) -> tuple[int, int]:
    """Read the shape of a weight; the last words of its rows may have gaps."""
    tensor = module.need(".weight_shape", ("I64", "I32"), (1,))
    module.check_shape(tensor, (len(codes.entry.shape),))
    *leading, columns = (int(each) for each in read_integers(tensor, "buffered"))
    if tuple(leading) != codes.entry.shape[:-1] or columns < 1:
        raise LayoutError(
            f"{tensor.entry.name} is {[*leading, columns]}, where {codes.entry.name} has shape "
            f"{list(codes.entry.shape)}"
        )
    return leading[-1], columns


def _scheme(module: Module, fits: Any) -> dict[str, Any]:
    """Return the settings of the group of modules that fits a weight."""
    groups = schemes(module.settings)
    fitting = [each for each in groups if fits(each)]
    keys = ("num_bits", "symmetric", "group_size", "strategy", "type")
    if not fitting or any(each.get(key) != fitting[0].get(key) for each in fitting for key in keys):
        raise LayoutError(
            f"{len(fitting)} of {len(groups)} config_groups fit the shape of {module.stem}"
        )
    if fitting[0].get("type", "int") != "int":
        raise LayoutError(f"the configuration gives type {brief(fitting[0].get('type'))}, not int")
    return fitting[0]


def _fits_words(
    scheme: Mapping[str, Any], module: Module, codes: Located, shape: tuple[int, int]
) -> bool:
    bits = scheme.get("num_bits")
    return type(bits) is int and 1 <= bits <= 8 and bool(_orders(bits, module, codes, shape[1]))


def _orders(bits: int, module: Module, codes: Located, columns: int) -> list[tuple[int, ...]]:
    """Return the packs that give rows of this number of words; LayoutError if two do."""
    kinds = (dense(bits), natural(32 // bits))
    words = codes.entry.shape[-1]
    orders = [
        order for order in kinds if Packing((1, columns), bits, order).words(columns) == words
    ]
    if len(orders) < 2 or kinds[0] == kinds[1] or columns <= 32 // bits:
        return orders
    version = _version(module.settings.get("version"))
    if version is None:
        raise LayoutError(
            f"{codes.entry.name}: {columns} codes of {bits} bits in {words} words may or may not "
            "cross words, and the configuration gives no version"
        )
    return [kinds[0] if version >= _DENSE_SINCE else kinds[1]]


def _version(text: object) -> tuple[int, int] | None:
    """Return the first two numbers of a version."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2])) if match else None


def _integer(scheme: Mapping[str, Any], key: str, codes: Located) -> int:
    value = scheme.get(key)
    if type(value) is not int:
        raise LayoutError(f"{codes.entry.name}: the configuration gives {key} {brief(value)}")
    return value


def _scales(
    module: Module, stack: tuple[int, ...], shape: tuple[int, int], scheme: Mapping[str, Any]
) -> tuple[Located, tuple[int, int]]:
    """Return the scales, and the rows and columns that share one."""
    scales = module.need(".weight_scale", FLOATS, (len(stack) + 2,) if stack else (0, 1, 2))
    rows, columns = shape
    strategy = scheme.get("strategy")
    if strategy == "tensor" and not stack:
        module.check_shape(scales, (), (1,), (1, 1))
        return scales, shape
    if strategy == "channel":
        module.check_shape(scales, (*stack, rows, 1), (*stack, rows))
        return scales, (1, columns)
    groups = scales.entry.shape[-1] if scales.entry.shape else 1
    if strategy == "block":
        block = _block(scheme, scales)
        module.check_shape(scales, (*stack, -(-rows // block[0]), -(-columns // block[1])))
        return scales, block
    if strategy != "group":
        raise LayoutError(f"the configuration gives strategy {brief(strategy)}")
    size = _integer(scheme, "group_size", scales)
    module.check_shape(scales, (*stack, rows, groups))
    groups_of(columns, size, groups, scales.entry.name)
    return scales, (1, size)


def _block(scheme: Mapping[str, Any], scales: Located) -> tuple[int, int]:
    block = scheme.get("block_structure")
    if type(block) is list and len(block) == 2 and all(type(n) is int and n > 0 for n in block):
        return block[0], block[1]
    raise LayoutError(
        f"{scales.entry.name}: the configuration gives block_structure {brief(block)}"
    )


def _zeros(module: Module, stack: tuple[int, ...], packing: Packing, scales: Located) -> Located:
    """Return the zeros: packed along the columns of their grid, or bytes of the grid itself."""
    zeros = module.need(".weight_zero_point", ("I32", "I8"), (0, 1, 2, 3))
    if zeros.entry.dtype == "I8":
        module.check_shape(zeros, scales.entry.shape)
        return zeros
    rows, columns = (*scales.entry.shape[len(stack) :], 1, 1)[:2]
    words = Packing((1, rows), packing.bits, packing.order).words(rows)
    module.check_shape(zeros, (*stack, words, columns))
    return zeros


def _index(module: Module, inputs: int) -> Located | None:
    if module.find(".weight_g_idx") is None:
        return None
    index = module.need(".weight_g_idx", ("I32", "I64"), (1,))
    module.check_shape(index, (inputs,))
    return index


def _load_integers(
    packing: Packing, tensors: GroupTensors, stacked: bool, reading: str, slice_: int
) -> GroupCodes:
    (rows, columns), (height, width) = packing.shape, tensors.size
    place = slice_ if stacked else None
    least = -(1 << packing.bits - 1)
    shape = (-(-rows // height), -(-columns // width))
    grid = read_numbers(tensors.scales, reading, place).reshape(shape)
    indices: NDArray[np.int32] | None = None
    if tensors.index is not None:
        indices = read_groups(tensors.index, reading, columns, grid.shape[1])
    own_rows, own_columns = block_groups(packing.shape, tensors.size)
    groups = (own_rows, own_columns if indices is None else indices)
    numbers = SIGNED_BYTES if packing.word == 1 else integers(packing.bits, least)
    if tensors.zeros is None:
        return GroupCodes(packing, numbers, groups, grid)
    stored = read_integers(tensors.zeros, reading, place)
    if tensors.zeros.entry.dtype == "I32":
        words = np.ascontiguousarray(stored.reshape(-1, shape[1]).T)
        codes = unpacked(words, packing.bits, packing.order, shape[0])
        stored = codes.T.astype(np.int32) + least
    offsets = np.ascontiguousarray(stored.reshape(grid.shape), np.float32)
    return GroupCodes(packing, numbers, groups, grid, offsets)
