# SPDX-License-Identifier: BSD-3-Clause
"""Reading of a matrix by one call: the layout of its passes, and copies that it reads instead."""

from __future__ import annotations

from sigmascope._host.native import _core
from sigmascope._host.threads import useful_threads
from sigmascope.matrices.matrix import Matrix

from .options import CallOptions
from .passes import MIB, TILES, PassLayout

_FEW_LAYERS, _CACHED = 4, 64 * MIB


def layout_of(
    a: Matrix, options: CallOptions, panel_rows: int | None = None, *, held: bool = False
) -> PassLayout:
    """Return how `a` is read, if its stored bytes are held or are not."""
    files, by_columns = options.file_nbytes(a) > 0 and not held, a._native.column_major
    rows = options.panel_rows if panel_rows is None else panel_rows
    wide = (a.shape[0] < a.shape[1]) != by_columns
    threads = useful_threads(options.threads, a.size)
    return PassLayout(a.shape, a.nbytes / a.size, files, threads, rows, wide)


def copy_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of a copy that steps would read: rounded, or the sum of overlapping tiles.

    A sum of few layers is added up as fast as it is read, unless that is twice a step, or a sum
    that the cache holds in the parts that products want.
    """
    if options.executor is not None or options.device.index is not None:
        return 0
    if options.precision == "float64":
        return 0
    if options.precision == "mixed":
        width = 2 * (a.storage != "bf16")
    else:
        layers = a._native.layers
        parts = TILES and options.precision == "split" and 4 * a.size <= _CACHED
        width = 4 * (layers > 1 and (layout_of(a, options).wide or layers > _FEW_LAYERS or parts))
    return width * (a.size + 64 * max(a.shape))


def remainder_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of the entries of a sum of tiles that bfloat16 cannot represent.

    A copy holds them too.
    """
    splits = TILES and options.precision == "split" and copy_nbytes(a, options) > 0
    return _core.remainder_bytes(a.size) if splits else 0
