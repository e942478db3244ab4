# SPDX-License-Identifier: BSD-3-Clause
"""Numbers rounded to a dtype, scaled by a power of two, and laid out in memory or in a file."""

from __future__ import annotations

import random
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import sigmascope as ss
from tests.support import known_products

from .gallery import Array

DTYPES: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}
EXPONENTS = {"f64": (-1074, 1023), "f32": (-149, 127), "bf16": (-133, 127)}
"""Exponents of the largest entry; the other dtypes have little range, and are not scaled."""
USUAL = {"f16": 3, "f8_e4m3": 6, "f8_e5m2": 6}
"""The exponent of the largest entry of these: most of their codes are below."""

SHARDED = ("plain", "grid", "slice")
"""Layouts between which no bit may differ."""
LAYOUTS = (*SHARDED, "fortran", "transposed", "strided", "parts", "file")
PRODUCTS = known_products.LAYOUTS
"""Layouts of sparse matrices and linear operators; their cases have numbers of their own."""
OPERATORS = tuple(layout for layout in PRODUCTS if layout not in known_products.FORMATS)


def rounded(A: Array, dtype: str, exponent: int) -> Array:
    """The numbers of A, of largest entry 1, times 2^exponent, as the dtype holds them; float64."""
    with np.errstate(under="ignore", over="ignore"):
        scaled = np.ldexp(A, exponent + USUAL.get(dtype, 0))
        result = scaled.astype(DTYPES[dtype]).astype(np.float64)
    assert np.isfinite(result).all(), (dtype, exponent)
    return np.asarray(result)


def stored(numbers: Array, dtype: str, layout: str = "plain", seed: int = 0) -> Any:
    """Return the argument of the library: an array of the dtype, or a Matrix of the layout."""
    A = np.ascontiguousarray(numbers.astype(DTYPES[dtype]))
    m, n = A.shape
    draw = random.Random(seed)
    if layout == "plain":
        return A
    if layout in PRODUCTS:
        return PRODUCTS[layout](A)
    if layout == "fortran":
        return np.asfortranarray(A)
    if layout == "transposed":
        return ss.matrix(np.ascontiguousarray(A.T)).T
    if layout == "grid":
        rows, columns = _cuts(draw, m), _cuts(draw, n)
        return ss.block(
            [
                [np.ascontiguousarray(A[i:j, p:q]) for p, q in pairwise(columns)]
                for i, j in pairwise(rows)
            ]
        )
    if layout in ("slice", "strided"):
        step = 2 if layout == "strided" else 1
        larger = np.ones((step * m + 3, n + 5)).astype(A.dtype)
        larger[1 : 1 + step * m : step, 2 : 2 + n] = A
        return ss.matrix(larger)[1 : 1 + step * m : step, 2 : 2 + n]
    if layout == "parts":
        return _in_parts(A) if dtype == "f32" else A
    return _in_file(A, dtype)


def _in_parts(A: Any) -> Any:
    """Return the bfloat16 part of float32 numbers and the remainder, where their sum is exact."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        high = A.astype(ml_dtypes.bfloat16)
        left = A.astype(np.float64) - high.astype(np.float64)
        low = left.astype(np.float32)
    exact = np.array_equal(low.astype(np.float64), left)
    return ss.matrix(high) + ss.matrix(low) if exact else A


def _cuts(draw: random.Random, extent: int) -> list[int]:
    inside = draw.sample(range(1, extent), min(draw.randrange(4), extent - 1)) if extent > 1 else []
    return [0, *sorted(inside), extent]


def _in_file(A: Any, dtype: str) -> Any:
    folder = Path(tempfile.gettempdir()) / "sigmascope-campaign"
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".bin", delete=False) as file:
        file.write(A.tobytes())
    opened = ss.tensor(file.name, offset=0, shape=A.shape, dtype=dtype)
    Path(file.name).unlink()  # it stays open
    return opened
