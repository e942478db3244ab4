# SPDX-License-Identifier: BSD-3-Clause
"""MLX: 32-bit words of codes along rows, a scale and a bias per group.

`weight` (out, words of in), `scales` and `biases` (out, groups); experts are stacked. Codes of 3, 5
and 6 bits cross words. A weight is code * scale + bias: in float32 the product with a scale of 16
bits is exact, and the sum is rounded once. Mode `mxfp4` has exponents of two for 32 inputs, and no
biases. Settings of one module override those of the model.
"""

from __future__ import annotations

from functools import partial

from sigmascope.checkpoint.formats.jsontext import Members, brief
from sigmascope.checkpoint.views import Located
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import FLOATS, GroupedWeight, LayoutError, Module, block_groups, read_numbers
from .tables import E2M1, dense, integers


def mlx_weight(module: Module) -> GroupedWeight:
    """Interpret a `weight` of words.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    own = module.settings.get(module.stem)
    if isinstance(own, Members):
        settings = {"mode": module.settings.get("mode", "affine")} | dict(own)
        module = Module(module.stem, module.tensors, settings)
    elif own is not None:
        raise LayoutError(f"the configuration gives {module.stem} {brief(own)}")
    mode = module.settings.get("mode", "affine")
    if mode not in ("affine", "mxfp4"):
        raise LayoutError(f"mode {brief(mode)} is not decoded; only affine and mxfp4 are")
    allowed = (2, 3, 4, 5, 6, 8) if mode == "affine" else (4,)
    bits, size = module.integer("bits", *allowed), module.integer("group_size")
    codes = module.need(".weight", ("U32",), (2, 3))
    scales = module.need(".scales", FLOATS if mode == "affine" else ("U8",), (2, 3))
    *stack, rows, words = codes.entry.shape
    groups = scales.entry.shape[-1]
    module.check_shape(scales, (*stack, rows, groups))
    packing = Packing((rows, groups * size), bits, dense(bits))
    if size < 1 or 32 * words != bits * groups * size:
        raise LayoutError(
            f"{codes.entry.name} has rows of {words} words, where {groups} groups "
            f"of {size} codes of {bits} bits have {bits * groups * size / 32:g}"
        )
    biases = module.need(".biases", FLOATS, (2, 3)) if mode == "affine" else None
    if biases is not None:
        module.check_shape(biases, scales.entry.shape)
    how = f"MLX, {bits} bits, scale and bias per 1 x {size} block"
    if biases is None:
        how = f"MLX, MXFP4, scale per 1 x {size} block"
    others = () if biases is None else (biases.entry.name,)
    name = module.stem + ".weight"
    slices = stack[0] if stack else None
    load = partial(_load, packing, scales, biases, size, slices is not None)
    names = (scales.entry.name,)
    return GroupedWeight(name, codes, packing, load, names, others, how, slices=slices)


def _load(
    packing: Packing,
    scales: Located,
    biases: Located | None,
    size: int,
    stacked: bool,
    reading: str,
    index: int,
) -> GroupCodes:
    place = index if stacked else None
    groups = block_groups(packing.shape, (1, size))
    grid = read_numbers(scales, reading, place, exponents=biases is None)
    if biases is None:
        return GroupCodes(packing, E2M1, groups, grid)
    offsets = read_numbers(biases, reading, place)
    return GroupCodes(packing, integers(packing.bits), groups, grid, biases=offsets)
