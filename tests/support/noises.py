# SPDX-License-Identifier: BSD-3-Clause
"""Noises without a direction: even, uneven, correlated, heavy-tailed, sparse, rounded."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Shape = tuple[int, int]
Noise = Callable[[np.random.Generator, int, int], Array]


def scaled_lines(rows: float, columns: float) -> Noise:
    """Gaussian entries, rows and columns multiplied by log-normal factors of these deviations."""

    def noise(rng: np.random.Generator, m: int, n: int) -> Array:
        of_rows = np.exp(rows * rng.standard_normal((m, 1)))
        return rng.standard_normal((m, n)) * of_rows * np.exp(columns * rng.standard_normal(n))

    return noise


def autoregressive(correlation: float, *, along_rows: bool) -> Noise:
    """Gaussian entries, each correlated with its neighbour in the row, or in the column."""

    def noise(rng: np.random.Generator, m: int, n: int) -> Array:
        x = rng.standard_normal((m, n) if along_rows else (n, m))
        for j in range(1, x.shape[1]):
            fresh = np.sqrt(1.0 - correlation**2) * x[:, j]
            x[:, j] = correlation * x[:, j - 1] + fresh
        return x if along_rows else x.T

    return noise


def sparse(share: float) -> Noise:
    """A share of the entries Gaussian, the others zero."""

    def noise(rng: np.random.Generator, m: int, n: int) -> Array:
        return rng.standard_normal((m, n)) * (rng.random((m, n)) < share)

    return noise


def to_bfloat16(x: Array) -> Array:
    """Round to the nearest bfloat16 number, ties to even."""
    bits = np.asarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


def bfloat16_rounding(rng: np.random.Generator, m: int, n: int) -> Array:
    """The error of Gaussian weights stored as bfloat16."""
    weights = rng.standard_normal((m, n))
    return to_bfloat16(weights) - weights.astype(np.float32)


def float32_rounding(rng: np.random.Generator, m: int, n: int) -> Array:
    """The error of weights with rows of unlike sizes stored as float32."""
    weights = 0.05 * scaled_lines(0.5, 0.0)(rng, m, n)
    return weights.astype(np.float32) - weights


def int4_rounding(rng: np.random.Generator, m: int, n: int) -> Array:
    """The error of Gaussian weights stored as 4-bit integers with a scale for each row."""
    weights = rng.standard_normal((m, n))
    step = np.abs(weights).max(axis=1, keepdims=True) / 7
    return np.round(weights / step) * step - weights


def block_rounding(rng: np.random.Generator, m: int, n: int) -> Array:
    """The error of Gaussian weights in blocks of 4 bits, whose scale is their largest / -8."""
    weights = rng.standard_normal((m, n)).reshape(m, -1, math.gcd(n, 32))
    where = np.abs(weights).argmax(axis=2, keepdims=True)
    scale = np.take_along_axis(weights, where, axis=2) / -8
    codes = np.clip(np.round(weights / scale), -8, 7)
    return (codes * scale - weights).reshape(m, n)


def bfloat16_pair(rng: np.random.Generator, m: int, n: int) -> Array:
    """The difference of two bfloat16 models whose weights differ by a little noise."""
    weights = 0.02 * rng.standard_normal((m, n))
    return to_bfloat16(weights + 1e-5 * rng.standard_normal((m, n))) - to_bfloat16(weights)


def adam_like(rng: np.random.Generator, m: int, n: int) -> Array:
    """Gradients of columns of unlike sizes over their root mean square plus a constant."""
    size = np.exp(rng.standard_normal(n))
    return rng.standard_normal((m, n)) * size / np.sqrt(size**2 + 0.5)


NOISES: dict[str, Noise] = {
    "Gaussian": scaled_lines(0.0, 0.0),
    "signs": lambda rng, m, n: np.sign(rng.standard_normal((m, n))),
    "uniform": lambda rng, m, n: rng.random((m, n)) - 0.5,
    "rows by exp(.1 z)": scaled_lines(0.1, 0.0),
    "rows by exp(.3 z)": scaled_lines(0.3, 0.0),
    "columns by exp(.3 z)": scaled_lines(0.0, 0.3),
    "both by exp(.3 z)": scaled_lines(0.3, 0.3),
    "AR(1) .1 along rows": autoregressive(0.1, along_rows=True),
    "AR(1) .1 along columns": autoregressive(0.1, along_rows=False),
    "AR(1) .3 along rows": autoregressive(0.3, along_rows=True),
    "AR(1) .3 along columns": autoregressive(0.3, along_rows=False),
    "Student 3": lambda rng, m, n: rng.standard_t(3, (m, n)),
    "Student 5": lambda rng, m, n: rng.standard_t(5, (m, n)),
    "Laplace": lambda rng, m, n: rng.laplace(size=(m, n)),
    "1 % of the entries": sparse(0.01),
    "10 % of the entries": sparse(0.1),
    "bfloat16 rounding": bfloat16_rounding,
    "float32 rounding": float32_rounding,
    "int4 rounding": int4_rounding,
    "4-bit blocks": block_rounding,
    "bfloat16 pair": bfloat16_pair,
    "Adam-like": adam_like,
}
"""Noises by name."""


def planted(noise: Array, rank: int, strength: float, rng: np.random.Generator) -> Array:
    """Add directions whose values are this multiple of the edge of even noise of the same norm."""
    m, n = noise.shape
    edge = float(np.sqrt(np.mean(noise**2)) * (np.sqrt(m) + np.sqrt(n)))
    left, right = (np.linalg.qr(rng.standard_normal((extent, rank)))[0] for extent in (m, n))
    return noise + strength * edge * left @ right.T
