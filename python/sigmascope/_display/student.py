# SPDX-License-Identifier: BSD-3-Clause
"""Student's distribution: probabilities of its tails and its quantiles."""

from __future__ import annotations

import math
from functools import lru_cache


def student_tail(t: float, df: int) -> float:
    """Return P(|T| > t) of Student's distribution (Abramowitz & Stegun 26.7.3 and 26.7.4).

    The absolute error is about 1e-15, so that smaller probabilities may be 0.
    """
    theta = math.atan(abs(t) / math.sqrt(df))
    cos2, term, total = math.cos(theta) ** 2, 1.0, 0.0
    odd = df % 2
    for i in range(1, (df - odd) // 2 + 1):
        total += term
        term *= cos2 * (2 * i - 1 + odd) / (2 * i + odd)
    if odd:
        inside = 2 / math.pi * (theta + math.sin(theta) * math.cos(theta) * total)
    else:
        inside = math.sin(theta) * total
    return max(0.0, 1.0 - inside)


@lru_cache(maxsize=1024)
def student_quantile(level: float, df: int) -> float:
    """Return the t that |T| exceeds with the probability `level`, by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, df) > level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, df) > level else (low, middle)
    return high
