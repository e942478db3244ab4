# SPDX-License-Identifier: BSD-3-Clause
"""Solvers of a device, called again after other libraries have freed memory on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sigmascope._host.native import _core
from sigmascope.errors import DeviceMemoryError
from sigmascope.matrices.array_libraries import release_memory, users_of_memory
from sigmascope.matrices.device_arrays import await_writers


class RetriedSolvers:
    """The solvers of a native module, each called once more if its device has no memory left.

    Array libraries keep the memory of deleted arrays. The imported ones free it before the second
    call; if that fails too, the error names them. Each call first waits until pending writes to the
    arrays of its matrices are done.
    """

    def __init__(self, module: Any, index: int) -> None:
        self._module = module
        self._index = index

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._solve, getattr(self._module, name))

    def _solve(self, solve: Callable[..., Any], *operands: Any, **options: Any) -> Any:
        for operand in operands:
            if isinstance(operand, _core.Matrix):
                await_writers(operand)
        try:
            return solve(*operands, **options)
        except DeviceMemoryError:
            if not release_memory(self._index):
                raise
        try:
            return solve(*operands, **options)
        except DeviceMemoryError as error:
            raise DeviceMemoryError(f"{error}{users_of_memory(self._index)}") from error
