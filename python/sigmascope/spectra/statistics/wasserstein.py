# SPDX-License-Identifier: BSD-3-Clause
"""Wasserstein-1 distances between spectra, including spectra of randomized matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sigmascope.spectra import Known, Measure

NODES = 63
"""Number of quantiles at which densities are compared; a third of them gives the error."""


def wasserstein(a: Known, b: Known) -> Measure:
    """Compute the Wasserstein-1 distance of two spectra of n values each.

    It is mean_i |sigma_i - sigma'_i| over pairs of i-th largest values: the least mean distance by
    which the values of one spectrum must move to become the values of the other. Range [0, inf),
    unit sigma. If all values are known, it is exact up to their errors. Else the largest values are
    compared directly, and the others at 63 quantiles of the densities. The error is then the sum of
    the errors of the quantiles and of the difference to a third of the quantiles. O(n).

    Raises
    ------
    ValueError
        If the spectra differ in length, or a quantile needs a missing density.
    """
    if a.n != b.n:
        raise ValueError(
            f"spectra of {a.n} and {b.n} values cannot be compared: the numbers of values must "
            "be equal"
        )
    k = min(len(a.values), len(b.values))
    total = float(np.abs(a.values[:k] - b.values[:k]).sum())
    error = float(a.errors[:k].sum() + b.errors[:k].sum())
    if k < a.n:
        fine, coarse = (_between(a, b, k, nodes) for nodes in (NODES, NODES // 3))
        total += fine[0]
        error += fine[1] + abs(fine[0] - coarse[0])
    return Measure(total / a.n, error / a.n, a.basis if k == a.n else "density")


def _between(a: Known, b: Known, k: int, nodes: int) -> tuple[float, float]:
    """Sum the distances of all but the k largest, from ``nodes`` quantiles; with the error."""
    each = (a.n - k) / nodes
    places = k - 0.5 + each * (np.arange(nodes) + 0.5)
    fractions = np.clip(1.0 - places / (a.n - 1), 0.0, 1.0)
    (x, dx), (y, dy) = a.quantiles(fractions), b.quantiles(fractions)
    return float(each * np.abs(x - y).sum()), float(each * (dx + dy).sum())


def randomized_distance(spectrum: Known, randomized: Sequence[Known]) -> Measure:
    """Compare a spectrum with the spectra of its matrix after random permutations of the entries.

    The result is the mean of :func:`wasserstein` over two or more permutations. Range [0, inf),
    unit sigma. It is near 0 for a matrix of independent entries, whatever their distribution. Its
    error is the mean of the errors plus the distance between the first two randomized spectra,
    which estimates the effect of another permutation.

    weightwatcher's rand_distance differs: it is a divergence of sorted singular values, taken as
    probabilities.
    """
    if len(randomized) < 2:
        raise ValueError(
            f"{len(randomized)} permutation says nothing about the others: use at least two"
        )
    distances = [wasserstein(spectrum, other) for other in randomized]
    between = wasserstein(randomized[0], randomized[1])
    value, error = np.mean([[m.value, m.error] for m in distances], axis=0)
    return Measure(float(value), float(error) + between.value, distances[0].basis)
