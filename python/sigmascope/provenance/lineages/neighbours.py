# SPDX-License-Identifier: BSD-3-Clause
"""Nearest neighbours in place: how many units of one model are nearest to the same unit of another.

For any fixed map f and a uniform permutation π of n units, N = #{i : f(i) = π(i)} has
E[C(N, k)] ≤ 1/k!, since k given places are hit with probability (n-k)!/n! at most, and there are
C(n, k) choices. Hence P(N ≥ k) ≤ 1/k!, and for independent layers E[(1+a)^ΣN] ≤ exp(a L).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from .blocks import Floats
from .tails import LN10


def count_neighbours_in_place(similarities: Floats) -> int:
    """Return the number of rows whose largest entry is on the diagonal, and only there.

    Parameters
    ----------
    similarities : array (n, n)
        Entry (i, j) compares unit i of one model with unit j of the other. A row whose maximum
        occurs twice is not counted: units that are zero, or equal to others, decide nothing.
    """
    if not similarities.size:
        return 0
    top: NDArray[np.floating] = similarities.max(axis=1)
    alone = (similarities == top[:, None]).sum(axis=1) == 1
    return int((alone & (np.diagonal(similarities) == top)).sum())


def log10_p_of_counts(counts: Sequence[int]) -> float:
    """Return the certified bound on the p-value of one count for each layer.

    For one layer it is 1/k!; for the sum k over L layers, the tail (e L/k)^k exp(-L) of a Poisson
    variable. The bound is 1 where k ≤ L.

    Examples
    --------
    >>> round(10 ** log10_p_of_counts([4]) * 24, 9)
    1.0
    """
    layers, total = len(counts), sum(counts)
    if layers == 1:
        return min(-lgamma(total + 1) / LN10, 0.0)
    if total <= layers:
        return 0.0
    return min((total - layers - total * log(total / layers)) / LN10, 0.0)
