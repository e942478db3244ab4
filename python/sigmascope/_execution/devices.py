# SPDX-License-Identifier: BSD-3-Clause
"""Devices that a call computes on, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.cuda_devices import cuda_devices
from sigmascope._host.native import _core, cuda
from sigmascope.errors import DeviceError
from sigmascope.matrices.array_libraries import (
    ArrayLibrary,
    library_of,
    release_memory,
    root_module,
)
from sigmascope.matrices.device_arrays import COPIED, new_array
from sigmascope.matrices.matrix import Matrix

from .native_results import (
    DensityResult,
    GramResult,
    KrylovResult,
    LowRankResult,
    SurveyResult,
    ValuesResult,
)
from .retried import RetriedSolvers

USABLE = 0.9
"""Share of the free memory of a device that a call may take; libraries take some for themselves."""


class Solvers(Protocol):
    """The solvers of a native module, its passes over elements, and single products."""

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

    def moments(self, a: Any, **options: Any) -> dict[str, Any]:
        """Sum powers of the elements; count and locate elements that are not finite."""

    def survey(self, a: Any, **options: Any) -> SurveyResult:
        """Find the norm, the largest entry and a hash."""

    def change(self, before: Any, after: Any, **options: Any) -> dict[str, Any]:
        """Sum products of the elements of two matrices and of their difference."""

    def product_f64(self, a: Any, x: Any, verb: str, **options: Any) -> Any:
        """Multiply a block by the matrix ("multiply"), its transpose ("adjoint") or both ("gram").

        "gram" returns A^T A x and A x.
        """

    def packed_gram(self, a: Any, **options: Any) -> NDArray[np.float64]:
        """Form the lower triangle of A^T A, column after column."""


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
    library : ArrayLibrary or None
        Library of the arrays in which singular vectors are returned; None: NumPy.
    remarks : tuple of str
        Further notes of a result.
    is_share : bool
        Whether `nbytes` is a fixed share, which does not grow when other libraries free memory.
    """

    name: str = "cpu"
    index: int | None = None
    nbytes: int = 0
    library: ArrayLibrary | None = None
    remarks: tuple[str, ...] = ()
    is_share: bool = False

    @property
    def is_cuda(self) -> bool:
        """True for a CUDA device, False for the CPU."""
        return self.index is not None

    @property
    def solvers(self) -> Solvers:
        """Native module whose solvers compute on the device."""
        return cast(Solvers, _core if self.index is None else RetriedSolvers(cuda(), self.index))

    @property
    def allocate(self) -> Callable[[int, int, bool], tuple[Any, int]] | None:
        """Function of rows, columns and "is float64" that makes arrays for singular vectors."""
        if self.library is None or self.index is None:
            return None
        return partial(new_array, self.library, self.index)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of a result that was not computed on the CPU."""
        return () if self.index is None else (f"computed on {self.name}", *self.remarks)

    def share(self, nbytes: int) -> Device:
        """Return the same device with a limit: a call may take `nbytes` of its memory."""
        return replace(self, nbytes=nbytes, is_share=True)

    def with_room(self, nbytes: int) -> Device:
        """Return the same device; if `nbytes` are not free, other libraries first free memory."""
        if self.index is None or self.is_share or nbytes <= self.nbytes:
            return self
        now = replace(self, nbytes=_usable_nbytes(self.index))
        if nbytes > now.nbytes and release_memory(self.index):
            return replace(self, nbytes=_usable_nbytes(self.index))
        return now


CPU = Device()


def device_of(name: str) -> Device:
    """Return the device with a name: "cpu", "cuda" (the first one) or "cuda:1".

    Raises
    ------
    DeviceError
        If there is no such device; the message says why, or which devices there are.
    """
    if name == "cpu":
        return CPU
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise DeviceError(f"device must be 'cpu', 'cuda' or 'cuda:0', not {name!r}")
    try:
        names = cuda_devices()
    except DeviceError as error:
        raise DeviceError(f"device {name!r} is not available: {error}") from error
    index = int(match[1] or names[0].partition(":")[2])
    if f"cuda:{index}" not in names:
        raise DeviceError(f"device {name!r} is not available (available: {', '.join(names)})")
    return Device(f"cuda:{index}", index, _usable_nbytes(index))


def device_for(a: Matrix, name: str | None) -> Device:
    """Return the named device for a call on a matrix; by default, the one that holds the matrix.

    Raises
    ------
    DeviceError
        If there is no such device, or the matrix is on another; the message says what to do.
    """
    if a.device == "cpu":
        return device_of(name or "cpu")
    if name == "cpu":
        raise DeviceError(f"device is 'cpu', but the matrix is on {a.device}; {COPIED}")
    if name not in (None, "cuda", a.device):
        device_of(name)
        raise DeviceError(
            f"device is {name!r}, but the matrix is on {a.device}; omit device, or copy the "
            f"arrays to {name} first"
        )
    sources = a.native.sources_on_device
    libraries = {library_of(source) for source in sources}
    library = libraries.pop() if len(libraries) == 1 else None
    remarks: tuple[str, ...] = ()
    if library is None:
        names = " and ".join(sorted({root_module(source) for source in sources}))
        remarks = (f"NumPy arrays are returned, since the arguments are arrays of {names}",)
    return replace(device_of(a.device), library=library, remarks=remarks)


def _usable_nbytes(index: int) -> int:
    module = cuda()
    assert module is not None
    return int(USABLE * module.free_memory(index))
