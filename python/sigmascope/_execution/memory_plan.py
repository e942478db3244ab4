# SPDX-License-Identifier: BSD-3-Clause
"""Plan of one call on one matrix within its memory: what is held, which panels, which copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from sigmascope._display.text import amount
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.array_libraries import users_of_memory
from sigmascope.matrices.device_arrays import COPIED
from sigmascope.matrices.matrix import Matrix

from .device_panels import NO_DEVICE, DevicePlan, panels_nbytes, parts_nbytes, pinned_nbytes
from .libraries import Libraries, eigenvalue_nbytes, gram_nbytes
from .memory import Need
from .options import CallOptions
from .passes import PassLayout
from .reading import copy_nbytes, layout_of, remainder_nbytes

NeedOf = Callable[[PassLayout], Need]
"""The need of a call, as a function of how it reads the matrix."""

LOWEST_PANEL = 16
_PANEL_ROWS = (0, 240, 96, 48, LOWEST_PANEL)
"""Rows decoded at a time: chosen for the cache, or fewer where memory is short."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The way in which a call reads a matrix, and what it holds of it.

    Attributes
    ----------
    options : CallOptions
    layout : PassLayout
        The way in which a pass reads the matrix.
    loaded_nbytes : int
        Stored bytes of a matrix in files that is read into memory once, since it fits together with
        what the call needs. 0: it is in memory already, stays on a CUDA device, or is read again at
        each pass.
    holds_copy : bool
        Whether the copy that steps would read, rounded or added up, fits as well.
    splits_remainder : bool
        Whether entries of a sum of tiles that bfloat16 cannot represent are stored sparsely.
    copy_nbytes : int
        Total bytes of the copy and of this sparse remainder.
    on_device : DevicePlan
        The memory of a CUDA device.
    """

    options: CallOptions
    layout: PassLayout
    loaded_nbytes: int
    holds_copy: bool
    splits_remainder: bool
    copy_nbytes: int
    on_device: DevicePlan = NO_DEVICE

    @classmethod
    def fit(
        cls,
        a: Matrix,
        options: CallOptions,
        need: NeedOf,
        what: str,
        *,
        hold: bool = True,
        several: bool = False,
    ) -> Self:
        """Choose what is held, and how high panels are, so that `need` is within the memory.

        A matrix in files is not loaded where its numbers stay on a CUDA device, to which they are
        copied once, unless `several` native calls read it.

        Raises
        ------
        MemoryLimitError
            If no way of reading the matrix fits: `what` names the call in the message, and the
            number is the least limit that allows it.
        """
        copy, remainder = copy_nbytes(a, options), remainder_nbytes(a, options)
        on_device = device_plan(a, options, need, what)
        if a.nbytes <= on_device.stored_nbytes and not several and not a._native.column_major:
            hold = False  # rows of a matrix that is stored by columns would be read twice
        for loaded, layout, needed in _ways(a, options, need, hold):
            if options.has(needed.plus(remainder)):
                copied = copy > 0 and options.has(needed.plus(copy))
                held = copy if copied else remainder
                return cls(options, layout, loaded, copied, remainder > 0, held, on_device)
        least = least_memory(a, options, need, hold=hold)
        raise MemoryLimitError(options.refusal(what, amount(least)))

    @classmethod
    def leanest(cls, a: Matrix, options: CallOptions, need: NeedOf, what: str) -> Self:
        """Read the matrix in the way of :func:`least_memory`, whether that fits the host or not.

        MemoryLimitError, which names the call as `what`, if a device has no memory for it.
        """
        remainder = remainder_nbytes(a, options)
        ways = _ways(a, options, need, hold=True)
        taken = options.reserved + remainder
        loaded, layout, _ = min(ways, key=lambda way: way[2].plus(taken).limit)
        on_device = device_plan(a, options, need, what)
        return cls(options, layout, loaded, False, remainder > 0, remainder, on_device)

    @property
    def held_nbytes(self) -> int:
        """Bytes of the matrix that the call holds: as it is stored, and copied."""
        return self.loaded_nbytes + self.copy_nbytes

    @property
    def serves_parts(self) -> bool:
        """True if a part of the call, which needs less, would read the matrix in the same way.

        So it is with a matrix in memory whose panels need not be low.
        """
        held = self.loaded_nbytes == 0 and not self.layout.files
        high = self.layout.panel_rows == self.options.panel_rows
        return held and high and self.options.device.index is None

    @property
    def adds_tiles(self) -> bool:
        """True if the tiles of a sum are added up once, in memory."""
        return self.holds_copy and self.options.precision in ("split", "float32")

    def search(self) -> dict[str, Any]:
        """Return the keyword arguments of the native algorithms that search by Krylov steps."""
        return {
            "products": self.options.products,
            "rounded_copy": self.holds_copy and self.options.precision == "mixed",
            "gather": self.adds_tiles,
            "separate": self.splits_remainder,
            "f64": self.options.precision == "float64",
        }

    def native(self) -> dict[str, Any]:
        """Return the keyword arguments of every native algorithm."""
        device = self.options.device
        on_device = {"device": device.index, "allocate": device.allocate} | self.on_device.native()
        return ({} if device.index is None else on_device) | {
            "threads": self.layout.threads,
            "panel_rows": self.layout.panel_rows,
            "load_bytes": self.loaded_nbytes,
            "progress": self.options.progress,
            "fro2": self.options.fro2,
            "fingerprint": self.options.fingerprint,
        }


def host_need(a: Matrix, options: CallOptions, need: NeedOf, layout: PassLayout) -> Need:
    """Return the need of the host, with the pinned memory through which a device is reached."""
    return need(layout).plus_working(pinned_nbytes(a, options))


def least_memory(a: Matrix, options: CallOptions, need: NeedOf, *, hold: bool = True) -> int:
    """Return the least memory limit that allows a call, by whichever way of reading."""
    taken = options.reserved + remainder_nbytes(a, options)
    return min(needed.plus(taken).limit for *_, needed in _ways(a, options, need, hold))


def fits_host(a: Matrix, options: CallOptions, need: NeedOf) -> bool:
    """Tell whether the memory limit allows a call, by whichever way of reading."""
    taken = options.reserved + remainder_nbytes(a, options)
    ways = _ways(a, options, need, hold=True)
    return any(needed.plus(taken).limit <= options.memory for *_, needed in ways)


def _ways(
    a: Matrix, options: CallOptions, need: NeedOf, hold: bool
) -> Iterator[tuple[int, PassLayout, Need]]:
    """Give the ways of reading a matrix, best first: bytes that are loaded, layout, and need."""
    heights = (options.panel_rows,) if options.panel_rows else _PANEL_ROWS
    for loaded in (a.nbytes, 0) if options.file_nbytes(a) and hold else (0,):
        for rows in heights:
            layout = layout_of(a, options, rows, held=loaded > 0)
            yield loaded, layout, host_need(a, options, need, layout).plus(loaded)


def device_plan(a: Matrix, options: CallOptions, need: NeedOf, what: str) -> DevicePlan:
    """Return the memory that a call takes of a CUDA device; nothing on the CPU.

    If the call does not fit, other libraries are asked to give back memory that they keep.

    Raises
    ------
    MemoryLimitError
        If the device has no memory for what the call needs.
    """
    if options.device.index is None:
        return NO_DEVICE
    taken = _taken_on_device(a, options, need)
    device = options.device.with_room(taken)
    if taken > device.nbytes:
        others = users_of_memory(options.device.index)
        helps = "device='cpu' computes in the memory of the host"
        raise MemoryLimitError(
            f"{what} needs {amount(taken)} on {device.name}, which has {amount(device.nbytes)} "
            f"that a call may take{others}; {COPIED if a.device != 'cpu' else helps}"
        )
    room = device.nbytes - taken
    copied = a.nbytes if a.device == "cpu" and a.nbytes <= room else 0
    return DevicePlan(room, taken + copied)


def fits_device(a: Matrix, options: CallOptions, need: NeedOf) -> bool:
    """Tell whether a CUDA device has memory for what a call needs; the CPU always does."""
    if options.device.index is None:
        return True
    taken = _taken_on_device(a, options, need)
    return taken <= options.device.with_room(taken).nbytes


def fits_held(a: Matrix, options: CallOptions, need: NeedOf) -> bool:
    """Tell whether there is memory for a need with all that a call may hold of the matrix.

    That is what is read from files, and copies; in contrast to :func:`least_memory`.
    """
    held = max(copy_nbytes(a, options), remainder_nbytes(a, options)) + options.file_nbytes(a)
    needed = host_need(a, options, need, layout_of(a, options)).plus(held)
    return options.has(needed) and fits_device(a, options, need)


def _taken_on_device(a: Matrix, options: CallOptions, need: NeedOf) -> int:
    needed = need(layout_of(a, options))
    panels = panels_nbytes(a, options, needed.columns)
    return needed.peak + panels + parts_nbytes(a, options, needed.columns)


def planned_on_device(a: Matrix, options: CallOptions, need: NeedOf) -> tuple[int, bool]:
    """Return the bytes of a CUDA device that a call takes, and whether the numbers stay there.

    The bytes are with the stored numbers if these stay.
    """
    taken = _taken_on_device(a, options, need)
    stays = taken + a.nbytes <= options.device.nbytes
    return taken + stays * a.nbytes, stays


def with_device_gram(
    need: NeedOf,
    a: Matrix,
    options: CallOptions,
    opened: Libraries | None = None,
    *,
    eigenvalues: bool = False,
    eigenvectors: bool = False,
) -> NeedOf:
    """Add the memory that forming a Gram matrix on a CUDA device takes in addition to it.

    Without `opened`, the libraries of the call, the most that any of them may take.
    `eigenvalues`, `eigenvectors`: the device computes those of the matrix too. A need of
    eigenvectors has room for two more squares already, as they take on the processor.
    """
    index = options.device.index
    if index is None:
        return need
    taken = gram_nbytes(max(a.shape), min(a.shape), opened)
    if eigenvalues and opened is not None:
        taken = max(taken, eigenvalue_nbytes(index, min(a.shape), opened))
    if eigenvectors and opened is not None:
        whole = eigenvalue_nbytes(index, min(a.shape), opened, vectors=True)
        taken = max(taken, whole - 16 * min(a.shape) ** 2)
    return lambda layout: need(layout).plus(taken)
