# SPDX-License-Identifier: BSD-3-Clause
"""Decide whether the equal rows or columns of a matrix of few numbers are coincidences.

Two columns of two 4-bit codes are equal by coincidence in one of about a hundred pairs, and 384
columns form 73,536 pairs. Copies are reported only if coincidences do not explain their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.matrices.matrix import Matrix

LEVEL = 1e-6
"""Probability of reporting mere coincidences as copies, for each matrix and side."""

_GROUPS = (16, 32, 64, 128, 256)
"""Sizes of the blocks that share a scale, in the formats of quantised weights."""

_MOST_LINES = 4096
"""Largest number of rows (of columns, for copied rows) that are counted. More rows would reduce the
expected number further, so counting fewer never causes a report."""

_READ_BYTES = 1 << 20
"""Bytes of the lines that are decoded at a time."""


def are_coincidences(a: Matrix, copies: NDArray[np.intp]) -> bool:
    """Return True if coincidences explain the number of columns that equal an earlier one.

    Parameters
    ----------
    a : Matrix, shape (m, n)
    copies : array of indices
        The columns that equal an earlier one.

    Notes
    -----
    Rows are assumed to be independent. The expected number of pairs of equal columns is then the
    number of pairs, times the product over the rows of the share of pairs with equal entries. The
    shares come only from distinct columns, so copies do not explain themselves. Blocks with
    separate scales have hardly any number in common. Pairs within a block and all other pairs are
    therefore counted separately, for several sizes of blocks, and the largest expectation counts.
    It is at least the expected number of copies. The tail of a Poisson distribution (Chernoff's
    bound) decides. Equal entries of a single row are always coincidences.
    """
    m, n = a.shape
    if m == 1 or not len(copies):
        return True
    distinct = np.ones(n, dtype=bool)
    distinct[copies] = False
    groups = (n, *(group for group in _GROUPS if group < n))
    expectations = [_Expectation(distinct, group) for group in groups]
    for lines in _lines(a):
        for expectation in expectations:
            expectation.add(lines)
        if not any(_explains(each.pairs(), len(copies)) for each in expectations):
            return False
    return True


def _explains(expected: float, copies: int) -> bool:
    """Return True if a Poisson variable of this mean reaches `copies` with probability > LEVEL."""
    if copies <= expected:
        return True
    if expected <= 0.0:
        return False
    return copies * math.log(copies / expected) - copies + expected < -math.log(LEVEL)


def _lines(a: Matrix) -> Iterator[NDArray[np.float64]]:
    """Yield the first rows of a matrix, a few at a time."""
    m, n = a.shape
    height = max(_READ_BYTES // (8 * n), 1)
    for start in range(0, min(m, _MOST_LINES), height):
        yield np.asarray(a[start : min(start + height, m)], dtype=np.float64) + 0.0


class _Expectation:
    """Expected pairs of equal columns, if blocks of `group` columns share their numbers."""

    def __init__(self, distinct: NDArray[np.bool_], group: int) -> None:
        n = len(distinct)
        self._distinct, self._group = distinct, group
        starts = np.arange(0, n, group)
        sizes = np.minimum(group, n - starts)
        counts = np.add.reduceat(distinct.astype(np.int64), starts)
        self._within, self._pairs_within = _pairs(sizes), _pairs(counts)
        self._across = float(_pairs(n) - self._within.sum())
        self._pairs_across = float(_pairs(counts.sum()) - self._pairs_within.sum())
        self._shares_within = np.ones(len(sizes))
        self._share_across = float(self._pairs_across > 0)

    def add(self, lines: NDArray[np.float64]) -> None:
        """Multiply the shares of equal entries of further rows."""
        height, n = lines.shape
        blocks = len(self._within)
        padded = np.full((height, blocks * self._group), np.nan)  # NaN differs from NaN
        padded[:, :n][:, self._distinct] = lines[:, self._distinct]
        within = _equal_pairs(padded.reshape(-1, self._group)).reshape(height, blocks)
        shares = within / np.maximum(self._pairs_within, 1.0)
        self._shares_within *= np.prod(shares, axis=0)
        if self._pairs_across:
            across = _equal_pairs(padded) - within.sum(axis=1)
            self._share_across *= float(np.prod(across / self._pairs_across))

    def pairs(self) -> float:
        """Return the expected number of pairs of equal columns."""
        return float(self._within @ self._shares_within) + self._across * self._share_across


def _pairs(count: Any) -> Any:
    """Return the number of pairs among `count` things."""
    return count * (count - 1) / 2


def _equal_pairs(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the number of pairs of equal entries in each line."""
    count, n = lines.shape
    ranked = np.sort(lines, axis=1).ravel()
    begins = np.ones(ranked.size, dtype=bool)
    begins[1:] = ranked[1:] != ranked[:-1]
    begins[::n] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=ranked.size).astype(np.float64)
    pairs = np.bincount(starts // n, _pairs(lengths), minlength=count)
    return pairs.astype(np.float64, copy=False)
