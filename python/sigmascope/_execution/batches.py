# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that a CUDA device computes together: one launch of a kernel serves up to 128."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from sigmascope._host import native

from .devices import Device

R = TypeVar("R")

MOST = 128
"""Largest number of matrices in a batch. Each has a thread; few threads run at a time."""


class Batch:
    """Calls on one device, each for one matrix and on its own thread.

    On a CUDA device the operations of several calls are started together, once all threads wait
    for results. On the CPU, or for one matrix, calls have nothing in common.

    Parameters
    ----------
    device : Device
        The device of all calls.
    matrices : int
        Number of calls. The device waits for all of them, until the end of the `with` block.
    threads : int
        Number of threads that run at a time.
    """

    def __init__(self, device: Device, matrices: int, threads: int) -> None:
        self._native: Any = None
        module = native.cuda() if device.is_cuda and matrices > 1 else None
        if module is not None:
            self._native = module.Batch(device.index, matrices=matrices, threads=threads)

    def run(self, index: int, compute: Callable[[], R]) -> R:
        """Run one of the calls and return its result; once for each index, on its own thread."""
        if self._native is None:
            return compute()
        self._native.enter(index)
        try:
            return compute()
        finally:
            self._native.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop waiting for calls that have not begun."""
        if self._native is not None:
            self._native.close()
