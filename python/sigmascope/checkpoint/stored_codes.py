# SPDX-License-Identifier: BSD-3-Clause
"""The codes of a quantised matrix and the scales of its numbers, as matrices of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sigmascope.matrices.groups import GroupCodes, Packing

from .checkpoint import Checkpoint
from .formats.ggml import BLOCK_DTYPES
from .quantised.modules import block_groups
from .views import Extent, View

if TYPE_CHECKING:
    from sigmascope.matrices.matrix import Matrix


@dataclass(frozen=True, slots=True)
class StoredCodes:
    """Codes and scales of a matrix, before they are multiplied.

    Attributes
    ----------
    layout
        The layout of GGML, as "q8_0"; or the format of single codes, as "f8_e4m3"; or "groups" for
        codes with a table.
    codes
        For a layout of GGML, the bytes of the blocks, row by row. Otherwise the number of each
        code, of the shape of the matrix.
    scales
        The factor of each number, of the shape of the matrix; None for a layout of GGML, whose
        bytes hold the scales.
    """

    layout: str
    codes: Matrix
    scales: Matrix | None = None


def stored_codes(checkpoint: Checkpoint, name: str) -> StoredCodes | None:
    """Return the codes of a quantised matrix, for tools that need more than its numbers.

    Return None if it is stored without scales, if codes have zeros or are added to a bias, and if
    the codes do not lie along the rows of the matrix.

    Raises
    ------
    CheckpointError
        The file changed since the checkpoint was opened, or a scale is not finite.
    """
    view = checkpoint.view_of(name)
    extents = [extent for row in view.grid for extent in row]
    layouts = {extent.dtype for extent in extents}
    if layouts <= set(BLOCK_DTYPES.values()) and len(layouts) == 1:
        across = any(extent.transposed or extent.scale is not None for extent in extents)
        if across or (view.cut is not None and view.cut.axis == 1):
            return None
        return StoredCodes(layouts.pop(), _matrix(view, _bytes_of_blocks, checkpoint.reading))
    if not all(extent.scaled for extent in extents):
        return None
    if all(extent.scale is not None and extent.row_stride is None for extent in extents):
        codes = _matrix(view, lambda extent: replace(extent, scale=None), checkpoint.reading)
        return StoredCodes(
            layouts.pop(), codes, _matrix(view, _scales_of_floats, checkpoint.reading)
        )
    if any(_has_offsets(extent, checkpoint.reading) for extent in extents):
        return None
    codes = _matrix(view, lambda each: _changed(each, _without_scales), checkpoint.reading)
    scales = _matrix(view, lambda each: _changed(each, _without_codes), checkpoint.reading)
    return StoredCodes("groups", codes, scales)


def _matrix(view: View, change: Callable[[Extent], Extent], reading: str) -> Matrix:
    """Make the matrix of changed extents."""
    grid = tuple(tuple(change(extent) for extent in row) for row in view.grid)
    return replace(view, grid=grid).matrix(reading)


def _bytes_of_blocks(extent: Extent) -> Extent:
    rows = extent.stored_shape[0]
    shape = rows, extent.nbytes // rows
    table = np.arange(256, dtype=np.float32)
    codes = GroupCodes(
        Packing(shape, 8, (0,), word=1), table, block_groups(shape, shape), np.ones((1, 1), "f4")
    )
    return replace(extent, stored_shape=shape, groups=lambda _: codes)


def _scales_of_floats(extent: Extent) -> Extent:
    grid, shape = extent.scale, extent.stored_shape
    assert grid is not None

    def load(reading: str) -> GroupCodes:
        scales, ones = grid.load(reading), np.ones(256, np.float32)
        packing = Packing(shape, 8, (0,), word=1)
        return GroupCodes(packing, ones, block_groups(shape, grid.block), scales)

    return replace(extent, scale=None, groups=load)


def _has_offsets(extent: Extent, reading: str) -> bool:
    if extent.groups is None:
        return True
    codes = extent.groups(reading)
    return codes.zeros is not None or codes.biases is not None


def _changed(extent: Extent, change: Callable[[GroupCodes], GroupCodes]) -> Extent:
    load = extent.groups
    assert load is not None
    return replace(extent, groups=lambda reading: change(load(reading)))


def _without_scales(codes: GroupCodes) -> GroupCodes:
    return replace(codes, scales=np.ones_like(codes.scales), factor=1.0)


def _without_codes(codes: GroupCodes) -> GroupCodes:
    return replace(codes, table=np.ones_like(codes.table))
