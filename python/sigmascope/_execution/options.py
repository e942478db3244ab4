# SPDX-License-Identifier: BSD-3-Clause
"""What to do with how much memory: the options that every call shares, and the choice of method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from sigmascope._display.text import amount
from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope.errors import DeviceError, MemoryLimitError
from sigmascope.matrices.matrix import Matrix

from . import arguments, rounding
from .memory import MINIMUM, Need
from .passes import MIB, TILES, Reading

_FEW_LAYERS, _CACHED = 4, 64 * MIB
_LEFT = 24 / 64
"""Bytes for each number of a sum: 12 for one in 64 that bfloat16 does not hold, made of as many
(cpp/kernels/panels/summed.cpp). A copy holds them too."""

LOWEST_PANEL = 16
_PANEL_ROWS = (0, 240, 96, 48, LOWEST_PANEL)
"""Rows decoded at a time: chosen for the cache, or fewer where memory is short."""


Progress = Callable[[int], object]


def going_on(progress: Progress | None, done: int) -> Progress | None:
    """Return what to call in place of `progress` once so many bytes have been used."""
    return None if progress is None else lambda more: progress(done + more)


@dataclass(frozen=True, slots=True)
class Run:
    """The options that every algorithm shares, resolved.

    Attributes
    ----------
    threads : int
        From `num_threads`; no result depends on it.
    memory : int
        Bytes, from `memory_limit` ("2GiB", 500_000_000; None: half of what is free): for all that
        the call takes, see :mod:`sigmascope._execution.memory`. Below 64 MiB it bounds what grows
        with the matrix, and about 64 MiB bound the rest. A matrix that the caller holds does not
        count.
    reserved : int
        Bytes of `memory` that are taken already: by a matrix read ahead, or held for several calls.
    load_bytes : int
        A matrix in files that fits beside what the call needs is read into memory once: its stored
        bytes. 0: it is in memory already, or is read again at each pass.
    copied : bool
        Whether the copy of :meth:`copy_of` fits as well.
    separate : bool
        Whether what bfloat16 leaves of a sum of tiles is kept by itself, if it is little.
    copy_bytes : of both
    stored_bytes : int
        Of the matrix in files; 0 if it is in memory, or others read it.
    fro2 : float or None
        ||A||_F^2 of a matrix that was looked at; with a fingerprint it spares that.
    fingerprint : int or None
        64 bits, which random numbers follow from, beside the seed. None: a hash of the numbers of
        the matrix (docs/architecture.md). Matrices that share one have the same probes.
    panel_rows : int
        From `panel_rows`; rows decoded at a time, 0: chosen for the cache. No result depends on it.
    precision : str
        "float32" or "float64", of the blocks; "split": float32 blocks, and the steps that search
        for them from 16 bits of every number, two parts of bfloat16, where the processor is faster
        with these; "mixed": from 8 bits at first, bfloat16.
    progress : callable or None
        From `progress`; called with the stored bytes used so far, about 20 times a second.
    executor : concurrent.futures.Executor or None
        From `executor`: its workers read the matrix, in blocks of rows, and multiply with it
        (:mod:`sigmascope._execution.distributed`); what is smaller stays in this process. Threads,
        processes, or anything with that interface; but for a ThreadPoolExecutor the matrix must be
        in files that the workers can open. No bit depends on them. A lost worker's block is given
        to another.
    worker_threads : int
        Of each worker: `num_threads`, or 1.
    """

    threads: int
    memory: int
    reserved: int
    load_bytes: int
    copied: bool
    separate: bool
    copy_bytes: int
    stored_bytes: int
    panel_rows: int
    precision: str
    progress: Callable[[int], object] | None
    executor: Executor | None = None
    worker_threads: int = 1
    fro2: float | None = None
    fingerprint: int | None = None

    @classmethod
    def of(
        cls,
        a: Matrix,
        *,
        precision: str | None = None,
        device: str = "cpu",
        num_threads: int | None = None,
        memory_limit: int | str | None = None,
        reserved: int = 0,
        panel_rows: int | None = None,
        progress: Callable[[int], object] | None = None,
        executor: Executor | None = None,
        fro2: float | None = None,
        fingerprint: int | None = None,
        precisions: tuple[str, ...] = ("float32", "float64"),
    ) -> Run:
        """Resolve the options of one call on `a`; ValueError or DeviceError if they are off.

        Nothing is held before :meth:`within` has seen what the call needs.
        """
        if device != "cpu":
            raise DeviceError(f"device {device!r} is not available; this build computes on 'cpu'")
        if 0 in a.shape:
            raise ValueError(f"a matrix of shape {a.shape} has no singular values")
        if precision not in (None, *precisions):
            raise ValueError(f"precision is one of {', '.join(precisions)}, not {precision!r}")
        if panel_rows is not None and panel_rows < 1:
            raise ValueError(f"panel_rows must be at least 1, not {panel_rows}")
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is a function of the bytes used, or None, not {progress!r}")
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"executor is a concurrent.futures.Executor, not {executor!r}")
        if reserved < 0:
            raise ValueError(f"reserved must not be negative, it is {reserved}")
        arguments.check_seed(fingerprint or 0, "fingerprint")
        if precision is None:
            precision = a.precision
            if precision == "float32":
                precision = rounding.coarsest(precisions, a.shape)
        here = executor is None  # else workers read, and this process holds nothing of the matrix
        return cls(
            threads=resolve_threads(num_threads),
            memory=resolve_memory(memory_limit),
            reserved=reserved,
            load_bytes=0,
            copied=False,
            separate=False,
            copy_bytes=0,
            stored_bytes=a.nbytes if here and not a.in_memory else 0,
            panel_rows=panel_rows or 0,
            precision=precision,
            progress=progress,
            executor=executor,
            worker_threads=num_threads or 1,
            fro2=fro2,
            fingerprint=fingerprint,
        )

    def within(
        self, a: Matrix, need: Callable[[Reading], Need], what: str, *, hold: bool = True
    ) -> Run:
        """Choose what is held, and how high panels are, so that `need` is within the memory.

        Raises
        ------
        MemoryLimitError
            If no way of reading the matrix fits: `what` names the call in the message, and the
            number is the least limit that allows it.
        """
        copy, left = self.copy_of(a), self.left_of(a)
        for held, rows, needed in self._ways(a, need, hold):
            if self.has(needed.beside(left)):
                copied = copy > 0 and self.has(needed.beside(copy))
                return replace(
                    self,
                    load_bytes=held,
                    panel_rows=rows,
                    copied=copied,
                    separate=left > 0,
                    copy_bytes=copy if copied else left,
                )
        raise MemoryLimitError(self.refusal(what, amount(self.least(a, need, hold=hold))))

    def _ways(
        self, a: Matrix, need: Callable[[Reading], Need], hold: bool
    ) -> Iterator[tuple[int, int, Need]]:
        """Give what may be held and how high panels may be, best first, and what that takes."""
        heights = (self.panel_rows,) if self.panel_rows else _PANEL_ROWS
        for held in (a.nbytes, 0) if self.stored_bytes and hold else (0,):
            for rows in heights:
                yield held, rows, need(self.reading(a, rows, held=held > 0)).beside(held)

    def reading(self, a: Matrix, panel_rows: int | None = None, *, held: bool = False) -> Reading:
        """How `a` is read, if its stored bytes are held or are not."""
        files, turned = self.stored_bytes > 0 and not held, a._native.column_major
        rows = self.panel_rows if panel_rows is None else panel_rows
        wide = (a.shape[0] < a.shape[1]) != turned
        return Reading(a.shape, a.nbytes / a.size, files, self.threads, rows, wide)

    def least(self, a: Matrix, need: Callable[[Reading], Need], *, hold: bool = True) -> int:
        """Return the least memory limit that allows a call, by whichever way of reading."""
        beside = self.reserved + self.left_of(a)
        return min(needed.beside(beside).limit for *_, needed in self._ways(a, need, hold))

    def leanest(self, a: Matrix, need: Callable[[Reading], Need]) -> Run:
        """Read the matrix in the way that :meth:`least` speaks of, whether it fits or not."""
        left, beside = self.left_of(a), self.reserved + self.left_of(a)
        ways = self._ways(a, need, hold=True)
        held, rows, _ = min(ways, key=lambda way: way[2].beside(beside).limit)
        how = replace(self, load_bytes=held, panel_rows=rows, copied=False)
        return replace(how, separate=left > 0, copy_bytes=left)

    def has(self, need: Need) -> bool:
        """Whether there is memory for it."""
        peak = self.reserved + need.peak
        return self.reserved + need.arrays <= self.memory and peak <= max(self.memory, MINIMUM)

    def refusal(self, what: str, needed: str) -> str:
        """Say that something is too large, with what it needs and what there is."""
        return f"{what} needs {needed}, the memory limit is {amount(self.memory)}"

    def copy_of(self, a: Matrix) -> int:
        """Bytes of a copy that steps would read: rounded, or what a sum of tiles adds up to.

        A sum of few layers is added up as fast as it is read, unless that is twice a step, or a sum
        that the cache holds in the parts that products want.
        """
        if self.executor is not None or self.precision == "float64":
            return 0
        if self.precision == "mixed":
            width = 2 * (a.dtype != "bf16")
        else:
            layers = a._native.layers
            parts = TILES and self.precision == "split" and 4 * a.size <= _CACHED
            width = 4 * (layers > 1 and (self.reading(a).wide or layers > _FEW_LAYERS or parts))
        return width * (a.size + 64 * max(a.shape))

    def left_of(self, a: Matrix) -> int:
        """Bytes of what bfloat16 leaves of a sum of tiles, where that is kept by itself."""
        separate = TILES and self.precision == "split" and self.copy_of(a) > 0
        return int(_LEFT * a.size) if separate else 0

    @property
    def file_bytes(self) -> int:
        """Stored bytes that every pass will read again, as far as half the memory tells."""
        return self.stored_bytes if self.stored_bytes > self.memory // 2 else 0

    @property
    def itemsize(self) -> int:
        """Bytes of a number of a block."""
        return 8 if self.precision == "float64" else 4

    @property
    def products(self) -> str:
        """What the steps of a search begin with."""
        return rounding.PRODUCTS[self.precision]

    @property
    def gathers(self) -> bool:
        """Whether the tiles of a sum are added up once, in memory."""
        return self.copied and self.precision in ("split", "float32")

    def search(self) -> dict[str, Any]:
        """The keyword arguments of the native algorithms that search by Krylov steps."""
        return {
            "products": self.products,
            "rounded_copy": self.copied and self.precision == "mixed",
            "gather": self.gathers,
            "separate": self.separate,
            "f64": self.precision == "float64",
        }

    def native(self) -> dict[str, Any]:
        """The keyword arguments of every native algorithm."""
        return {
            "threads": self.threads,
            "panel_rows": self.panel_rows,
            "load_bytes": self.load_bytes,
            "progress": self.progress,
            "fro2": self.fro2,
            "fingerprint": self.fingerprint,
        }
