# SPDX-License-Identifier: BSD-3-Clause
"""CuPy and torch, whose arrays lie on CUDA devices: all that is asked of these libraries.

Neither is imported here: who passes one of their arrays has imported it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol


class ArrayLibrary(Protocol):
    """A library that makes arrays on CUDA devices, and keeps memory there that it does not use."""

    @property
    def name(self) -> str:
        """Name of its module."""

    @property
    def out_of_memory(self) -> type[Exception]:
        """Exception that it raises where a device has no memory left."""

    def on(self, index: int) -> AbstractContextManager[Any]:
        """Make a device its current one for a while."""

    def empty(self, shape: tuple[int, int], precision: str, index: int) -> Any:
        """Make a row-major array of float32 or float64 on a device; its content is undefined."""

    def address(self, array: Any) -> int:
        """Return the place of an array of its own in the memory of the device."""

    def release(self, index: int) -> bool:
        """Give back memory of a device that it keeps without using it; tell whether it had any."""


@dataclass(frozen=True)
class _CuPy:
    module: Any
    name: ClassVar[str] = "cupy"

    @property
    def out_of_memory(self) -> type[Exception]:
        error: type[Exception] = self.module.cuda.memory.OutOfMemoryError
        return error

    def on(self, index: int) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = self.module.cuda.Device(index)
        return device

    def empty(self, shape: tuple[int, int], precision: str, index: int) -> Any:
        with self.on(index):
            return self.module.empty(shape, dtype=precision)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def release(self, index: int) -> bool:
        with self.on(index):
            pool = self.module.get_default_memory_pool()
            unused = bool(pool.free_bytes() > 0)
            pool.free_all_blocks()
        return unused


@dataclass(frozen=True)
class _Torch:
    module: Any
    name: ClassVar[str] = "torch"

    @property
    def out_of_memory(self) -> type[Exception]:
        error: type[Exception] = self.module.cuda.OutOfMemoryError
        return error

    def on(self, index: int) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = self.module.cuda.device(index)
        return device

    def empty(self, shape: tuple[int, int], precision: str, index: int) -> Any:
        dtype = getattr(self.module, precision)
        return self.module.empty(shape, dtype=dtype, device=f"cuda:{index}")

    def address(self, array: Any) -> int:
        return int(array.data_ptr())

    def release(self, index: int) -> bool:
        cuda = self.module.cuda
        unused = bool(cuda.memory_reserved(index) > cuda.memory_allocated(index))
        cuda.empty_cache()
        return unused


_LIBRARIES = (_CuPy, _Torch)


def root_module(source: Any) -> str:
    """Return the name of the library that the type of an array is of."""
    return type(source).__module__.partition(".")[0]


def library_of(source: Any) -> ArrayLibrary | None:
    """Return the library of an array, or of a type that its own is derived from; else None."""
    roots = {base.__module__.partition(".")[0] for base in type(source).__mro__}
    for library in _LIBRARIES:
        if library.name in roots and library.name in sys.modules:
            return library(sys.modules[library.name])
    return None


def release_memory(index: int) -> str:
    """Ask all that are imported for the memory of a device that they do not use.

    Returns
    -------
    str
        Names of those that gave some back, joined by "and"; empty: none did.
    """
    imported = [library for library in _LIBRARIES if library.name in sys.modules]
    gave = [each for each in imported if each(sys.modules[each.name]).release(index)]
    return " and ".join(each.name for each in gave)
