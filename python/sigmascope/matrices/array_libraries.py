# SPDX-License-Identifier: BSD-3-Clause
"""Calls to CuPy and torch, whose arrays lie on CUDA devices.

Neither is imported here: a caller who passes one of their arrays has imported it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

PLAIN_TENSORS = ("Tensor", "Parameter", "Buffer")
"""Classes of torch whose numbers are in the memory that they point to."""


class ArrayLibrary(Protocol):
    """A library that makes arrays on CUDA devices, and caches unused memory there."""

    @property
    def name(self) -> str:
        """Name of its module."""

    @property
    def module(self) -> Any:
        """Its module."""

    @property
    def out_of_memory(self) -> type[Exception]:
        """Exception that it raises where a device has no memory left."""

    def on(self, index: int) -> AbstractContextManager[Any]:
        """Make a device its current one for a while."""

    def empty(self, shape: tuple[int, int], precision: str, index: int) -> Any:
        """Make a row-major array of float32 or float64 on a device; its content is undefined."""

    def address(self, array: Any) -> int:
        """Return the address of one of its arrays in the memory of the device."""

    def on_host(self, array: Any) -> NDArray[Any]:
        """Return a copy of one of its arrays in the memory of the host."""

    def bytes_of(self, array: Any) -> Any:
        """Return the bytes of an array in C order, as a vector of uint8 on its device."""

    def reserved(self, index: int) -> int:
        """Return the bytes of a device that it holds, for its arrays and in its cache."""

    def release(self, index: int) -> None:
        """Free the memory of a device that it caches for later arrays."""


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

    def on_host(self, array: Any) -> NDArray[Any]:
        return np.asarray(array.get())

    def bytes_of(self, array: Any) -> Any:
        return self.module.ascontiguousarray(array).reshape(-1).view("uint8")

    def reserved(self, index: int) -> int:
        with self.on(index):
            return int(self.module.get_default_memory_pool().total_bytes())

    def release(self, index: int) -> None:
        with self.on(index):
            self.module.get_default_memory_pool().free_all_blocks()


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

    def on_host(self, array: Any) -> NDArray[Any]:
        exact = array.double() if array.is_floating_point() else array  # NumPy has no bfloat16
        return np.asarray(exact.detach().cpu().numpy())

    def bytes_of(self, array: Any) -> Any:
        return array.detach().contiguous().reshape(-1).view(self.module.uint8)

    def reserved(self, index: int) -> int:
        return int(self.module.cuda.memory_reserved(index))

    def release(self, index: int) -> None:
        self.module.cuda.empty_cache()


_LIBRARIES = (_CuPy, _Torch)


def root_module(source: Any) -> str:
    """Return the name of the library that defines the type of an array."""
    return type(source).__module__.partition(".")[0]


def library_of(source: Any) -> ArrayLibrary | None:
    """Return the library of an array's type or of one of its bases; None if it has no such."""
    roots = {base.__module__.partition(".")[0] for base in type(source).__mro__}
    for library in _LIBRARIES:
        if library.name in roots and library.name in sys.modules:
            return library(sys.modules[library.name])
    return None


def release_memory(index: int) -> bool:
    """Free the device memory cached by every imported library; return whether any was freed."""
    gave = False
    for library in _imported():
        before = library.reserved(index)
        library.release(index)
        gave |= library.reserved(index) < before
    return gave


def users_of_memory(index: int) -> str:
    """Return a clause that names the libraries that hold memory of a device; it may be empty."""
    names = [library.name for library in _imported() if library.reserved(index) > 0]
    return f"; memory of {' and '.join(names)} is still in use there" if names else ""


def _imported() -> list[ArrayLibrary]:
    return [each(sys.modules[each.name]) for each in _LIBRARIES if each.name in sys.modules]
