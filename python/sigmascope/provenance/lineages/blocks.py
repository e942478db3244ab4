# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of things that may be permuted, and the similarities inside them.

A *thing* is a hidden unit, a coordinate of the residual stream, or a group of heads. Under the null
hypothesis the things of one model may be permuted without changing its law. The tests permute them
only inside small blocks, so that the law of a sum of similarities is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

SEED = 20261130
"""Default seed of partitions and samples, chosen before any weight was read."""

BLOCK = 8
"""Things in a block: 8! = 40,320 permutations, whose permanents cost 1024 additions."""

RUN = 64
"""Things that are consecutive in a sample, so that few ranges of a file are read."""

_FEATURES_AT_A_TIME = 4096
"""Most terms of an inner product: a BLAS computes 8 x 8 x 4096 in one thread."""


def partition_things(count: int, size: int = BLOCK, *, seed: int = SEED) -> Integers:
    """Return a pseudo-random partition into blocks, which the seed and the count alone decide.

    Parameters
    ----------
    count : int
        Number of things. If it is not a multiple of `size`, a remainder is left out.
    size : int
        Things in a block.
    seed : int
        Seed of the partition. It must be chosen before the weights are read.

    Returns
    -------
    array (count // size, size)
        Numbers of things; no number occurs twice.
    """
    order = np.random.default_rng([seed, count]).permutation(count)
    return order[: count // size * size].reshape(-1, size).astype(np.int64)


def sample_things(count: int, wanted: int | None, *, seed: int = SEED) -> Integers:
    """Return the numbers of sampled things in ascending order, in runs of 64.

    Only the arguments decide the sample, so a test on it is as exact as a test on all things.
    """
    if wanted is None or count <= wanted:
        return np.arange(count)
    run = min(RUN, wanted)
    rng = np.random.default_rng([seed, count, 1])
    starts = np.sort(rng.choice(count // run, min(wanted // run, count // run), replace=False))
    return (starts[:, None] * run + np.arange(run)).ravel().astype(np.int64)


def runs_of(numbers: Integers) -> list[tuple[int, int]]:
    """Return the ranges [start, end) of consecutive numbers in an ascending array."""
    if not numbers.size:
        return []
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    parts = np.split(numbers, cuts)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def unit_rows(rows: Floats) -> Floats:
    """Return rows divided by their norms; rows of zeros stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
    result: Floats = rows / np.where(norms > 0, norms, 1).astype(rows.dtype)
    return result


def prepare_rows(rows: Floats, *, scale_columns: bool = True) -> Floats:
    """Return unit rows with centred columns of deviation 1, again as unit rows.

    This treats all rows alike, so a test stays exact; it decides only the power. Outlier columns
    and heavy rows would hide a tie otherwise.

    Parameters
    ----------
    rows : array (things, features)
        Rows of zeros are left out of the means: they stay zero. A column that is constant becomes
        zero.
    scale_columns : bool
        Scale columns to deviation 1. Without it, inner products of the rows do not depend on a
        rotation of the features.

    Returns
    -------
    array (things, features)
        Of the dtype of `rows`.
    """
    rows = unit_rows(rows)
    alive = rows.any(axis=1)
    count = max(int(alive.sum()), 1)
    mean = rows.sum(axis=0, dtype=np.float64) / count
    rows -= mean.astype(rows.dtype)
    rows[~alive] = 0
    if scale_columns:
        power = np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
        deviation = np.sqrt(power / count)
        # float32 leaves a constant column at the rounding error of its mean
        resolved = deviation > 1e-5 * np.abs(mean) + 1e-12
        factor = np.where(resolved, 1 / np.where(resolved, deviation, 1), 0)
        rows *= factor.astype(rows.dtype)
    return unit_rows(rows)


def compare_blocks(
    before: Sequence[Floats], after: Sequence[Floats], partition: Integers
) -> Doubles:
    """Return the similarities inside blocks: C[b, i, j] = Σ_views ⟨a_i, b_j⟩.

    Parameters
    ----------
    before, after : sequence of array (things, features)
        Prepared rows, view by view. One permutation moves all views of a thing, so their inner
        products are summed.
    partition : array (blocks, m)

    Returns
    -------
    array (blocks, m, m), float64
        Inner products are computed in the precision of the rows, in pieces of at most 4096
        features, which are summed in float64.
    """
    blocks, size = partition.shape
    total = np.zeros((blocks, size, size))
    for rows, others in zip(before, after, strict=True):
        for start in range(0, rows.shape[1], _FEATURES_AT_A_TIME):
            columns = slice(start, start + _FEATURES_AT_A_TIME)
            for first in range(0, blocks, 128):
                part = partition[first : first + 128]
                product = np.matmul(rows[part, columns], others[part, columns].transpose(0, 2, 1))
                total[first : first + 128] += product
    return total


def centre_blocks(similarities: Doubles) -> Doubles:
    """Return blocks whose rows and columns have mean 0.

    Every permutation loses the same amount, so no p-value changes.
    """
    rows = similarities.mean(axis=2, keepdims=True)
    columns = similarities.mean(axis=1, keepdims=True)
    centred: Doubles = similarities - rows - columns + similarities.mean(axis=(1, 2), keepdims=True)
    return centred


def variance_of(centred: Doubles) -> float:
    """Return the variance of the statistic under uniform permutations, ‖C̃‖² / (m - 1).

    References
    ----------
    Hoeffding, A combinatorial central limit theorem, 1951.
    """
    return float(np.square(centred).sum() / (centred.shape[1] - 1))


def pool_blocks(layers: Sequence[Doubles]) -> Doubles:
    """Return the blocks of several layers as one stack, each layer with variance 1.

    The layers have independent permutations, so the stack is tested like the blocks of one layer.
    Layers without variance contribute blocks of zeros.
    """
    scaled = []
    for similarities in layers:
        centred = centre_blocks(similarities)
        variance = variance_of(centred)
        scaled.append(centred / np.sqrt(variance) if variance > 0 else np.zeros_like(centred))
    return np.concatenate(scaled)


def effect_size(similarities: Doubles, views: int) -> float:
    """Return ρ: the mean cosine of things in place minus that of others in their blocks."""
    blocks, size, _ = similarities.shape
    if not blocks or size < 2:
        return 0.0
    diagonal = float(np.trace(similarities, axis1=1, axis2=2).sum())
    others = float(similarities.sum()) - diagonal
    return float((diagonal / size - others / (size * (size - 1))) / (blocks * views))
