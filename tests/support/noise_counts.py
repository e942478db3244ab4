# SPDX-License-Identifier: BSD-3-Clause
"""Counts of values that are more than noise, by which the rank of an approximation is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sigmascope.spectra import Known, Measure
from sigmascope.spectra.statistics import fro_norm
from sigmascope.spectra.statistics.bulk import count_above_noise


def clearly_above_noise(
    sigma: ArrayLike, edge: Measure, shape: tuple[int, int], error: float = 0.0
) -> float:
    """Return how many values are more than noise of an edge, where each is off by no more."""
    values = np.asarray(sigma, dtype=np.float64)
    known = Known(len(values), values, np.full(len(values), error))
    return count_above_noise(known, edge, shape, fro_norm(values)).value
