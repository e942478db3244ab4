# SPDX-License-Identifier: BSD-3-Clause
"""Integers of compressed-tensors (llm-compressor, vLLM).

`pack-quantized`: `weight_packed`, 32-bit words of codes along rows, the shape of the weight in
`weight_shape`, scales per group, channel or tensor, zeros packed along the columns of their grid.
Integers are stored above the least one. Codes whose bits do not divide 32 cross words in versions
from 0.19 on; a word of version 0.15 has as many as fit; the number of words tells which.
`int-quantized`: bytes `weight`. A weight is (code - zero) * scale: the difference is exact, and the
product is rounded once. The fp8 weights of `float-quantized` are matrices with scales, as those of
other layouts.
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

from .modules import (
    FLOATS,
    GroupedWeight,
    LayoutError,
    Module,
    by_size,
    groups_of,
    read_groups,
    read_integers,
    read_numbers,
)
from .tables import SIGNED_BYTES, dense, integers, natural, unpacked


def packed_weight(module: Module) -> GroupedWeight:
    """Interpret `weight_packed` in 32-bit words.

    Raises
    ------
    LayoutError
        Its tensors are not those of the layout that the configuration names.
    """
    _check_format(module, "pack-quantized")
    codes = module.need(".weight_packed", ("I32",), (2,))
    shape = _shape(module, codes)
    scheme = _scheme(module, lambda each: _fits_words(each, codes, shape))
    bits = _integer(scheme, "num_bits", codes)
    packing = Packing(shape, bits, _orders(bits, codes, shape[1])[0])
    scales, size = _scales(module, shape, scheme)
    zeros = _zeros(module, packing, scales) if scheme.get("symmetric") is False else None
    index = _index(module, shape[1])
    load = partial(_load_integers, packing, scales, zeros, index, size, None)
    others = [part for part in (zeros, index, module.find(".weight_shape")) if part is not None]
    zero = "" if zeros is None else " and zero"
    how = f"compressed-tensors, {bits} bits, scale{zero} per {size[0]} x {size[1]} block"
    how += "" if index is None else ", by g_idx"
    names = tuple(part.entry.name for part in others)
    return GroupedWeight(
        module.stem + ".weight", codes, packing, load, (scales.entry.name,), names, how
    )


def byte_weight(module: Module) -> GroupedWeight:
    """Interpret a `weight` of int8.

    Raises
    ------
    LayoutError
        Its tensors are not those of the layout that the configuration names.
    """
    _check_format(module, "int-quantized", "naive-quantized")
    codes = module.need(".weight", ("I8",), (2,))
    shape = (codes.entry.shape[0], codes.entry.shape[1])
    scheme = _scheme(module, lambda each: each.get("num_bits") == 8)
    packing = Packing(shape, 8, (0,), word=1)
    scales, size = _scales(module, shape, scheme)
    zeros = None
    if scheme.get("symmetric") is False:
        zeros = module.need(".weight_zero_point", ("I8",), (0, 1, 2))
        module.check_shape(zeros, scales.entry.shape)
    load = partial(_load_integers, packing, scales, zeros, None, size, SIGNED_BYTES)
    zero = "" if zeros is None else " and zero"
    how = f"compressed-tensors, int8, scale{zero} per {size[0]} x {size[1]} block"
    others = () if zeros is None else (zeros.entry.name,)
    name = module.stem + ".weight"
    return GroupedWeight(name, codes, packing, load, (scales.entry.name,), others, how)


def schemes(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings of weights of all `config_groups`.

    Raises
    ------
    LayoutError
        There are none.
    """
    groups = settings.get("config_groups")
    members = [each for _, each in groups] if isinstance(groups, Members) else []
    found = [dict(each).get("weights") for each in members if isinstance(each, Members)]
    if weights := [dict(each) for each in found if isinstance(each, Members)]:
        return weights
    raise LayoutError("the configuration has no config_groups with weights")


def _check_format(module: Module, *formats: str) -> None:
    kind = module.settings.get("format")
    if kind not in (*formats, "mixed-precision"):
        raise LayoutError(f"the configuration gives format {brief(kind)}, not {formats[0]}")


def _shape(module: Module, codes: Located) -> tuple[int, int]:
    """Read the shape of a weight, of which the last words of a row may have gaps."""
    tensor = module.need(".weight_shape", ("I64", "I32"), (1,))
    module.check_shape(tensor, (2,))
    rows, columns = (int(each) for each in read_integers(tensor, "buffered"))
    if rows != codes.entry.shape[0] or columns < 1:
        raise LayoutError(
            f"{tensor.entry.name} is [{rows}, {columns}], where {codes.entry.name} has "
            f"{codes.entry.shape[0]} rows"
        )
    return rows, columns


