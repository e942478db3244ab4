# SPDX-License-Identifier: BSD-3-Clause
"""Devices that a call computes on, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol, cast

from sigmascope._host.native import _core, cuda
from sigmascope._host.results import (
    DensityResult,
    GramResult,
    KrylovResult,
    LowRankResult,
    ValuesResult,
)
from sigmascope.errors import DeviceError

from .build import cuda_devices

USABLE = 0.9
"""Share of the free memory of a device that a call may take; libraries take some for themselves."""


class Solvers(Protocol):
    """The solvers of a native module."""

    def krylov(self, a: Any, **options: Any) -> KrylovResult:
        """Search for the largest singular values."""

    def density(self, a: Any, **options: Any) -> DensityResult:
        """Find the quadrature of a Krylov space."""

    def low_rank(self, a: Any, **options: Any) -> LowRankResult:
        """Find an approximation of low rank."""

    def gram_top(self, a: Any, **options: Any) -> GramResult:
        """Find the largest singular values by the Gram matrix."""

    def every_value(self, a: Any, **options: Any) -> ValuesResult:
        """Find every singular value."""


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a call.

    Attributes
    ----------
    name : str
        "cpu", or "cuda:0".
    index : int or None
        Number of a CUDA device.
    nbytes : int
        Bytes of its memory that a call may take; 0 for the CPU, whose limit is `memory_limit`.
    """

    name: str = "cpu"
    index: int | None = None
    nbytes: int = 0

    @property
    def solvers(self) -> Solvers:
        """Native module whose solvers compute on the device."""
        return cast(Solvers, _core if self.index is None else cuda())

    @property
    def notes(self) -> tuple[str, ...]:
        """Note of a result that was not computed on the CPU."""
        return () if self.index is None else (f"computed on {self.name}",)


CPU = Device()


def device_of(name: str) -> Device:
    """Return the device of a name: "cpu", "cuda" (the first one) or "cuda:1".

    Raises
    ------
    DeviceError
        If there is no such device; the message says what there is.
    """
    if name == "cpu":
        return CPU
    found = re.fullmatch(r"cuda(?::(\d+))?", name)
    if found is None:
        raise DeviceError(f"device is 'cpu', 'cuda' or 'cuda:0', not {name!r}")
    try:
        names = cuda_devices()
    except DeviceError as error:
        raise DeviceError(f"device {name!r} is not available: {error}") from error
    index = int(found[1] or names[0].partition(":")[2])
    if f"cuda:{index}" not in names:
        raise DeviceError(f"device {name!r} is not available; there is {', '.join(names)}")
    module = cuda()
    assert module is not None
    return Device(f"cuda:{index}", index, int(USABLE * module.free_memory(index)))
