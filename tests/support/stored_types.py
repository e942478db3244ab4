# SPDX-License-Identifier: BSD-3-Clause
"""NumPy's types for the formats that a matrix may be stored in."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

SMALL: dict[str, DTypeLike] = {
    "bf16": ml_dtypes.bfloat16,
    "f16": np.float16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
    "f4_e2m1": ml_dtypes.float4_e2m1fn,
}
TYPES: dict[str, DTypeLike] = {"f64": np.float64, "f32": np.float32, **SMALL}
STORED_FLOATS: dict[str, DTypeLike] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}
"""By the names of the safetensors format."""
