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
        Reads the cells of the base's numbers, if the merger had those from which the base was
        quantised; None if it had the decoded ones.
    """

    merged_cells: CellReader | None = None
    base_cells: CellReader | None = None

    def _block(self, rows: slice, columns: slice) -> Block:
        block = MatrixSource._block(self, rows, columns)
        if self.merged_cells is not None:
            block = replace(block, coded=self.merged_cells.cells(rows, columns))
        if self.base_cells is None:
            return block
        low, high = self.base_cells.cells(rows, columns)
        return replace(block, unsure=np.maximum(block.base - low, high - block.base))
