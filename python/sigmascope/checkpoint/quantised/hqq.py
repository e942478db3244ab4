# SPDX-License-Identifier: BSD-3-Clause
"""The reason why weights of HQQ are not decoded, from their configuration and their tensors.

HQQ groups the elements of a weight along `axis`, for any meaning of its rows. It divides the
grouped array into parts to pack codes of less than 8 bits: a byte, or a word of 3-bit codes, has
one code of each part. Scales and zeros may be quantised too (`quant_scale`, `quant_zero`).
"""

from __future__ import annotations

from typing import NoReturn

from sigmascope.checkpoint.formats.jsontext import Members, brief

from .modules import LayoutError, Module

CODES = ".W_q"
"""End of the names of codes."""

PARTS = (
    *(".zero", ".meta", ".nbits", ".group_size", ".shape", ".axis", ".packing", ".compute_dtype"),
    *(".view_as_float", ".unpack_view_dtype", ".quant_scale", ".quant_zero", ".scale_q", ".zero_q"),
    *(".channel_wise", ".optimize", ".round_zero", ".offload_meta", ".encoded_state_dict"),
    ".stores_quant_config",
)
"""Ends of the names of other tensors: `state_dict` of HQQ has all its settings as tensors."""

_TOGETHER = {8: 1, 4: 2, 3: 10, 2: 4, 1: 8}
"""Codes in a byte, or in a word of 32 bits if they have 3 bits."""


def hqq_weight(module: Module) -> NoReturn:
    """Raise LayoutError, with the reason why a `W_q` is not decoded."""
    outer = module.settings.get("quant_config")
    inner = dict(outer).get("weight_quant_params") if isinstance(outer, Members) else None
    stated = dict(inner) if isinstance(inner, Members) else {}
    bits, size, axis = (stated.get(key) for key in ("nbits", "group_size", "axis"))
    codes = module.find(CODES)
    assert codes is not None
    if codes.entry.dtype not in ("U8", "I32"):
        raise LayoutError(f"{codes.entry.name} is a view of bytes as {codes.entry.dtype}")
    if bits not in _TOGETHER:
        raise LayoutError(f"the configuration gives nbits {brief(bits)}")
    groups = f"groups of {brief(size)} elements along axis {brief(axis)} of a reshaped weight"
    if bits == 8:
        raise LayoutError(f"codes of 8 bits in {groups} are not decoded")
    where = "a word" if bits == 3 else "a byte"
    raise LayoutError(
        f"codes of {bits} bits in {groups}, {_TOGETHER[bits]} distant ones in {where}, "
        "are not decoded"
    )
