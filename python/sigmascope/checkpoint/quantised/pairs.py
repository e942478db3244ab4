# SPDX-License-Identifier: BSD-3-Clause
"""NVFP4 and MXFP4 of compressed-tensors and modelopt: two E2M1 codes to a byte, the first low.

NVFP4 has a scale in F8_E4M3 for 16 columns and one of the tensor: compressed-tensors divides by
its `weight_global_scale`, modelopt multiplies by its `weight_scale_2`. The scale of a group is
rounded to float32 before the code is multiplied by it. MXFP4 has an exponent of two for 32 columns.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.checkpoint.views import Located
from sigmascope.errors import CheckpointError
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import GroupedWeight, LayoutError, Module, by_size, read_numbers
from .tables import E2M1

_FORMATS = {"nvfp4-pack-quantized": 16, "mxfp4-pack-quantized": 32}
_ALGORITHMS = ("NVFP4", "NVFP4_AWQ", "W4A16_NVFP4", "MIXED_PRECISION")


def packed_pairs(module: Module) -> GroupedWeight:
    """Interpret `weight_packed` in bytes, as compressed-tensors has it.

    Raises
    ------
    LayoutError
        Its tensors are not those of the layout that the configuration names.
    """
    kind = module.settings.get("format")
    if kind == "mixed-precision":
        kind = next((each for each in _FORMATS if each[:5] == _kind_of(module)), kind)
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise LayoutError(f"the configuration gives format {brief(kind)}, not that of bytes")
    codes = module.need(".weight_packed", ("U8",), (2,))
    if _FORMATS[kind] == 32:
        return _weight(module, codes, None, 32)
    return _weight(module, codes, module.need(".weight_global_scale", ("F32",), (0, 1)), 16)


def modelopt_weight(module: Module) -> GroupedWeight:
    """Interpret a `weight` of bytes, as modelopt has it.

    Raises
    ------
    LayoutError
        Its tensors are not those of the layout that the configuration names.
    """
    kind = module.settings.get("quant_algo")
    if kind not in _ALGORITHMS:
        raise LayoutError(f"the configuration gives quant_algo {brief(kind)}, not NVFP4")
    codes = module.need(".weight", ("U8",), (2,))
    return _weight(module, codes, module.need(".weight_scale_2", ("F32",), (0, 1)), 16)


def _kind_of(module: Module) -> str:
    return "mxfp4" if module.find(".weight_global_scale") is None else "nvfp4"


def _weight(module: Module, codes: Located, factor: Located | None, size: int) -> GroupedWeight:
    rows, columns = codes.entry.shape[0], 2 * codes.entry.shape[1]
    dtypes = ("F8_E4M3",) if size == 16 else ("U8", "F8_E8M0")
    scales = module.need(".weight_scale", dtypes, (2,))
    module.check_shape(scales, (rows, -(-columns // size)))
    packing = Packing((rows, columns), 4, (0, 1), word=1)
    names = [scales.entry.name]
    if factor is not None:
        module.check_shape(factor, (), (1,))
        names.append(factor.entry.name)
    inputs = module.find(".input_scale") or module.find(".input_global_scale")
    others = () if inputs is None else (inputs.entry.name,)
    how = f"{'NVFP4' if size == 16 else 'MXFP4'}, scale per 1 x {size} block, {scales.entry.name}"
    load = partial(_load, packing, scales, factor, size)
    return GroupedWeight(module.stem + ".weight", codes, packing, load, tuple(names), others, how)


def _load(
    packing: Packing, scales: Located, factor: Located | None, size: int, reading: str, _: int
) -> GroupCodes:
    rows, columns = packing.shape
    grid = read_numbers(scales, reading, exponents=size == 32)
    if factor is not None:
        grid = _with_factor(grid, factor, reading)
    return GroupCodes(packing, E2M1, (by_size(rows, 1), by_size(columns, size)), grid)


def _with_factor(grid: NDArray[np.float32], factor: Located, reading: str) -> NDArray[np.float32]:
    """Apply the scale of the tensor, in float32."""
    number = read_numbers(factor, reading)[0, 0]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        divided = factor.entry.name.endswith("global_scale")
        found: NDArray[np.float32] = grid / number if divided else grid * number
    if not np.isfinite(found).all():
        raise CheckpointError(
            f"{factor.header.path}: tensor {factor.entry.name!r} is {number}, which makes scales "
            "that are NaN or infinite"
        )
    return found
