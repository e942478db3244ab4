# SPDX-License-Identifier: BSD-3-Clause
"""Memory through which a matrix reaches a CUDA device, and that products take there."""

from __future__ import annotations

from dataclasses import dataclass

from sigmascope._host.native import cuda
from sigmascope.matrices.matrix import Matrix

from .options import CallOptions
from .passes import MIB


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The memory of a CUDA device that a call takes.

    Attributes
    ----------
    stored_nbytes : int
        Bytes for the stored numbers of the matrix, which stay there if they fit.
    planned_nbytes : int
        Bytes that the call takes in all, which each native function reserves when it begins.
    """

    stored_nbytes: int = 0
    planned_nbytes: int = 0

    def native(self) -> dict[str, int]:
        """Return the keyword arguments of the native functions."""
        return {"device_bytes": self.stored_nbytes, "device_planned_bytes": self.planned_nbytes}


NO_DEVICE = DevicePlan()


def panels_nbytes(a: Matrix, options: CallOptions, columns: int) -> int:
    """Return the bytes of panels on a device, and of the sums that products make of them."""
    module = cuda()
    assert module is not None
    native = {"panel_rows": options.panel_rows, "columns": columns}
    tensors = columns > 0 and options.precision != "float64"  # they multiply blocks in float32
    return int(module.panel_bytes(a._native, **native, tensors=tensors))


def parts_nbytes(a: Matrix, options: CallOptions, columns: int) -> int:
    """Return the bytes of the parts of blocks on a device, and of two blocks in float32.

    Tensor cores multiply parts: three numbers of bfloat16 for one of float32, in a multiple of 16
    columns.
    """
    if options.precision == "float64":
        return 0
    return (3 * 2 + 2 * 4) * sum(a.shape) * (-(-columns // 16) * 16)


def pinned_nbytes(a: Matrix, options: CallOptions) -> int:
    """Return the bytes of the host's buffers through which panels are copied to a CUDA device."""
    if options.device.index is None or a.device != "cpu":
        return 0
    return 3 * 8 * MIB  # also for small matrices, so that sums of them need no more
