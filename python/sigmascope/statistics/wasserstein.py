# SPDX-License-Identifier: BSD-3-Clause
"""Distances between spectra: Wasserstein-1, and that to a randomized matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sigmascope.spectra import Known, Measure

NODES = 63
"""Places at which values that are known by a density alone are compared; and a third of them."""


def wasserstein(a: Known, b: Known) -> Measure:
    """Compute the Wasserstein-1 distance of two spectra of n values each.

    mean_i |sigma_i - sigma'_i|, the i-th largest with the i-th largest: the least mean distance by
    which the values of one must be moved to become those of the other. Range [0, inf), unit sigma.
    Exact but for the errors of the values where all are known. Else the largest are compared so,
    and the others at 63 quantiles of the densities; the error then holds those of the quantiles,
    all at their worst, and what a third of the places would change. O(n).

    Raises
    ------
    ValueError
        Two spectra of different length, or too little known of one.
    """
    if a.n != b.n:
        raise ValueError(f"spectra of {a.n} and {b.n} values; only equal numbers are compared")
    k = min(len(a.values), len(b.values))
    total = float(np.abs(a.values[:k] - b.values[:k]).sum())
    error = float(a.errors[:k].sum() + b.errors[:k].sum())
    if k < a.n:
        fine, coarse = (_between(a, b, k, nodes) for nodes in (NODES, NODES // 3))
        total += fine[0]
        error += fine[1] + abs(fine[0] - coarse[0])
    return Measure(total / a.n, error / a.n, a.basis if k == a.n else "density")


def _between(a: Known, b: Known, k: int, nodes: int) -> tuple[float, float]:
    """Sum the distances of all but the k largest, from so many places; and their errors."""
    each = (a.n - k) / nodes
    places = k - 0.5 + each * (np.arange(nodes) + 0.5)
    fractions = np.clip(1.0 - places / (a.n - 1), 0.0, 1.0)
    (x, dx), (y, dy) = a.quantiles(fractions), b.quantiles(fractions)
    return float(each * np.abs(x - y).sum()), float(each * (dx + dy).sum())


def randomized_distance(spectrum: Known, randomized: Sequence[Known]) -> Measure:
    """Compare a spectrum with those of its matrix after random permutations of the entries.

    The mean of :func:`wasserstein` over the permutations, of which there are two or more. Range
    [0, inf), unit sigma; near 0 for a matrix of independent entries, whatever their distribution.
    Its error is the mean of theirs, and the distance of the first two randomized spectra from
    each other, which is about how far another permutation would be.

    Not a divergence of sorted singular values taken for probabilities, which weightwatcher's
    rand_distance is.
    """
    if len(randomized) < 2:
        raise ValueError(f"{len(randomized)} permutation tells nothing of another; two do")
    found = [wasserstein(spectrum, other) for other in randomized]
    apart = wasserstein(randomized[0], randomized[1])
    value, error = np.mean([[m.value, m.error] for m in found], axis=0)
    return Measure(float(value), float(error) + apart.value, found[0].basis)
