# SPDX-License-Identifier: BSD-3-Clause
"""Rows to sketch, and all that a sketch says, as bytes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

import sigmascope as ss

N_COLS, K = 40, 6


def blocks_of(count: int = 9, seed: int = 0) -> list[NDArray[Any]]:
    """Row blocks of different heights, scales and dtypes."""
    rng = np.random.default_rng(seed)
    decay = np.arange(1, N_COLS + 1) ** -1.0
    kinds = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
    return [
        (rng.standard_normal((int(rng.integers(1, 60)), N_COLS)) * decay * 3.0**scale).astype(
            kinds[scale % 4]
        )
        for scale in range(count)
    ]


def bits(sketch: ss.Sketch) -> tuple[bytes, ...]:
    result = sketch.svd()
    assert result.Vt is not None
    numbers = (result.s, result.Vt, result.residuals, result.errors, np.array(result.fro_norm))
    return tuple(part.tobytes() for part in numbers)
