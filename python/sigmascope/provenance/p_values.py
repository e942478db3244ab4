# SPDX-License-Identifier: BSD-3-Clause
"""Certified bounds on p-values, in words."""

from __future__ import annotations

from math import ceil


def p_in_words(log10_p: float, log10_floor: float | None = None) -> str:
    """Return a bound in words, never below what the group of permutations can give.

    Examples
    --------
    >>> p_in_words(-80.3)
    '<= 1e-80'
    >>> p_in_words(-147.4, -147.4)
    '<= 1e-147 (the least this group can give)'
    >>> p_in_words(-1.0)
    '<= 0.1'
    """
    if log10_p > -4:
        step = 10.0 ** (ceil(log10_p) - 2)  # two digits, rounded upwards
        return f"<= {min(ceil(10**log10_p / step - 1e-6) * step, 1.0):.2g}"
    exponent = ceil(log10_p - 1e-6)
    words = f"<= 1e{exponent}"
    if log10_floor is not None and log10_p <= log10_floor + 1:
        words += " (the least this group can give)"
    return words
