# SPDX-License-Identifier: BSD-3-Clause
"""The limits of a CUDA device, measured: its memory, its tensor cores and the way from the host."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .libraries import CUPY, TORCH, DeviceLibrary

TURNS = 10
"""Number of runs whose median counts, after one run that does not count."""

MOST_BYTES, LARGEST_ORDER = 1 << 30, 8192
"""Bytes that are copied, and order of the product, where they fit into half the free memory."""

Act = Callable[[], object]


class DeviceWork(Protocol):
    """The measured operations, on random numbers, as functions that start them."""

    @property
    def library(self) -> DeviceLibrary:
        """Library that carries them out."""

    def free_bytes(self) -> int:
        """Return the free bytes of the device."""

    def synchronize(self) -> None:
        """Wait for the device."""

    def copy(self, nbytes: int) -> Act:
        """Copy within the memory of the device."""

    def upload(self, nbytes: int) -> Act:
        """Copy from pinned memory of the host to the device."""

    def product(self, order: int) -> Act:
        """Multiply two square matrices in bfloat16, with sums in float32."""


def device_work() -> DeviceWork | None:
    """Return the operations of a library that finds a device; None if no library does."""
    works: tuple[DeviceWork, ...] = (TorchWork(), CupyWork())
    return next((work for work in works if not work.library.missing()), None)


def measure_limits(work: DeviceWork) -> dict[str, Any]:
    """Measure the rates that no computation on the device can exceed.

    Parameters
    ----------
    work : DeviceWork
        Operations of a library that finds a device.

    Returns
    -------
    dict
        ``device`` in words. ``copy_bytes_per_second``: bytes read and bytes written of a copy
        within the memory of the device. ``host_to_device_bytes_per_second``: of a copy from pinned
        memory of the host. ``bf16_flops_per_second``: of a product of two matrices of
        ``bf16_order``. ``copied_bytes``: bytes of a copy.
    """
    free = work.free_bytes()
    nbytes, order = min(MOST_BYTES, free // 8), LARGEST_ORDER
    while 3 * 2 * order**2 > free // 2:
        order //= 2

    def seconds(act: Act) -> float:
        taken = []
        for _ in range(1 + TURNS):
            work.synchronize()
            started = time.perf_counter()
            act()
            work.synchronize()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken[1:])

    return {
        "device": work.library.description(),
        "copy_bytes_per_second": 2 * nbytes / seconds(work.copy(nbytes)),
        "host_to_device_bytes_per_second": nbytes / seconds(work.upload(nbytes)),
        "bf16_flops_per_second": 2.0 * order**3 / seconds(work.product(order)),
        "bf16_order": order,
        "copied_bytes": nbytes,
    }


class TorchWork:
    """The operations by PyTorch."""

    library = TORCH

    def free_bytes(self) -> int:
        """Return the free bytes of the device."""
        import torch

        return int(torch.cuda.mem_get_info()[0])

    def synchronize(self) -> None:
        """Wait for the device."""
        import torch

        torch.cuda.synchronize()

    def copy(self, nbytes: int) -> Act:
        """Copy within the memory of the device."""
        import torch

        place: dict[str, Any] = {"dtype": torch.uint8, "device": self.library.device}
        one, two = (torch.randint(256, (nbytes,), **place) for _ in range(2))
        return lambda: two.copy_(one)

    def upload(self, nbytes: int) -> Act:
        """Copy from pinned memory of the host to the device."""
        import torch

        pinned = torch.randint(256, (nbytes,), dtype=torch.uint8).pin_memory()
        on_device = torch.empty(nbytes, dtype=torch.uint8, device=self.library.device)
        return lambda: on_device.copy_(pinned, non_blocking=True)

    def product(self, order: int) -> Act:
        """Multiply two square matrices in bfloat16, with sums in float32."""
        import torch

        place: dict[str, Any] = {"dtype": torch.bfloat16, "device": self.library.device}
        A, B = (torch.randn(order, order, **place) for _ in range(2))
        C = torch.empty_like(A)
        return lambda: torch.matmul(A, B, out=C)


class CupyWork:
    """The operations by CuPy."""

    library = CUPY

    def free_bytes(self) -> int:
        """Return the free bytes of the device."""
        import cupy

        return int(cupy.cuda.runtime.memGetInfo()[0])

    def synchronize(self) -> None:
        """Wait for the device."""
        import cupy

        cupy.cuda.runtime.deviceSynchronize()

    def copy(self, nbytes: int) -> Act:
        """Copy within the memory of the device."""
        import cupy

        one, two = (cupy.random.randint(0, 256, nbytes, dtype=np.uint8) for _ in range(2))
        return lambda: cupy.copyto(two, one)

    def upload(self, nbytes: int) -> Act:
        """Copy from pinned memory of the host to the device."""
        import cupy
        import cupyx

        pinned = cupyx.empty_pinned(nbytes, np.uint8)
        pinned[:] = np.random.default_rng(0).integers(0, 256, nbytes, dtype=np.uint8)
        on_device = cupy.empty(nbytes, np.uint8)
        return lambda: on_device.set(pinned)

    def product(self, order: int) -> Act:
        """Multiply codes of bfloat16 by cuBLAS's gemmEx, since CuPy itself does not."""
        import cupy
        from cupy.cuda import cublas

        def codes() -> Any:
            wide = cupy.random.standard_normal((order, order), dtype=np.float32)
            return (wide.view(np.uint32) >> 16).astype(np.uint16)

        A, B, C = codes(), codes(), cupy.empty((order, order), np.uint16)
        one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
        bf16 = cupy.cuda.runtime.CUDA_R_16BF
        handle = cupy.cuda.device.get_cublas_handle()
        return lambda: cublas.gemmEx(
            handle, cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_N, order, order, order,
            one.ctypes.data, A.data.ptr, bf16, order, B.data.ptr, bf16, order,
            zero.ctypes.data, C.data.ptr, bf16, order,
            cublas.CUBLAS_COMPUTE_32F, cublas.CUBLAS_GEMM_DEFAULT,
        )  # fmt: skip
