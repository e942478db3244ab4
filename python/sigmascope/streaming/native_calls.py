# SPDX-License-Identifier: BSD-3-Clause
"""Native functions of an update, on the processor or on a CUDA device."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments
from sigmascope._execution.devices import Solvers
from sigmascope._execution.memory import NeedOf
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.native_results import SurveyResult
from sigmascope._execution.options import CallOptions
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads, useful_threads
from sigmascope.errors import NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra.units import exponent_of, scaled

PART = 32768
"""Rows whose Gram matrix is one product: `additions_at_hand` panels of gram_spectrum.hpp."""


class NativeCalls(NamedTuple):
    """Native module of an update, and the keyword arguments that its functions share."""

    module: Solvers
    options: dict[str, Any]


def native_calls(
    a: Matrix, need: NeedOf, *, num_threads: int | None = None, device: str | None = None
) -> NativeCalls:
    """Return the native functions for an update by `a`. Every call of one reads `a` once.

    Parameters
    ----------
    need
        Bytes that the update takes on a CUDA device, in addition to panels of the matrix.
    device
        By default the device of the matrix.

    Raises
    ------
    DeviceError
        If there is no such device.
    MemoryLimitError
        If the device has no memory for what the update needs.
    """
    options = {
        "threads": useful_threads(resolve_threads(num_threads), a.size),
        "panel_rows": 0,
        "load_bytes": 0,
        "progress": None,
    }
    if a.device == "cpu" and device in (None, "cpu"):
        return NativeCalls(cast(Solvers, _core), options)
    call = CallOptions.of(a, device=device, num_threads=num_threads)
    plan = CallMemory(a, call).device_plan(need, f"an update by {arguments.of_shape(a.shape)}")
    on_device = {"device": call.device.index} | plan.native()
    return NativeCalls(call.device.solvers, options | on_device)


def packed_gram(a: Matrix, calls: NativeCalls) -> NDArray[np.float64]:
    """Return the lower triangle of A^T A, in the order of its columns.

    Each `PART` rows give one product. Their sum keeps track of its own rounding errors, which
    therefore do not grow with the number of rows.
    """
    total = calls.module.packed_gram(a[:PART].native, **calls.options)
    lost = np.zeros(len(total) if a.shape[0] > PART else 0)
    for first in range(PART, a.shape[0], PART):
        term = calls.module.packed_gram(a[first : first + PART].native, **calls.options)
        before, total = total, total + term  # Knuth's sum of two numbers
        added = total - before
        lost += (before - (total - added)) + (term - added)
    return total + lost if len(lost) else total


def require_finite(*arrays: NDArray[np.float64]) -> None:
    """Raise NonFiniteError if an array of an update contains NaN or infinity."""
    for array in arrays:
        if bad := int(np.sum(~np.isfinite(array))):
            raise NonFiniteError(f"the numbers of the update hold {bad} NaN or infinite entries")


def surveyed(a: Matrix, what: str, calls: NativeCalls, step: int = 8) -> tuple[Matrix, float, int]:
    """Return a 2^-unit, the square of its Frobenius norm, and unit.

    The unit is a multiple of `step`, and 0 unless squares would leave the range of float64. Raises
    NonFiniteError if an entry is not finite.
    """
    seen = _seen(a, what, calls)
    unit = int(seen["unit"]) // step * step
    fro2 = scaled(float(seen["fro2"]), 2 * (int(seen["unit"]) - unit))
    return (a * 2.0**-unit if unit else a), fro2, unit


def in_own_units(a: Matrix, what: str, calls: NativeCalls, step: int) -> tuple[Matrix, int]:
    """Return a 2^-unit and unit, a multiple of `step`; the largest entry is then of the order of 1.

    Raises NonFiniteError if an entry is not finite.
    """
    unit = exponent_of(float(_seen(a, what, calls)["largest"])) // step * step
    return (a * 2.0**-unit if unit else a), unit


def _seen(a: Matrix, what: str, calls: NativeCalls) -> SurveyResult:
    seen = calls.module.survey(a.native, **calls.options)
    if seen["nan"] or seen["inf"]:
        raise NonFiniteError(
            f"the {what} hold {seen['nan']} NaN and {seen['inf']} infinite entries, "
            f"the first at {seen['first_nonfinite']}"
        )
    return seen
