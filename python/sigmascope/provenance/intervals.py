# SPDX-License-Identifier: BSD-3-Clause
"""Intervals of weights."""

from __future__ import annotations

from math import isfinite

NARROW = 0.1
"""Widest interval, in parts of its middle, whose middle stands for the weight."""


def nominal_weight(low: float, high: float) -> float:
    """Return the weight for which survival is stated.

    That is the middle of a narrow interval. A wide one says little of the weight, so it is taken
    to be 1, unless the interval excludes that.

    Examples
    --------
    >>> nominal_weight(0.49, 0.51), nominal_weight(-127.6, 127.8), nominal_weight(0.1, 0.5)
    (0.5, 1.0, 0.3)
    """
    middle = (low + high) / 2
    if not isfinite(middle):
        return 1.0
    is_narrow = high - low <= NARROW * abs(middle)
    return middle if is_narrow or not low <= 1 <= high else 1.0
