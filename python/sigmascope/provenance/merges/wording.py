# SPDX-License-Identifier: BSD-3-Clause
"""Words for weights, parts and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isinf, log10
from pathlib import Path


def weight_text(low: float, high: float) -> str:
    """Return a weight with as many digits as its interval allows, and the interval."""
    if isinf(low) or isinf(high):
        return "an unknown weight"
    width = max(high - low, 1e-12)
    digits = min(max(-floor(log10(width)), 1), 9)
    return f"{(low + high) / 2:.{digits}f} ([{_down(low, digits + 1)}, {_up(high, digits + 1)}])"


def _down(value: float, digits: int) -> str:
    step = 10.0**-digits
    return f"{floor(value / step) * step:.{digits}f}"


def _up(value: float, digits: int) -> str:
    step = 10.0**-digits
    return f"{-floor(-value / step) * step:.{digits}f}"


def last_part(name: str) -> str:
    """Return the last part of a path."""
    return Path(name).name or name


def percent(part: float) -> str:
    """Return a part in percent."""
    hundredths = 100 * part
    return f"{hundredths:.1f} %" if abs(hundredths) < 99.95 or hundredths > 100.05 else "100 %"


def list_words(words: Sequence[str]) -> str:
    """Join words with commas and "and"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
