# SPDX-License-Identifier: BSD-3-Clause
"""Integers as float64, without silent rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXACT = 2**53
"""Magnitude up to which float64 has every integer."""


def exact_float64(x: NDArray[Any]) -> NDArray[np.float64]:
    """Convert an array of integers or booleans to float64.

    Raises
    ------
    ValueError
        If an integer is not exact in float64.
    """
    if x.dtype.itemsize == 8 and x.size and (x.min() < -_EXACT or x.max() > _EXACT):
        magnitude = np.where(x < 0, ~x.astype(np.uint64) + np.uint64(1), x.astype(np.uint64))
        lowest = magnitude & (~magnitude + np.uint64(1))
        rounded = (magnitude != 0) & (magnitude >> np.uint64(53) >= lowest)
        if rounded.any():
            index = tuple(int(i) for i in np.argwhere(rounded)[0])
            raise ValueError(_refusal(int(x[index]), index))
    return x.astype(np.float64)


def check_exact(x: Any, index: tuple[int, ...] = ()) -> None:
    """Raise ValueError if an int in nested sequences or an object array would be rounded."""
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype.kind == "O"):
        for i, each in enumerate(x):
            check_exact(each, (*index, i))
    elif type(x) is int and not -_EXACT <= x <= _EXACT:
        magnitude = abs(x)
        lowest = magnitude & -magnitude
        if magnitude >> 53 >= lowest or magnitude.bit_length() > 1023:
            raise ValueError(_refusal(x, index))


def _refusal(value: int, index: tuple[int, ...]) -> str:
    return (
        f"element {index} is {value}, which float64 cannot represent exactly (integers up to 2**53 "
        "are exact); np.asarray(x, dtype=np.float64) rounds it"
    )
