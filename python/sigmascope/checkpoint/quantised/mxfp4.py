# SPDX-License-Identifier: BSD-3-Clause
"""MXFP4 as gpt-oss stores it: the tensors of scales, and matrices from codes.

A weight is two tensors: `*_blocks`, bytes (experts, rows, groups, 16) of two E2M1 codes each, the
first in the low half; and `*_scales`, bytes (experts, rows, groups), exponents of two biased by 127
(E8M0), one per 32 numbers of a row. The codes of the groups follow each other, so one expert is a
packed matrix of rows x 32 groups. Transformers transposes it when it decodes it (at the end of
`convert_moe_packed_tensors`), which does not change the singular values.
"""

from __future__ import annotations

from collections.abc import Mapping

from sigmascope.checkpoint.formats.entries import Header, TensorEntry

from .scales import ScaleGrid

#: Numbers that share one scale, and bytes that hold them.
GROUP, GROUP_BYTES = 32, 16

_ENDINGS = {"_blocks": "_scales", ".blocks": ".scales"}


def packed_scales(entry: TensorEntry, entries: Mapping[str, TensorEntry]) -> TensorEntry | None:
    """Return the scales of an MXFP4 weight; None if name, dtype or shape of `entry` differ."""
    ending = entry.name[-7:]
    if ending not in _ENDINGS or entry.dtype != "U8" or 0 in entry.shape:
        return None
    scales = entries.get(entry.name.removesuffix(ending) + _ENDINGS[ending])
    if scales is None or scales.dtype not in ("U8", "F8_E8M0"):
        return None
    fits = entry.shape == (*scales.shape, GROUP_BYTES) and len(scales.shape) in (2, 3)
    dense = entry.strides is None and scales.strides is None
    return scales if fits and dense else None


def packed_grid(header: Header, scales: TensorEntry, index: int) -> ScaleGrid:
    """Return the grid of the scales of one expert over its matrix."""
    rows, groups = scales.shape[-2:]
    return ScaleGrid(
        header, scales, index * rows * groups, (rows, groups), (1, GROUP), exponents=True
    )
