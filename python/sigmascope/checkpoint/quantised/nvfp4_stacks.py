# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of experts in NVFP4, as modelopt exports models whose experts are one parameter.

`gate_up_proj` or `down_proj` are bytes (experts, p, q) of two 4-bit codes, with the first in the
low bits. `…_weight_scale` has a number in F8_E4M3 for 16 inputs. Its shape shows the axis of the
inputs: (experts, p / 8, q) if each expert is stored as inputs x outputs, as in Llama 4; otherwise
(experts, p, q / 8). `…_weight_scale_2` has one number for all experts, or one for each.
"""

from __future__ import annotations

from functools import partial
from math import prod

from sigmascope.checkpoint.views import Located
from sigmascope.matrices.groups import GroupCodes, Packing

from .floats import check_algorithm, with_factor
from .modules import GroupedWeight, LayoutError, Module, block_groups, read_numbers
from .tables import E2M1

STACKS = ("gate_up_proj", "down_proj")
"""Ends of the names of stacks of experts."""

_SIZE = 16


def stacked_weight(parameter: str, module: Module) -> GroupedWeight:
    """Interpret a stack of bytes, recognised by the end of its name.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    check_algorithm(module)
    codes = module.need(parameter, ("U8",), (3,))
    count, rows, columns = codes.entry.shape
    scales = module.need(f"{parameter}_weight_scale", ("F8_E4M3",), (3,))
    half = _SIZE // 2
    along, down = (count, rows, -(-columns // half)), (count, -(-rows // half), columns)
    module.check_shape(scales, along, down)
    factor = module.need(f"{parameter}_weight_scale_2", ("F32",), (0, 1, 2, 3))
    if prod(factor.entry.shape) not in (1, count):
        wrong = list(factor.entry.shape)
        raise LayoutError(f"{factor.entry.name} has shape {wrong}, and there are {count} experts")
    is_down = scales.entry.shape == down
    shape = (2 * rows, columns) if is_down else (rows, 2 * columns)
    packing = Packing(shape, 4, (0, 1), word=1, down=is_down)
    inputs = module.find(f"{parameter}_input_scale")
    others = () if inputs is None else (inputs.entry.name,)
    block = f"{_SIZE} x 1" if is_down else f"1 x {_SIZE}"
    return GroupedWeight(
        codes.entry.name,
        codes,
        packing,
        partial(_load, packing, scales, factor),
        (scales.entry.name, factor.entry.name),
        others,
        f"NVFP4, scale per {block} block, {scales.entry.name}",
        slices=count,
    )


def _load(
    packing: Packing, scales: Located, factor: Located, reading: str, index: int
) -> GroupCodes:
    grid = with_factor(read_numbers(scales, reading, index), factor, reading, index)
    sizes = (_SIZE, 1) if packing.down else (1, _SIZE)
    return GroupCodes(packing, E2M1, block_groups(packing.shape, sizes), grid)
