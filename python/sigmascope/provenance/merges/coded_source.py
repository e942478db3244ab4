# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of a matrix of which the merged file or the base holds codes with scales."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .blocks import Block
from .coded_cells import CellReader
from .sources import MatrixSource


@dataclass(frozen=True)
class CodedSource(MatrixSource):
    """A matrix in codes, whose cells are read beside its numbers.

    Attributes
    ----------
    merged_cells
        Reads the cells of the merged numbers; None if they are stored without scales.
    base_cells
        Reads the cells of the base's numbers; None if they are stored without scales.
    decoded
        True if the merger had the base's decoded numbers, rounded to the format of the base; False
        if it had those from which the base was quantised.
    """

    merged_cells: CellReader | None = None
    base_cells: CellReader | None = None
    decoded: bool = True

    def _block(self, rows: slice, columns: slice) -> Block:
        block = MatrixSource._block(self, rows, columns)
        if self.merged_cells is not None:
            block = replace(block, coded=self.merged_cells.cells(rows, columns))
        if self.base_cells is None:
            return block
        base = block.base
        if self.decoded:
            error = self.base_cells.decoding_error * np.abs(base)
            low, high = (self.formats.base.round(end) for end in (base - error, base + error))
            base = self.formats.base.round(base)
        else:
            low, high = self.base_cells.cells(rows, columns)
        with np.errstate(invalid="ignore"):
            reach = np.maximum(base - low, high - base)
        return replace(block, base=base, unsure=np.where(np.isnan(reach), 0.0, reach))