def _scheme(module: Module, fits: Any) -> dict[str, Any]:
    """Return the settings of the group of modules that a weight belongs to, by what fits it."""
    found = schemes(module.settings)
    fitting = [each for each in found if fits(each)]
    keys = ("num_bits", "symmetric", "group_size", "strategy", "type")
    if not fitting or any(each.get(key) != fitting[0].get(key) for each in fitting for key in keys):
        raise LayoutError(
            f"{len(fitting)} of {len(found)} config_groups fit the shape of {module.stem}"
        )
    if fitting[0].get("type", "int") != "int":
        raise LayoutError(f"the configuration gives type {brief(fitting[0].get('type'))}, not int")
    return fitting[0]


def _fits_words(scheme: Mapping[str, Any], codes: Located, shape: tuple[int, int]) -> bool:
    bits = scheme.get("num_bits")
    return type(bits) is int and 1 <= bits <= 8 and bool(_orders(bits, codes, shape[1]))


def _orders(bits: int, codes: Located, columns: int) -> list[tuple[int, ...]]:
    """Return the packs that make rows of as many words as there are; LayoutError if two do."""
    kinds = {dense(bits), natural(32 // bits)}
    words = codes.entry.shape[1]
    found = [order for order in kinds if Packing((1, columns), bits, order).words(columns) == words]
    if len(found) == 2 and columns > 32 // bits:
        raise LayoutError(
            f"{codes.entry.name}: {columns} codes of {bits} bits in {words} words may cross words "
            "or not"
        )
    return found


def _integer(scheme: Mapping[str, Any], key: str, codes: Located) -> int:
    value = scheme.get(key)
    if type(value) is not int:
        raise LayoutError(f"{codes.entry.name}: the configuration gives {key} {brief(value)}")
    return value


def _scales(
    module: Module, shape: tuple[int, int], scheme: Mapping[str, Any]
) -> tuple[Located, tuple[int, int]]:
    """Return the scales, and the rows and columns that share one."""
    scales = module.need(".weight_scale", FLOATS, (0, 1, 2))
    rows, columns = shape
    strategy = scheme.get("strategy")
    if strategy == "tensor":
        module.check_shape(scales, (), (1,), (1, 1))
        return scales, shape
    if strategy == "channel":
        module.check_shape(scales, (rows, 1), (rows,))
        return scales, (1, columns)
    if strategy != "group":
        raise LayoutError(f"the configuration gives strategy {brief(strategy)}")
    size = _integer(scheme, "group_size", scales)
    groups = scales.entry.shape[-1] if scales.entry.shape else 1
    module.check_shape(scales, (rows, groups))
    groups_of(columns, size, groups, scales.entry.name)
    return scales, (1, size)


def _zeros(module: Module, packing: Packing, scales: Located) -> Located:
    """Return the zeros: packed along the columns of their grid, or bytes of one for a tensor."""
    zeros = module.need(".weight_zero_point", ("I32", "I8"), (0, 1, 2))
    if zeros.entry.dtype == "I8":
        module.check_shape(zeros, scales.entry.shape)
        return zeros
    rows = packing.shape[0]
    words = Packing((1, rows), packing.bits, packing.order).words(rows)
    module.check_shape(zeros, (words, (*scales.entry.shape, 1)[1]))
    return zeros


def _index(module: Module, inputs: int) -> Located | None:
    if module.find(".weight_g_idx") is None:
        return None
    index = module.need(".weight_g_idx", ("I32", "I64"), (1,))
    module.check_shape(index, (inputs,))
    return index


def _load_integers(
    packing: Packing,
    scales: Located,
    zeros: Located | None,
    index: Located | None,
    size: tuple[int, int],
    table: NDArray[np.float32] | None,
    reading: str,
    _: int,
) -> GroupCodes:
    rows, columns = packing.shape
    least = -(1 << packing.bits - 1)
    grid = read_numbers(scales, reading).reshape(-(-rows // size[0]), -(-columns // size[1]))
    found: NDArray[np.int32] | None = None
    if index is not None:
        found = read_groups(index, reading, columns, grid.shape[1])
    groups = (by_size(rows, size[0]), by_size(columns, size[1]) if found is None else found)
    numbers = integers(packing.bits, least) if table is None else table
    if zeros is None:
        return GroupCodes(packing, numbers, groups, grid)
    stored = read_integers(zeros, reading)
    if zeros.entry.dtype == "I32":
        codes = unpacked(np.ascontiguousarray(stored.T), packing.bits, packing.order, rows)
        stored = codes.T.astype(np.int32) + least
    offsets = np.ascontiguousarray(stored.reshape(grid.shape), np.float32)
    return GroupCodes(packing, numbers, groups, grid, offsets)
