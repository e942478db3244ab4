# SPDX-License-Identifier: BSD-3-Clause
"""Arrays in the memory of simulated devices, and the libraries that they might be of."""

from __future__ import annotations

import ctypes
import gc
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.support.dlpack import Exported, capsule_of

CUDA, MANAGED = 2, 13
ALIGNMENT = 256  # of memory that CUDA allocates


def first_address(view: NDArray[Any]) -> int:
    """Return where the array begins that owns the memory of a view."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return np.lib.array_utils.byte_bounds(view)[0]


class DeviceArray:
    """The numbers of a NumPy array, with its strides, in memory of a simulated device.

    Attributes
    ----------
    writer : int
        The stream that the library of the array writes it on.
    streams : list of int or None
        The streams that it was exported to, which wait for the writer.
    exports, given_back : int
        How often a capsule was made, and how often its tensor was given back.
    capsules : list
        All of them until :meth:`settled`: a destructor in Python must not run while an exception
        is on its way.
    """

    def __init__(
        self,
        module: ModuleType,
        view: NDArray[Any],
        *,
        device: int = 0,
        kind: int = CUDA,
        writer: int | None = None,
    ) -> None:
        self.simulator = module.simulator
        self.device, self.kind = device, kind
        self.writer = self.simulator.new_stream() if writer is None else writer
        self.streams: list[int | None] = []
        self.exports = self.given_back = 0
        self.capsules: list[Any] = []
        low, high = np.lib.array_utils.byte_bounds(view)
        self.nbytes = high - low
        skipped = (low - first_address(view)) % ALIGNMENT  # of the array that is viewed
        self.base = self.simulator.allocate(skipped + max(self.nbytes, 1), device) + skipped
        self.offset = view.__array_interface__["data"][0] - low
        self.dtype, self.shape, self.strides = view.dtype, view.shape, view.strides
        self.write(view)

    def write(self, view: NDArray[Any]) -> None:
        """Ask for new numbers of the same layout: they are there when the writer has run."""
        assert (view.shape, view.strides) == (self.shape, self.strides)
        low = view.__array_interface__["data"][0] - self.offset
        self.simulator.write(self.base, ctypes.string_at(low, self.nbytes), self.writer)

    def read(self) -> NDArray[Any]:
        """Return the numbers when the writer has done all that it was given."""
        buffer = np.frombuffer(self.simulator.read(self.base, self.nbytes, self.writer), np.uint8)
        return np.ndarray(self.shape, self.dtype, buffer, self.offset, self.strides)

    @property
    def T(self) -> DeviceArray:
        """A transposed view."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.shape, other.strides = self.shape[::-1], self.strides[::-1]
        return other

    def __getitem__(self, index: Any) -> DeviceArray:
        """A view of a part, with the layout that NumPy gives it."""
        return self._viewed(self._layout()[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write a number, or the numbers of another array, after all that was asked for."""
        numbers = bytearray(self.simulator.read(self.base, self.nbytes, self.writer))
        whole = np.ndarray(self.shape, self.dtype, numbers, self.offset, self.strides)
        whole[index] = value.read() if isinstance(value, DeviceArray) else value
        self.simulator.write(self.base, bytes(numbers), self.writer)

    def reshape(self, *shape: int) -> DeviceArray:
        """A view of a contiguous array in other axes."""
        layout = self._layout()
        assert layout.flags.c_contiguous
        return self._viewed(layout.reshape(shape))

    def _layout(self) -> NDArray[Any]:
        """An array with the layout of this one, and other numbers."""
        numbers = np.zeros(self.nbytes, np.uint8)
        return np.ndarray(self.shape, self.dtype, numbers, self.offset, self.strides)

    def _viewed(self, layout: NDArray[Any]) -> DeviceArray:
        assert layout.base is not None
        start = layout.base.__array_interface__["data"][0]
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.offset = layout.__array_interface__["data"][0] - start
        other.shape, other.strides = layout.shape, layout.strides
        return other

    @property
    def address(self) -> int:
        """Place of element (0, 0)."""
        return int(self.base + self.offset)

    def exported(self) -> Exported:
        size = self.dtype.itemsize
        strides = tuple(stride // size for stride in self.strides)
        place = (self.kind, self.device)
        return Exported(self.base, place, self.dtype.name, self.shape, strides, self.offset)

    def capsule(self, stream: int | None, versioned: bool) -> Any:
        self.streams.append(stream)
        if stream is not None and stream > 2:
            self.simulator.follow(stream, self.writer)
        self.exports += 1
        self.capsules.append(capsule_of(self.exported(), versioned, self._take_back))
        return self.capsules[-1]

    def settled(self) -> tuple[int, int]:
        """Drop capsules and what nobody refers to; return `exports` and `given_back`."""
        self.capsules.clear()
        gc.collect()
        return self.exports, self.given_back

    def _take_back(self) -> None:
        self.given_back += 1


class Versioned(DeviceArray):
    """An array of a library that knows DLPack 1.0."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.device

    def __dlpack__(
        self, *, stream: int | None = None, max_version: tuple[int, int] | None = None
    ) -> Any:
        return self.capsule(stream, max_version is not None and max_version >= (1, 0))


class Unversioned(DeviceArray):
    """An array of a library that knows the older DLPack alone."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.device

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        return self.capsule(stream, False)


class Interface(DeviceArray):
    """An array of a library that knows the CUDA array interface; `changes` are made to it."""

    def __init__(self, module: ModuleType, view: NDArray[Any], **options: Any) -> None:
        super().__init__(module, view, **options)
        self.changes: dict[str, Any] = {}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": f"|V{self.dtype.itemsize}" if self.dtype.num > 23 else self.dtype.str,
            "data": (self.address, False),
            "strides": self.strides,
            "version": 3,
            "stream": self.writer,
            **self.changes,
        }


def library(name: str, module: ModuleType) -> Any:
    """Return a module with what is asked of cupy or torch, whose arrays are simulated."""

    class OutOfMemoryError(RuntimeError):
        pass

    class Made(Versioned):
        @property
        def data(self) -> Any:
            return SimpleNamespace(ptr=self.address)

        def data_ptr(self) -> int:
            return self.address

        def get(self) -> NDArray[Any]:
            return self.read()

        def is_floating_point(self) -> bool:
            return self.dtype.kind == "f"

        def double(self) -> Made:
            return Made(module, self.read().astype(np.float64))

        def detach(self) -> Made:
            return self

        def cpu(self) -> Any:
            return SimpleNamespace(numpy=self.read)

    Made.__module__ = name
    made: Any = ModuleType(name)
    made.ndarray, made.used, made.unused, made.released, made.full = Made, 0, 0, 0, False
    made.float32, made.float64 = "float32", "float64"

    def empty(shape: tuple[int, int], dtype: str, device: str = "cuda:0") -> Any:
        if made.full:
            raise OutOfMemoryError("tried to allocate too much")
        return Made(module, np.full(shape, np.nan, dtype), device=int(device[5:]))

    def release() -> None:
        made.released += 1
        made.unused = 0

    def reserved(_: Any = None) -> int:
        return int(made.used + made.unused)

    pool = SimpleNamespace(total_bytes=reserved, free_all_blocks=release)
    made.empty, made.get_default_memory_pool = empty, lambda: pool
    made.cuda = SimpleNamespace(
        Device=lambda index: nullcontext(),
        device=lambda index: nullcontext(),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        OutOfMemoryError=OutOfMemoryError,
        memory_reserved=reserved,
        empty_cache=release,
    )
    return made
