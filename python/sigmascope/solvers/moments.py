# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of the entries of a matrix, of its rows and its columns, from one pass."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments, distributed
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.memory import elementwise_need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.options import CallOptions
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope.errors import NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import Moments
from sigmascope.spectra.units import scaled


@public
def moments(A: Any, *, histogram: bool = True, **options: Unpack[ComputeOptions]) -> Moments:
    """Compute the elementwise, row and column statistics of a matrix in one pass.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    histogram : bool
        Count the stored codes, for a matrix of one 8- or 16-bit dtype.
    **options
        device, num_threads, memory_limit, panel_rows, progress, executor: see
        :class:`sigmascope._execution.keywords.ComputeOptions`.

    Returns
    -------
    Moments
        NaN and infinity are counted, and the first is located. All other statistics omit them.

    See Also
    --------
    MomentsAccumulator : The same statistics for a stream of rows.
    spectrum : Measures of the singular values.

    Notes
    -----
    One read of A. If squares of float64 entries would leave the range, further reads take the
    matrix times a power of two. Sums are in float64, in an order that only the matrix decides: no
    bit depends on how it is stored. Each 4096 elements of a row give sums of powers, which Pebay's
    formulas (2008) merge. If the mean holds more than 7/8 of the squares, the sums are taken again
    about the mean, and a large mean costs no digits. For the stored numbers, norms, mean and
    deviation are good to about 1e-13, skewness and kurtosis to 1e-11; if the mean is larger than
    the deviation, these errors grow by mean / deviation.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> found = ss.moments(np.array([[1.0, -2.0], [0.0, 1.0]]))
    >>> found.zeros, found.min, found.max, found.mean
    (1, -2.0, 1.0, 0.0)
    """
    a = matrix(A)
    call = CallOptions.of(a, reads=1, **options)
    return element_moments(a, call, histogram=histogram)


def element_moments(
    a: Matrix, call: CallOptions, *, histogram: bool = True, plan: MemoryPlan | None = None
) -> Moments:
    """Compute :func:`moments` with resolved options, by `plan` if a larger call has one."""
    if plan is None:
        what = f"a pass over every element of {arguments.of_shape(a.shape)}"
        plan = CallMemory(a, call).plan(elementwise_need, what, hold=False)
    started = time.perf_counter()

    def look(b: Matrix) -> dict[str, Any]:
        if call.executor is not None:
            return distributed.moments(b, call, histogram=histogram)
        return call.device.solvers.moments(b.native, histogram=histogram, **plan.native())

    return moments_of(a.shape, element_sums(a, look), time.perf_counter() - started)


def check_finite(moments: Moments, what: str, axes: str = "") -> None:
    """Raise NonFiniteError, which names `what`, if entries are NaN or infinite.

    `axes`: a remark on the place of the first one.
    """
    if moments.nan or moments.inf:
        raise NonFiniteError(
            f"{what} holds {moments.nan} NaN and {moments.inf} infinite entries, "
            f"the first at {moments.first_nonfinite}{axes}"
        )


_POWERS = 144
"""Largest exponent (in magnitude) of an entry whose fourth power and its error stay in range."""

_BAND = 448
"""Number of exponents, below that of the sums, within which squares stay in range."""


_LEAST = 2.0**-149
"""Lower bound for the positive numbers of all formats except f64."""


class Band(NamedTuple):
    """Sums of the squares of some rows and columns, in units of 4^unit; 0 for the others."""

    unit: int
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]


def element_sums(a: Matrix, look: Callable[[Matrix], dict[str, Any]]) -> dict[str, Any]:
    """Sum powers of the entries of a matrix, wherever in the range of float64 they lie.

    Parameters
    ----------
    look
        The native function that reads every element once. If fourth powers would leave the range,
        it is called again on the matrix times a power of two, which is exact. So it is for rows and
        columns whose entries are all so small that their squares would leave the range.

    Returns
    -------
    dict
        The result of `look`, with powers in units of 2^`unit` (a multiple of 8, mostly 0); the
        squares of rows and columns as `bands`, and their norms; and `passes`.
    """
    raw = look(a)
    largest = max(raw["max"], -raw["min"]) if raw["count"] else 0.0
    unit = unit_of(math.ldexp(0.5, _core.door_exponent(a.native, largest)))
    seen = raw | {"unit": unit, "passes": 1}
    if unit:
        again = look(a * 2.0**-unit)
        seen |= {name: again[name] for name in ("mean", "m2", "m3", "m4", "sum_squares")}
        raw, seen["passes"] = again, 2
        if any(dtype != "f64" for dtype in a.native.dtypes):  # whose least numbers are not known
            seen["least"] = min(seen["least"], _LEAST)
    bands = [Band(unit, raw["row_squares"], raw["column_squares"])]
    while seen["least"] < 2.0 ** max(unit - _BAND, -1074) and unit > -1000:
        unit = max(unit - 2 * _BAND + 96, -1000)
        bands = _with_lower(bands, unit, look(a * 2.0**-unit))
        seen["passes"] += 1
    del seen["row_squares"], seen["column_squares"]
    return seen | {
        "bands": bands,
        "row_norms": norms_of((u, rows) for u, rows, _ in bands),
        "column_norms": norms_of((u, columns) for u, _, columns in bands),
    }


def unit_of(largest: float) -> int:
    """Return the exponent of the unit for powers of entries whose largest magnitude is given."""
    exponent = math.frexp(largest)[1]
    return 0 if abs(exponent) <= _POWERS else min(max(exponent // 8 * 8, -1000), 1000)


def norms_of(bands: Iterable[tuple[int, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the norms of rows or columns; the squares of each are in one band."""
    return reduce(np.add, (scaled(np.sqrt(squares), unit) for unit, squares in bands))


def _with_lower(bands: list[Band], unit: int, raw: dict[str, Any]) -> list[Band]:
    """Move rows and columns whose squares are at the end of the range to a lower band."""
    kept, moved = [], []
    for side in ("rows", "columns"):
        *settled, last = (getattr(band, side) for band in bands)
        low = (last < 4.0**-_BAND) & (np.sum([np.zeros(len(last)), *settled], axis=0) == 0.0)
        kept.append(np.where(low, 0.0, last))
        moved.append(np.where(low, raw[f"{side.removesuffix('s')}_squares"], 0.0))
    return [*bands[:-1], Band(bands[-1].unit, *kept), Band(unit, *moved)]


def moments_of(shape: tuple[int, int], raw: dict[str, Any], seconds: float) -> Moments:
    """Build the Moments from the sums of :func:`element_sums`."""
    count, unit = int(raw["count"]), raw["unit"]
    variance = max(raw["m2"] / count, 0.0) if count else 0.0
    return Moments(
        shape=shape,
        count=count,
        zeros=raw["zeros"],
        nan=raw["nan"],
        inf=raw["inf"],
        first_nonfinite=raw["first_nonfinite"],
        min=raw["min"] if count else 0.0,
        max=raw["max"] if count else 0.0,
        mean=scaled(raw["mean"], unit),
        std=scaled(math.sqrt(variance), unit),
        skewness=raw["m3"] / count / variance**1.5 if variance > 0 else 0.0,
        kurtosis=raw["m4"] / count / variance**2 if variance > 0 else 0.0,
        fro_norm=scaled(math.sqrt(raw["sum_squares"]), unit),
        abs_max=max(raw["max"], -raw["min"]) if count else 0.0,
        row_norms=raw["row_norms"],
        column_norms=raw["column_norms"],
        histogram=raw["histogram"],
        passes=raw["passes"],
        seconds=seconds,
    )
