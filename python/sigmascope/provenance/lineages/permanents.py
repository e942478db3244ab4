# SPDX-License-Identifier: BSD-3-Clause
"""Cumulant functions of sums over random permutations, from permanents.

For a block C of m x m similarities and a uniform permutation π, the statistic is Σ C[i, π(i)]. Its
cumulant function is K(s) = log(per(exp(s C)) / m!), where per is the permanent, exactly.
"""

from __future__ import annotations

from functools import cache
from math import lgamma
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .blocks import Doubles

_BLOCKS_AT_A_TIME = 256
"""Blocks whose subsets fit a cache: 70 subsets of 4 out of 8 x 256 x 8 bytes = 143 kB."""

LARGEST_EXPONENT = 680.0
"""Bound on s · Σᵢ (max - min of row i): exp(-680) is above the least float64, so no permanent
underflows, and K is never too small.
"""


class Cumulants(NamedTuple):
    """The cumulant function of a sum over blocks at one s, and its derivatives."""

    value: float
    mean: float
    variance: float


class _Level(NamedTuple):
    """The subsets of i + 1 columns: subset t is predecessors[t, k] with columns[t, k] added."""

    predecessors: NDArray[np.int64]
    columns: NDArray[np.int64]


@cache
def _levels(size: int) -> tuple[_Level, ...]:
    levels = []
    places = {0: 0}
    for count in range(1, size + 1):
        subsets = [mask for mask in range(1 << size) if mask.bit_count() == count]
        members = [[j for j in range(size) if mask >> j & 1] for mask in subsets]
        predecessors = [
            [places[mask ^ (1 << j)] for j in columns]
            for mask, columns in zip(subsets, members, strict=True)
        ]
        levels.append(_Level(np.array(predecessors), np.array(members)))
        places = {mask: place for place, mask in enumerate(subsets)}
    return tuple(levels)


def cumulants(blocks: Doubles, s: float) -> Cumulants:
    """Return K(s), K'(s) and K''(s) of the sum over all blocks, in float64.

    Parameters
    ----------
    blocks : array (blocks, m, m)
        Similarities. K' is the mean and K'' the variance of the statistic under the law that is
        tilted by exp(s T).
    s : float
        At most `largest_tilt` in magnitude, lest a permanent underflows.

    Notes
    -----
    A permanent is built row by row: the weight of a subset of columns is the sum over its last
    column. That takes m 2^(m-1) additions. All terms have one sign, so nothing cancels.
    """
    count, size, _ = blocks.shape
    value = -count * lgamma(size + 1)
    mean = variance = 0.0
    for start in range(0, count, _BLOCKS_AT_A_TIME):
        part = np.ascontiguousarray(blocks[start : start + _BLOCKS_AT_A_TIME].transpose(1, 2, 0))
        reference = part.max(axis=1) if s >= 0 else part.min(axis=1)
        part = part - reference[:, None]
        total = reference.sum(axis=0)
        permanent, first, second = _permanents(part, s)
        slope = first / permanent
        value += float((np.log(permanent) + s * total).sum())
        mean += float((slope + total).sum())
        variance += float((second / permanent - slope**2).sum())
    return Cumulants(value, mean, max(variance, 0.0))


def _permanents(part: Doubles, s: float) -> tuple[Doubles, Doubles, Doubles]:
    """Return per(exp(s part)) and its first two derivatives by s; part is (m, m, blocks)."""
    size, _, count = part.shape
    weights, slopes, bends = np.ones((1, count)), np.zeros((1, count)), np.zeros((1, count))
    for row, level in zip(part, _levels(size), strict=True):
        tilted = np.exp(s * row)
        first = row * tilted
        second = row * first
        subsets, members = level.columns.shape
        sums = np.zeros((3, subsets, count))
        for k in range(members):
            column, before = level.columns[:, k], level.predecessors[:, k]
            e, de, w, dw = tilted[column], first[column], weights[before], slopes[before]
            sums[0] += e * w
            sums[1] += de * w + e * dw
            sums[2] += second[column] * w + 2 * de * dw + e * bends[before]
        weights, slopes, bends = sums
    return weights[0], slopes[0], bends[0]


def largest_tilt(blocks: Doubles) -> float:
    """Return the largest |s| at which no permanent underflows."""
    if not blocks.size:
        return 0.0
    spread = float((blocks.max(axis=2) - blocks.min(axis=2)).sum(axis=1).max())
    return LARGEST_EXPONENT / spread if spread > 0 else 0.0
