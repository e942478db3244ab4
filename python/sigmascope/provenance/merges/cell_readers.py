# SPDX-License-Identifier: BSD-3-Clause
"""The reader of the cells of a matrix, by the layout of its codes."""

from __future__ import annotations

from dataclasses import replace

from sigmascope import Checkpoint
from sigmascope.extension.pairs import Member
from sigmascope.extension.quantised import stored_codes

from .bitsandbytes_cells import table_reader
from .coded_cells import CODED, BlockReader, CellReader, ScaledFloatReader
from .number_formats import FORMATS


def cell_reader(checkpoint: Checkpoint, member: Member) -> CellReader | None:
    """Return what reads the cells of a matrix of codes; None if its cells are not known.

    Raises
    ------
    CheckpointError
        If a file changed or ends early.
    """
    if not member.matrix:
        return None
    stored = stored_codes(checkpoint, member.key)
    if stored is None:
        return None
    if stored.layout in CODED and stored.scales is None:
        return BlockReader(CODED[stored.layout], stored.codes, member.shape[1])
    if stored.scales is None:
        return None
    scaled = CODED.get(f"{stored.layout} scaled")
    if scaled is not None:
        code_format = replace(FORMATS[stored.layout], saturates=True)
        return ScaledFloatReader(scaled, code_format, stored.codes, stored.scales)
    return table_reader(checkpoint, member, stored)
