# SPDX-License-Identifier: BSD-3-Clause
"""The dtypes of stored numbers, and the NumPy dtypes that correspond to them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sigmascope._host.native import _core
from sigmascope.errors import CheckpointError

from .refusals import unsupported

_DTYPES = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8_e4m3",
    "float8_e5m2": "f8_e5m2",
    "float4_e2m1fn": "f4_e2m1",
}

_NAMES = {stored: name for name, stored in _DTYPES.items()}

ITEMSIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1, "f4_e2m1": 1}
"""Bytes that one number of each dtype takes in memory."""

PACKED = {"f4_e2m1": 2}
"""Numbers per byte of the packed dtypes in a file; the first is in the low bits."""


def numpy_dtype(stored: str, decoded: str) -> np.dtype[Any]:
    """Return the NumPy or ml_dtypes dtype of a storage format.

    Without ml_dtypes, or for "mixed", it is the dtype of decoded numbers.
    """
    name = _NAMES.get(stored, decoded)
    if hasattr(np, name):
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(decoded)
    return np.dtype(getattr(ml_dtypes, name, decoded))


def array_dtype(dtype: np.dtype[Any], requested: str | None) -> str:
    """Return the storage format of an array; `requested` names the format of codes.

    Raises
    ------
    TypeError
        If a matrix cannot have the dtype of the array.
    """
    if requested is not None:
        if requested not in ITEMSIZE:
            raise TypeError(f"unknown dtype {requested!r}; known: {', '.join(ITEMSIZE)}")
        if _stored(dtype) == requested:
            return requested
        # A .npy file stores the dtypes of ml_dtypes as void, bytes without a type.
        codes = dtype.kind == "u" or (dtype.type is np.void and dtype.names is None)
        if codes and dtype.itemsize == ITEMSIZE[requested]:
            return requested
        raise TypeError(f"an array of {dtype} does not hold codes of {requested}")
    stored = _stored(dtype)
    if stored is None or not dtype.isnative:
        raise TypeError(unsupported(dtype))
    return stored


@lru_cache(maxsize=64)  # NumPy composes the name of a dtype each time
def _stored(dtype: np.dtype[Any]) -> str | None:
    return _DTYPES.get(dtype.name)


def stride_of_rows(
    offset: int, shape: tuple[int, int], dtype: str, row_stride: int | None, where: str
) -> int:
    """Return the stride of rows in a file in bytes, or in numbers that share a byte."""
    m, n = shape
    if dtype not in ITEMSIZE:
        known = ", ".join([*ITEMSIZE, *_core.block_layouts()])
        raise ValueError(f"unknown dtype {dtype!r}; known: {known}")
    least = n * ITEMSIZE[dtype]  # in numbers, like the stride, for a packed dtype
    stride = least if row_stride is None else row_stride * PACKED.get(dtype, 1)
    if offset < 0 or m < 0 or n < 0 or stride < least:
        raise ValueError(f"offset {offset}, shape {shape}, row_stride {stride} (at least {least})")
    if offset + m * stride >= 2**63:
        raise CheckpointError(f"{where} cannot hold {m} rows of {stride} bytes")
    return stride
