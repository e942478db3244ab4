# SPDX-License-Identifier: BSD-3-Clause
"""Checks of arguments that many calls take, each with both values in its message."""

from __future__ import annotations

import math
import operator
import secrets
from typing import SupportsIndex

DRAWN_BITS = 53
"""Random bits of a seed that is drawn: all integers of that size are exact in float64."""


def check_rank(k: int, shape: tuple[int, int]) -> None:
    """Raise ValueError unless 1 <= k <= min(shape)."""
    if not 1 <= operator.index(k) <= min(shape):
        raise ValueError(f"k = {k} must be between 1 and min(m, n) = {min(shape)} of shape {shape}")


def check_positive(**values: float) -> None:
    """Raise ValueError unless every value is positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, not {value}")


def resolve_seed(seed: SupportsIndex | None) -> int:
    """Return the given seed; if there is none, draw one that nobody knows.

    A drawn seed has 53 bits, so that tables keep it: readers of JSON and CSV that convert every
    number to float64 lose integers above 2^53.

    Raises
    ------
    TypeError
        If the seed is not an integer.
    ValueError
        If it is negative or has more than 64 bits.
    """
    if seed is None:
        return secrets.randbits(DRAWN_BITS)
    wanted = "seed must be an integer between 0 and 2**64 - 1, or None to draw a random one"
    try:
        number = operator.index(seed)
    except TypeError:
        draw = ": pass int(rng.integers(2**53))" if hasattr(seed, "bit_generator") else ""
        raise TypeError(f"{wanted}, not {seed!r}{draw}") from None
    if not 0 <= number < 2**64:
        raise ValueError(f"{wanted}, not {number}")
    return number


def check_fingerprint(fingerprint: int) -> None:
    """Raise ValueError unless a fingerprint fits 64 bits."""
    if not 0 <= operator.index(fingerprint) < 2**64:
        raise ValueError(f"fingerprint must be between 0 and 2**64 - 1, not {fingerprint}")


def check_accuracy(accuracy: str) -> None:
    """Raise ValueError unless `accuracy` is a mode of svdvals."""
    if accuracy not in ("reference", "fast"):
        raise ValueError(f"accuracy must be 'reference' or 'fast', not {accuracy!r}")


def of_shape(shape: tuple[int, int]) -> str:
    """Format a shape: "384 x 1536"."""
    return f"{shape[0]} x {shape[1]}"
