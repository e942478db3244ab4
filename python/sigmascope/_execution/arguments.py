# SPDX-License-Identifier: BSD-3-Clause
"""Checks of arguments that many calls take, each with both values in its message."""

from __future__ import annotations

import math
import operator


def check_rank(k: int, shape: tuple[int, int]) -> None:
    """ValueError unless 1 <= k <= min(shape)."""
    if not 1 <= operator.index(k) <= min(shape):
        raise ValueError(f"k = {k} must be between 1 and min(m, n) = {min(shape)} of shape {shape}")


def check_positive(**values: float) -> None:
    """ValueError unless every value is positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, not {value}")


def check_seed(seed: int, name: str = "seed") -> int:
    """ValueError unless seed fits 64 bits."""
    if not 0 <= operator.index(seed) < 2**64:
        raise ValueError(f"{name} must be between 0 and 2**64 - 1, not {seed}")
    return int(seed)


def check_accuracy(accuracy: str) -> None:
    """ValueError unless it is a mode of svdvals."""
    if accuracy not in ("reference", "fast"):
        raise ValueError(f"accuracy is 'reference' or 'fast', not {accuracy!r}")


def of_shape(shape: tuple[int, int]) -> str:
    """Show a shape: "384 x 1536"."""
    return f"{shape[0]} x {shape[1]}"
