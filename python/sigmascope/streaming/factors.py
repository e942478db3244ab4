# SPDX-License-Identifier: BSD-3-Clause
"""The factors of an update U V^T, on the host or on a CUDA device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.memory import NeedOf
from sigmascope.matrices.arrays import real_array
from sigmascope.matrices.device_arrays import lies_on_device
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix

from .native_calls import NativeCalls, in_own_units, native_calls, require_finite

Array = NDArray[np.float64]


class Factor(NamedTuple):
    """A factor of an update, and where its products are computed."""

    numbers: Matrix
    calls: NativeCalls

    def product(self, x: Array, verb: str) -> Array:
        """Multiply a block by the factor ("multiply") or by its transpose ("adjoint")."""
        product = self.calls.module.product_f64(self.numbers.native, x, verb, **self.calls.options)
        return np.asarray(product)


class Outer(NamedTuple):
    """An update 2^unit U V^T."""

    left: Factor
    right: Factor
    unit: int


def outer(u: Any, v: Any, shape: tuple[int, int]) -> tuple[Matrix, Matrix]:
    """Return vectors or matrices as factors of an update; ValueError if they do not fit `shape`.

    Arrays on the host are read in float64.
    """
    U, V = _as_columns(u), _as_columns(v)
    if U.shape[1] != V.shape[1]:
        raise ValueError(f"u {U.shape} and v {V.shape} have no product u v^T")
    if (U.shape[0], V.shape[0]) != shape:
        raise ValueError(f"u v^T is {U.shape[0]} x {V.shape[0]}, but the sketch has shape {shape}")
    return U, V


def in_factors(
    U: Matrix, V: Matrix, need: NeedOf, step: int, *, num_threads: int | None, device: str | None
) -> Outer:
    """Return an update by U V^T in units whose exponent is a multiple of `step`.

    `need`: bytes that a product with a factor takes on a device. `device`: by default, the one on
    which U or V lies.

    Raises
    ------
    NonFiniteError
        If an entry is NaN or infinite.
    DeviceError, MemoryLimitError
        If there is no such device, or it has no memory for the products.
    """
    on_host = [x for x in (U, V) if x.device == "cpu"]
    require_finite(*map(np.asarray, on_host))
    place = device or next((x.device for x in (U, V) if x.device != "cpu"), None)
    calls = [native_calls(x, need, num_threads=num_threads, device=place) for x in (U, V)]
    (left, i), (right, j) = (
        in_own_units(x, "numbers of the update", on, step)
        for x, on in zip((U, V), calls, strict=True)
    )
    return Outer(Factor(left, calls[0]), Factor(right, calls[1]), i + j)


def _as_columns(x: Any) -> Matrix:
    array = x if isinstance(x, Matrix) or lies_on_device(x) else real_array(x)
    return matrix(array[:, None] if len(array.shape) == 1 else array)
