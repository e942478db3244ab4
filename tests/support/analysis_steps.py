# SPDX-License-Identifier: BSD-3-Clause
"""Steps of an analysis whose results a caller sees in sums only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.analysis import requested
from sigmascope.analysis.low_rank.error_free import fro_norm


def in_random_order(a: Any, seed: int, threads: int = 1) -> list[NDArray[Any]]:
    """Return the entries of a matrix in each random order, the longer side first."""
    return [np.array(each) for each in requested.permutations(ss.matrix(a), seed, threads)]


def norm_without_rounding(
    B: NDArray[np.float64], A: NDArray[np.float64], scale: float = 1.0
) -> float:
    """Return the norm of a product as it is computed where terms cancel."""
    return fro_norm(B, A, scale)
