# SPDX-License-Identifier: BSD-3-Clause
"""NVFP4, MXFP4 and MXFP6 of compressed-tensors and modelopt: floating point codes in bytes.

Two codes of 4 bits (E2M1) fill a byte, and four codes of 6 bits (E2M3) fill three bytes, with the
first code in the lowest bits. NVFP4 has a scale in F8_E4M3 for 16 columns and a scale of the
tensor: compressed-tensors divides by its `weight_global_scale`, modelopt multiplies by its
`weight_scale_2`. The scale of a group is rounded to float32 before it multiplies the code. MXFP4
and MXFP6 have an exponent of two for 32 columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.checkpoint.views import Located
from sigmascope.errors import CheckpointError
from sigmascope.matrices.groups import GroupCodes, Packing

from .modules import GroupedWeight, LayoutError, Module, block_groups, read_numbers
from .tables import E2M1, E2M3


@dataclass(frozen=True, slots=True)
class _Kind:
    """Codes of a few bits that share bytes, and the columns that share a scale."""

    name: str
    bits: int
    order: tuple[int, ...]
    table: NDArray[np.float32]
    size: int

    def columns(self, nbytes: int) -> int:
        """Return the number of codes in a row of bytes."""
        return 8 * nbytes // self.bits

    @property
    def scales(self) -> tuple[str, ...]:
        """Dtypes of scales: numbers for NVFP4, exponents for the other kinds."""
        return ("F8_E4M3",) if self.size == 16 else ("U8", "F8_E8M0")


_NVFP4 = _Kind("NVFP4", 4, (0, 1), E2M1, 16)
_MX = (_Kind("MXFP4", 4, (0, 1), E2M1, 32), _Kind("MXFP6", 6, (0, 1, 2, 3), E2M3, 32))
_FORMATS = {f"{kind.name.lower()}-pack-quantized": kind for kind in (_NVFP4, *_MX)}
_ALGORITHMS = ("NVFP4", "NVFP4_AWQ", "W4A16_NVFP4", "MIXED_PRECISION")


def packed_bytes(module: Module) -> GroupedWeight:
    """Interpret the bytes `weight_packed` of compressed-tensors.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    stated = module.settings.get("format")
    codes = module.need(".weight_packed", ("U8",), (2,))
    kind = _FORMATS.get(stated) if isinstance(stated, str) else None
    if stated == "mixed-precision":
        kind = _kind_of(module, codes)
    if kind is None:
        raise LayoutError(f"the configuration gives format {brief(stated)}, not that of bytes")
    if kind.size == 32:
        return _weight(module, codes, None, kind)
    return _weight(module, codes, module.need(".weight_global_scale", ("F32",), (0, 1)), kind)


def modelopt_weight(module: Module) -> GroupedWeight:
    """Interpret the bytes `weight` of modelopt.

    Raises
    ------
    LayoutError
        Its tensors do not fit the layout that the configuration names.
    """
    check_algorithm(module)
    codes = module.need(".weight", ("U8",), (2,))
    return _weight(module, codes, module.need(".weight_scale_2", ("F32",), (0, 1)), _NVFP4)


def check_algorithm(module: Module) -> None:
    """Raise LayoutError unless the configuration of modelopt names NVFP4."""
    stated = module.settings.get("quant_algo")
    if stated not in _ALGORITHMS:
        raise LayoutError(f"the configuration gives quant_algo {brief(stated)}, not NVFP4")


def _kind_of(module: Module, codes: Located) -> _Kind | None:
    """Return the kind of this weight in a model of several kinds, from the number of scales."""
    if module.find(".weight_global_scale") is not None:
        return _NVFP4
    rows, nbytes = codes.entry.shape
    scales = module.need(".weight_scale", _MX[0].scales, (2,)).entry.shape
    fitting = (k for k in _MX if scales == (rows, -(-k.columns(nbytes) // k.size)))
    return next(fitting, None)


def _weight(module: Module, codes: Located, factor: Located | None, kind: _Kind) -> GroupedWeight:
    rows, columns = codes.entry.shape[0], kind.columns(codes.entry.shape[1])
    scales = module.need(".weight_scale", kind.scales, (2,))
    module.check_shape(scales, (rows, -(-columns // kind.size)))
    packing = Packing((rows, columns), kind.bits, kind.order, word=1)
    if packing.nbytes != codes.entry.nbytes:
        raise LayoutError(f"{codes.entry.name} has rows that end within a code")
    names = [scales.entry.name]
    if factor is not None:
        module.check_shape(factor, (), (1,))
        names.append(factor.entry.name)
    inputs = module.find(".input_scale") or module.find(".input_global_scale")
    others = () if inputs is None else (inputs.entry.name,)
    how = f"{kind.name}, scale per 1 x {kind.size} block, {scales.entry.name}"
    load = partial(_load, packing, scales, factor, kind)
    return GroupedWeight(module.stem + ".weight", codes, packing, load, tuple(names), others, how)


def _load(
    packing: Packing, scales: Located, factor: Located | None, kind: _Kind, reading: str, _: int
) -> GroupCodes:
    grid = read_numbers(scales, reading, exponents=factor is None)
    if factor is not None:
        grid = with_factor(grid, factor, reading)
    return GroupCodes(packing, kind.table, block_groups(packing.shape, (1, kind.size)), grid)


def with_factor(
    grid: NDArray[np.float32], factor: Located, reading: str, index: int = 0
) -> NDArray[np.float32]:
    """Apply the scale of the tensor in float32; a stack has one scale, or one for each slice."""
    numbers = read_numbers(factor, reading).ravel()
    number = numbers[index if numbers.size > 1 else 0]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        divided = factor.entry.name.endswith("global_scale")
        scales: NDArray[np.float32] = grid / number if divided else grid * number
    if not np.isfinite(scales).all():
        raise CheckpointError(
            f"{factor.header.path}: tensor {factor.entry.name!r} is {number}, which makes scales "
            "that are NaN or infinite"
        )
    return scales
