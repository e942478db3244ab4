# SPDX-License-Identifier: BSD-3-Clause
"""Reading of a matrix by one call: layout, copies, and the way to a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass

from sigmascope._host.native import _core, cuda
from sigmascope._host.threads import useful_threads
from sigmascope.matrices.matrix import Matrix

from .options import CallOptions
from .passes import MIB, TILES, PassLayout

_FEW_LAYERS, _CACHED = 4, 64 * MIB


def layout_of(
    a: Matrix, options: CallOptions, panel_rows: int | None = None, *, held: bool = False
) -> PassLayout:
    """Return the layout in which a pass reads `a`; `held`: its stored bytes are in memory."""
    files, by_columns = options.file_nbytes(a) > 0 and not held, a.native.column_major
    rows = options.panel_rows if panel_rows is None else panel_rows
    wide = (a.shape[0] < a.shape[1]) != by_columns
    threads = useful_threads(options.threads, a.size)
    return PassLayout(a.shape, a.nbytes / a.size, files, threads, rows, wide)


def copy_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of a copy that steps would read: rounded, or the sum of overlapping tiles.

    A sum of few layers needs no copy: it is added up as fast as it is read. It gets one if a step
    would read it twice, or if the cache holds the sum in the parts that products take.
    """
    if options.executor is not None or options.device.index is not None:
        return 0
    if options.precision == "float64":
        return 0
    if options.precision == "mixed":
        width = 2 * (a.storage != "bf16")
    else:
        layers = a.native.layers
        parts = TILES and options.precision == "split" and 4 * a.size <= _CACHED
        width = 4 * (layers > 1 and (layout_of(a, options).wide or layers > _FEW_LAYERS or parts))
    return width * (a.size + 64 * max(a.shape))


def remainder_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of the entries of a sum of tiles that bfloat16 cannot represent.

    A copy includes them.
    """
    splits = TILES and options.precision == "split" and copy_nbytes(a, options) > 0
    return _core.remainder_bytes(a.size) if splits else 0


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The memory that a call takes on a CUDA device.

    Attributes
    ----------
    stored_nbytes : int
        Bytes for the stored numbers of the matrix, which stay there if they fit.
    planned_nbytes : int
        Total bytes that the call takes; each native function reserves them when it begins.
    """

    stored_nbytes: int = 0
    planned_nbytes: int = 0

    def native(self) -> dict[str, int]:
        """Return the keyword arguments of the native functions."""
        return {"device_bytes": self.stored_nbytes, "device_planned_bytes": self.planned_nbytes}


NO_DEVICE = DevicePlan()


def panels_nbytes(a: Matrix, options: CallOptions, columns: int) -> int:
    """Return the bytes of panels on a device, and of the sums that products make of them."""
    module = cuda()
    assert module is not None
    native = {"panel_rows": options.panel_rows, "columns": columns}
    tensors = columns > 0 and options.precision != "float64"  # they multiply blocks in float32
    return int(module.panel_bytes(a.native, **native, tensors=tensors))


def parts_nbytes(a: Matrix, options: CallOptions, columns: int) -> int:
    """Return the bytes of the parts of blocks on a device, and of two blocks in float32.

    Tensor cores multiply parts: three bfloat16 numbers for a float32 number, and a multiple of 16
    columns.
    """
    if options.precision == "float64":
        return 0
    return (3 * 2 + 2 * 4) * sum(a.shape) * (-(-columns // 16) * 16)


def pinned_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of the buffers on the host for copies of panels to a CUDA device."""
    if options.device.index is None or a.device != "cpu":
        return 0
    return 3 * 8 * MIB  # for small matrices too, so that their sums need no more
