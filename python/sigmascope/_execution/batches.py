# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that a CUDA device computes together: one launch of a kernel serves up to 16 of them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Self, TypeVar

R = TypeVar("R")

MOST = 64
"""Matrices of a batch. Each has a thread, of which few run at a time."""


class Batch:
    """Calls on one device, each of one matrix and on a thread of its own.

    Their operations on the device are started together, once all threads wait for results.

    Parameters
    ----------
    module : module
        The extension for CUDA devices.
    device : int
        Number of the device.
    matrices : int
        Number of calls. The device waits for all of them, until the batch is closed.
    threads : int
        Number of threads that run at a time.
    """

    def __init__(self, module: ModuleType, device: int, matrices: int, threads: int) -> None:
        self._native = module.Batch(device, matrices=matrices, threads=threads)

    def run(self, index: int, compute: Callable[[], R]) -> R:
        """Return what one of the calls returns; on a thread of its own, once for each index."""
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
        """Expect no call any more that has not begun."""
        self._native.close()
