# SPDX-License-Identifier: BSD-3-Clause
"""Passes over a matrix: how they read it, and the bytes that a pass of products takes."""

from __future__ import annotations

from dataclasses import dataclass

from sigmascope._host.native import _core

MIB = 2**20

TILES: bool = _core.config()["tiles"]
"""True if products are computed in tiles of bf16."""


@dataclass(frozen=True, slots=True)
class PassLayout:
    """The way in which a pass reads a matrix.

    Attributes
    ----------
    shape : (m, n)
    stored : bytes of an element, summed over overlapping tiles
    files : whether each pass reads it from files
    threads, panel_rows : as for :class:`sigmascope._execution.options.CallOptions`
    wide : whether its stored lines are longer than their number
    """

    shape: tuple[int, int]
    stored: float
    files: bool
    threads: int
    panel_rows: int = 0
    wide: bool = False

    @property
    def M(self) -> int:
        """The longer side."""
        return max(self.shape)

    @property
    def N(self) -> int:
        """The shorter side: length of basis vectors, and order of the Gram matrix."""
        return min(self.shape)


def products(layout: PassLayout, columns: int, width: int, *, both: bool = True) -> int:
    """Return the bytes of a pass of products with a block: panels, and sums of the adjoint product.

    `columns`: of the block. `width`: bytes of each of its numbers. `both`: A X and A^T (A X), else
    only one of them.
    """
    if TILES and width == 4:
        return _core.tile_pass_bytes(layout, columns, both=both)
    return _core.number_pass_bytes(layout, columns, width, both=both)


def rounded_products(layout: PassLayout, columns: int) -> int:
    """Return the bytes of a pass of both products rounded to bfloat16."""
    if TILES:
        return _core.tile_pass_bytes(layout, columns, both=True)
    return _core.bf16_pass_bytes(layout, columns)
