# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in files whose rows are blocks of GGML, decoded when they are read."""

from __future__ import annotations

import os

from sigmascope._host.native import _core
from sigmascope.errors import CheckpointError

from .byte_source import ByteSource


def from_blocks(
    path: str | os.PathLike[str],
    offset: int,
    shape: tuple[int, int],
    layout: str,
    row_stride: int | None,
    reading: str,
) -> _core.Matrix:
    """Make the native matrix of rows of blocks without gaps.

    Raises
    ------
    ValueError
        If the rows are not whole blocks, or have gaps, or the file is to be mapped.
    CheckpointError
        If they cannot be in any file.
    """
    check_blocks(offset, shape, layout, row_stride, os.fspath(path))
    return _core.Matrix.from_blocks(path, offset, *shape, layout, reading)


def blocks_in_source(
    source: ByteSource, offset: int, shape: tuple[int, int], layout: str, row_stride: int | None
) -> _core.Matrix:
    """Make the native matrix of blocks that a Python object reads."""
    check_blocks(offset, shape, layout, row_stride, source.name)
    return _core.Matrix.from_blocks_of_source(source, offset, *shape, layout)


def check_blocks(
    offset: int, shape: tuple[int, int], layout: str, row_stride: int | None, where: str
) -> None:
    """Raise ValueError or CheckpointError unless rows of blocks can be at this offset of a file."""
    m, n = shape
    elements, nbytes = _core.block_layouts()[layout]
    row = n // elements * nbytes
    if offset < 0 or m < 0 or n < 1 or n % elements or row_stride not in (None, row):
        raise ValueError(
            f"offset {offset}, shape {shape}, row_stride {row_stride}: a row of {layout} must "
            f"consist of blocks of {elements} numbers in {nbytes} bytes, without gaps"
        )
    if offset + m * row >= 2**63 or 4 * m * n >= 2**63:
        raise CheckpointError(f"{where} cannot hold {m} rows of {row} bytes")
