# SPDX-License-Identifier: BSD-3-Clause
"""The matrices that our kernels are timed on, all seeded; the spectra are the package's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from sigmascope.bench.accuracy import reference, worst_relative_error, worst_residual
from sigmascope.bench.workloads import SPECTRA, TIMED

__all__ = ["TIMED", "TURNS", "dense", "reference", "stored", "worst_relative_error"]
__all__ += ["worst_residual"]

TURNS = 7
"""Number of times that each method is timed where methods take turns."""

DTYPES: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}


@lru_cache(maxsize=2)
def dense(kind: str, m: int, n: int, seed: int, dtype: str = "f32") -> NDArray[Any]:
    """The matrix of this spectrum, rounded to a storage dtype; the last two are held."""
    return SPECTRA[kind](m, n, seed).astype(DTYPES[dtype], copy=False)


@lru_cache(maxsize=1)
def stored(dtype: str, m: int, n: int) -> NDArray[Any]:
    """Gaussian entries of standard deviation 0.02, rounded to a storage dtype; the last is held."""
    entries = np.random.default_rng(0).standard_normal((m, n), dtype=np.float32)
    entries *= np.float32(0.02)
    return entries.astype(DTYPES[dtype])
