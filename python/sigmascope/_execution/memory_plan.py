# SPDX-License-Identifier: BSD-3-Clause
"""Memory of one call on one matrix: what fits, what it holds, and its panels and copies."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any

from sigmascope._words.text import amount
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.array_libraries import users_of_memory
from sigmascope.matrices.device_arrays import COPIED
from sigmascope.matrices.matrix import Matrix

from .memory import Need, NeedOf
from .options import CallOptions
from .passes import PassLayout
from .reading import (
    NO_DEVICE,
    DevicePlan,
    copy_nbytes,
    fitting_plan,
    layout_of,
    pinned_nbytes,
    remainder_nbytes,
    taken_on_device,
)

_PANEL_ROWS = (0, 240, 96, 48, 16)
"""Rows decoded at a time: chosen for the cache, or fewer where memory is short."""


@dataclass(frozen=True, slots=True)
class CallMemory:
    """The memory of one call on one matrix: whether a need fits, and with which plan.

    Attributes
    ----------
    a : Matrix
    options : CallOptions
        The options of the call: the memory limit, its reserved part, and the device.
    """

    a: Matrix
    options: CallOptions

    @property
    def alone(self) -> CallMemory:
        """The same memory with nothing reserved by others, so that no bit depends on neighbours."""
        return CallMemory(self.a, self.options.with_reserved(0))

    def fits(self, need: NeedOf) -> bool:
        """Return whether a call fits on host and device with some way of reading the matrix."""
        taken = remainder_nbytes(self.a, self.options)
        ways = self._ways(need, hold=True)
        on_host = any(self.options.has(needed.plus(taken)) for *_, needed in ways)
        return on_host and self.fits_device(need)

    def fits_held(self, need: NeedOf) -> bool:
        """Return whether a need fits together with all that a call may hold of the matrix.

        It may hold what it reads from files, and copies; :meth:`least` does not need these.
        """
        a, options = self.a, self.options
        held = max(copy_nbytes(a, options), remainder_nbytes(a, options)) + options.file_nbytes(a)
        needed = self.host_need(need, layout_of(a, options)).plus(held)
        return options.has(needed) and self.fits_device(need)

    def fits_device(self, need: NeedOf) -> bool:
        """Return whether a CUDA device has the memory that a call needs; True for the CPU."""
        if self.options.device.index is None:
            return True
        taken = taken_on_device(self.a, self.options, need)
        return taken <= self.options.device.with_room(taken).nbytes

    def least(self, need: NeedOf, *, hold: bool = True) -> int:
        """Return the smallest memory limit that allows a call, over all ways of reading."""
        taken = self.options.reserved + remainder_nbytes(self.a, self.options)
        return min(needed.plus(taken).limit for *_, needed in self._ways(need, hold))

    def plan(
        self, need: NeedOf, what: str, *, hold: bool = True, worst: NeedOf | None = None
    ) -> MemoryPlan:
        """Choose what to hold, and the height of panels, so that `need` fits into the memory.

        A matrix in files is not loaded if its numbers stay on a CUDA device, since one native call
        copies them there once. `worst`: for a call whose several native calls read the matrix, the
        largest need that it may have.

        Raises
        ------
        MemoryLimitError
            If no way of reading the matrix fits. The message has `what`, the name of the call,
            and the smallest limit that allows it.
        """
        a, options, several = self.a, self.options, worst is not None
        copy, remainder = copy_nbytes(a, options), remainder_nbytes(a, options)
        on_device = NO_DEVICE if several else self.device_plan(need, what)
        if a.nbytes <= on_device.stored_nbytes and not a.native.column_major:
            hold = False  # rows of a matrix that is stored by columns would be read twice
        for loaded, layout, needed in self._ways(need, hold):
            if options.has(needed.plus(remainder)):
                on_device = self.device_plan(need, what) if several else on_device
                copied = copy > 0 and options.has(needed.plus(copy))
                held = copy if copied else remainder
                return MemoryPlan(self, layout, loaded, copied, remainder > 0, held, on_device)
        least = self.least(need, hold=hold)
        most = self.least(worst) if worst else least
        more = f" (up to {amount(most)} if its values span a wide range)" if most > least else ""
        raise MemoryLimitError(options.refusal(what, amount(least) + more))

    def leanest_plan(self, need: NeedOf, what: str, *, more: str) -> MemoryPlan:
        """Return the plan of the way of reading that :meth:`least` finds.

        Raises
        ------
        MemoryLimitError
            If that does not fit. The message begins with `what`, the name of the call, and `more`.
        """
        remainder = remainder_nbytes(self.a, self.options)
        taken = self.options.reserved + remainder
        ways = ((*way[:2], way[2].plus(taken).limit) for way in self._ways(need, hold=True))
        loaded, layout, least = min(ways, key=itemgetter(2))
        if least > self.options.memory:
            raise MemoryLimitError(self.options.refusal(what + more, amount(least)))
        plan = MemoryPlan(self, layout, loaded, False, remainder > 0, remainder)
        return replace(plan, on_device=self.device_plan(need, what))

    def largest(self, least: int, most: int, need: Callable[..., Need]) -> int:
        """Return the most columns that fit with low panels and nothing of the matrix in memory.

        0 if not even `least` columns fit; for `need` see :meth:`MemoryPlan.largest`.
        """
        layout = layout_of(self.a, self.options, self.options.panel_rows or _PANEL_ROWS[-1])
        return MemoryPlan(self, layout, 0, False, False, 0).largest(least, most, need)

    def device_plan(self, need: NeedOf, what: str) -> DevicePlan:
        """Return the memory that a call takes on a CUDA device; nothing on the CPU.

        If the call does not fit, other libraries are first asked to free memory that they keep.

        Raises
        ------
        MemoryLimitError
            If the device does not have the memory that the call needs.
        """
        a, index = self.a, self.options.device.index
        if index is None:
            return NO_DEVICE
        taken = taken_on_device(self.a, self.options, need)
        device = self.options.device.with_room(taken)
        if taken > device.nbytes:
            others = users_of_memory(index)
            helps = "device='cpu' uses the memory of the host"
            raise MemoryLimitError(
                f"{what} needs {amount(taken)} on {device.name}, where a call "
                f"may use {amount(device.nbytes)}{others}; "
                f"{COPIED if a.device != 'cpu' else helps}"
            )
        return fitting_plan(a, self.options, need, device.nbytes)

    def planned_on_device(self, need: NeedOf) -> tuple[int, bool]:
        """Return the bytes that a call takes on a CUDA device, and whether the numbers stay there.

        The bytes include the stored numbers if these stay.
        """
        plan = fitting_plan(self.a, self.options, need, self.options.device.nbytes)
        return plan.planned_nbytes, self.a.nbytes <= plan.stored_nbytes

    def host_need(self, need: NeedOf, layout: PassLayout | None = None) -> Need:
        """Return the need on the host, with the pinned memory for copies to a device.

        `layout`: by default, of a matrix whose files are read into memory.
        """
        layout = layout or layout_of(self.a, self.options, held=True)
        return need(layout).plus_working(pinned_nbytes(self.a, self.options))

    def _ways(self, need: NeedOf, hold: bool) -> Iterator[tuple[int, PassLayout, Need]]:
        """Yield the ways of reading, best first: bytes to load, layout, and need."""
        a, options = self.a, self.options
        heights = (options.panel_rows,) if options.panel_rows else _PANEL_ROWS
        for loaded in (a.nbytes, 0) if options.file_nbytes(a) and hold else (0,):
            for rows in heights:
                layout = layout_of(a, options, rows, held=loaded > 0)
                yield loaded, layout, self.host_need(need, layout).plus(loaded)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The way in which a call reads a matrix, and what it holds of the matrix.

    Attributes
    ----------
    memory : CallMemory
        The memory into which the plan fits.
    layout : PassLayout
        The way in which a pass reads the matrix.
    loaded_nbytes : int
        Stored bytes of a matrix in files that is read into memory once, since it fits together with
        what the call needs. 0: it is in memory already, stays on a CUDA device, or is read again at
        each pass.
    holds_copy : bool
        Whether a copy for the steps to read, rounded or summed over tiles, fits as well.
    splits_remainder : bool
        In a sum of tiles, whether entries that bfloat16 cannot represent are stored sparsely.
    copy_nbytes : int
        Total bytes of the copy and of this sparse remainder.
    on_device : DevicePlan
        The memory of a CUDA device.
    """

    memory: CallMemory
    layout: PassLayout
    loaded_nbytes: int
    holds_copy: bool
    splits_remainder: bool
    copy_nbytes: int
    on_device: DevicePlan = NO_DEVICE

    @property
    def held_nbytes(self) -> int:
        """Bytes of the matrix that the call holds: as it is stored, and copied."""
        return self.loaded_nbytes + self.copy_nbytes

    def needed(self, need: NeedOf) -> Need:
        """Return the need on the host, including what the call holds of the matrix."""
        return self.memory.host_need(need, self.layout).plus(self.held_nbytes)

    @property
    def serves_parts(self) -> bool:
        """True if a part of the call, which needs less, would read the matrix in the same way.

        This holds for a matrix in memory whose panels need not be low.
        """
        held = self.loaded_nbytes == 0 and not self.layout.files
        options = self.memory.options
        high = self.layout.panel_rows == options.panel_rows
        return held and high and options.device.index is None

    def largest(self, least: int, most: int, need: Callable[..., Need]) -> int:
        """Return the most columns, from `least` to `most`, that fit together with what is held.

        0 if not even `least` columns fit. `need`: a function of the layout and of `columns=`.
        """

        def fits(columns: int) -> bool:
            of_layout = partial(need, columns=columns)
            needed = of_layout(self.layout).plus(self.held_nbytes)
            return self.memory.options.has(needed) and self.memory.fits_device(of_layout)

        if least <= most and fits(most):
            return most
        index = bisect_right(range(least, most + 1), False, key=lambda columns: not fits(columns))
        return least + index - 1 if index else 0

    @property
    def adds_tiles(self) -> bool:
        """True if the tiles of a sum are added up once, in memory."""
        return self.holds_copy and self.memory.options.precision in ("split", "float32")

    def search(self) -> dict[str, Any]:
        """Return the keyword arguments of the native algorithms that search by Krylov steps."""
        options = self.memory.options
        return self.native() | {
            "products": options.products,
            "rounded_copy": self.holds_copy and options.precision == "mixed",
            "gather": self.adds_tiles,
            "separate": self.splits_remainder,
            "f64": options.precision == "float64",
        }

    def native(self) -> dict[str, Any]:
        """Return the keyword arguments of every native algorithm."""
        options, device = self.memory.options, self.memory.options.device
        on_device = {"device": device.index, "allocate": device.allocate} | self.on_device.native()
        return ({} if device.index is None else on_device) | {
            "threads": self.layout.threads,
            "panel_rows": self.layout.panel_rows,
            "load_bytes": self.loaded_nbytes,
            "progress": options.progress,
            "fro2": options.fro2,
            "fingerprint": options.fingerprint,
        }
