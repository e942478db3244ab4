# SPDX-License-Identifier: BSD-3-Clause
"""Reading of a matrix by one call: layout, copies, and what of it lies on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from sigmascope._host.native import _core, cuda
from sigmascope._host.threads import useful_threads
from sigmascope.matrices.matrix import Matrix

from .memory import NeedOf
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
    parts_nbytes : int
        Bytes for its numbers in bfloat16, which stay there after the first step.
    planned_nbytes : int
        Total bytes that the call takes; each native function reserves them when it begins.
    panel_numbers : int
        Most numbers of a panel, unless the call asks for rows.
    """

    stored_nbytes: int = 0
    parts_nbytes: int = 0
    planned_nbytes: int = 0
    panel_numbers: int = 0

    def native(self) -> dict[str, int]:
        """Return the keyword arguments of the native functions."""
        return {
            "device_bytes": self.stored_nbytes,
            "device_parts_bytes": self.parts_nbytes,
            "device_planned_bytes": self.planned_nbytes,
        } | ({"device_panel_numbers": self.panel_numbers} if self.panel_numbers else {})


NO_DEVICE = DevicePlan()


def taken_on_device(
    a: Matrix, options: CallOptions, need: NeedOf, panel_numbers: int | None = None
) -> int:
    """Return the bytes on a device without the stored numbers; by default of small panels."""
    needed = need(layout_of(a, options))
    numbers = panel_numbers or panel_sizes(options)[-1]
    panels = panels_nbytes(a, options, needed.columns, numbers)
    return needed.peak + panels + parts_nbytes(a, options, needed.columns)


def fitting_plan(a: Matrix, options: CallOptions, need: NeedOf, nbytes: int) -> DevicePlan:
    """Choose what stays on a device of `nbytes`, and the largest panels that fit beside it.

    Where nothing fits, the plan has small panels and takes more.
    """
    sizes = panel_sizes(options)
    staying = staying_nbytes(a, options, need(layout_of(a, options)).columns)
    for (stored, parts), numbers in product(staying, sizes):
        taken = taken_on_device(a, options, need, numbers)
        if taken + stored + parts <= nbytes:
            room = nbytes - taken - parts
            return DevicePlan(room, parts, taken + stored + parts, numbers)
    return DevicePlan(0, 0, taken_on_device(a, options, need), sizes[-1])


def staying_nbytes(a: Matrix, options: CallOptions, columns: int) -> list[tuple[int, int]]:
    """Return the bytes of stored numbers and of numbers in bfloat16 that may stay, best first.

    `columns`: of blocks that are multiplied; 0 for a call without products.
    """
    module = cuda()
    assert module is not None
    stored = a.nbytes if a.device == "cpu" else 0
    if columns == 0 or options.precision == "float64":
        return [(stored, 0), (0, 0)]
    parts = int(module.parts_bytes(a.native, rounded=options.precision == "mixed"))
    ways = [(stored, parts), (0, parts)] if parts < stored else [(stored, parts)]
    return [*ways, (stored, 0), (0, 0)]


def panel_sizes(options: CallOptions) -> tuple[int, ...]:
    """Return the numbers that panels on a device may have, most first.

    Large panels keep all of a device busy: a block of threads multiplies 65,536 numbers or twice as
    many.
    """
    module = cuda()
    assert module is not None
    least = module.least_panel_numbers
    return (least,) if options.panel_rows else tuple(least << more for more in (4, 3, 2, 1, 0))


def panels_nbytes(a: Matrix, options: CallOptions, columns: int, numbers: int) -> int:
    """Return the bytes of panels on a device, and of the sums that products make of them."""
    module = cuda()
    assert module is not None
    native = {"panel_rows": options.panel_rows, "panel_numbers": numbers, "columns": columns}
    tensors = columns > 0 and options.precision != "float64"  # they multiply blocks in float32
    return int(module.panel_bytes(a.native, **native, tensors=tensors))


def parts_nbytes(a: Matrix, options: CallOptions, columns: int) -> int:
    """Return the bytes of the parts of blocks on a device, and of two blocks of unfinished sums.

    Tensor cores multiply parts: three bfloat16 numbers for a float32 number, and a multiple of 16
    columns.
    """
    if options.precision == "float64":
        return 2 * 8 * sum(a.shape) * columns
    return (3 * 2 + 2 * 4) * sum(a.shape) * (-(-columns // 16) * 16)


def pinned_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of the buffers on the host for copies of panels to a CUDA device."""
    if options.device.index is None or a.device != "cpu":
        return 0
    return 3 * 8 * MIB  # for small matrices too, so that their sums need no more
