# SPDX-License-Identifier: BSD-3-Clause
"""Stored codes of floating-point numbers, and the numbers in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigmascope.provenance.merges.number_formats import FORMATS, NumberFormat, Reals

Codes = NDArray[np.generic]

WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a number in the formats whose numbers are read."""

NAMES = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
"""Formats that are written, by the names of their number formats."""

DTYPES = {name: dtype for dtype, name in NAMES.items()}

_CODES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def format_of(dtype: str) -> NumberFormat:
    """Return the number format of a dtype in :data:`NAMES`."""
    return FORMATS[NAMES[dtype]]


def decode(raw: bytes | memoryview, dtype: str) -> Reals:
    """Return stored numbers in float64, which holds them exactly."""
    codes = np.frombuffer(raw, _CODES[dtype])
    if dtype == "BF16":
        codes = (codes.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # signalling NaN
        return codes.astype(np.float64)


def encode(numbers: Reals, dtype: str) -> Codes:
    """Return the codes of numbers that the format holds exactly, of infinities and of NaN."""
    numbers = np.where(np.isnan(numbers), np.nan, numbers)
    if dtype == "BF16":
        bits = numbers.astype("<f4").view("<u4")
        return (bits >> 16).astype("<u2")
    return numbers.astype(_CODES[dtype])


def stored_codes(raw: bytes | memoryview, dtype: str) -> Codes:
    """Return the codes of stored numbers without decoding them."""
    return np.frombuffer(raw, _CODES[dtype])
