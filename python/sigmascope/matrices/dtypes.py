# SPDX-License-Identifier: BSD-3-Clause
"""The dtypes of stored numbers, and those of NumPy that they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import unsupported

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


def numpy_dtype(stored: str, decoded: str) -> np.dtype[Any]:
    """Return the dtype of NumPy or ml_dtypes of a storage format.

    Without ml_dtypes, or for "mixed", it is that of decoded numbers.
    """
    name = _NAMES.get(stored, decoded)
    if hasattr(np, name):
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(decoded)
    return np.dtype(getattr(ml_dtypes, name, decoded))


def array_dtype(dtype: np.dtype[Any], asked: str | None) -> str:
    """Return the dtype of an array; `asked` names that of codes. TypeError if there is none."""
    if asked is not None:
        if asked not in ITEMSIZE:
            raise TypeError(f"unknown dtype {asked!r}; known: {', '.join(ITEMSIZE)}")
        if _DTYPES.get(dtype.name) == asked:
            return asked
        # A .npy file stores the dtypes of ml_dtypes as void, bytes without a type.
        codes = dtype.kind == "u" or (dtype.type is np.void and dtype.names is None)
        if codes and dtype.itemsize == ITEMSIZE[asked]:
            return asked
        raise TypeError(f"an array of {dtype} does not hold codes of {asked}")
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise TypeError(unsupported(dtype))
    return _DTYPES[dtype.name]
