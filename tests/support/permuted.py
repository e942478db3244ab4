# SPDX-License-Identifier: BSD-3-Clause
"""The matrices in random order whose spectra are those of measures on request."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.analysis import requested


def in_random_order(a: Any, seed: int, threads: int = 1) -> list[NDArray[Any]]:
    """Return the entries of a matrix in each random order, the longer side first."""
    return [np.array(each) for each in requested.permutations(ss.matrix(a), seed, threads)]
