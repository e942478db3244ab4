# SPDX-License-Identifier: BSD-3-Clause
"""Distances of the tails of a spectrum from power laws, to find where a tail begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POINTS = np.linspace(0.0, 1.0, 48)
_CHUNK = 1024


def least_distances(
    log: Array, counts: NDArray[np.intp], alphas: Array, slack: float, *, both: bool
) -> Array:
    """Compute the Kolmogorov-Smirnov distances of the tails whose distance is near the least.

    Parameters
    ----------
    log
        (p,) logarithms, descending.
    counts, alphas
        (t,) each: a tail is the first ``count`` values; its law is x^-alpha from the last one on.
    slack
        Distances up to this factor above the least are computed.
    both
        If True, the law is compared with both sides of each step of the tail, else with the upper.

    Returns
    -------
    array (t,)
        inf where the distance at 48 points of the tail already exceeds that factor. O(p t) time at
        worst, mostly O(48 t), and O(p) memory.
    """
    rough = np.concatenate(
        [
            _at(log, counts[i : i + _CHUNK], alphas[i : i + _CHUNK], both)
            for i in range(0, len(counts), _CHUNK)
        ]
        or [np.zeros(0)]
    )
    found = np.full(len(counts), np.inf)
    least = np.inf
    for i in rough.argsort(kind="stable").tolist():
        if rough[i] > slack * least * (1.0 + 1e-12):
            break
        n = int(counts[i])
        if n <= len(_POINTS):  # the points are all the values
            found[i] = rough[i]
        else:
            law = np.exp((1.0 - alphas[i]) * (log[:n] - log[n - 1]))
            found[i] = _farthest(law, np.arange(n), n, both)
        least = min(least, float(found[i]))
    return found


def _at(log: Array, counts: NDArray[np.intp], alphas: Array, both: bool) -> Array:
    """Return the largest distance at up to 48 places of each tail."""
    n = counts[:, None]
    places = np.rint(_POINTS * (n - 1)).astype(np.intp)
    law = np.exp((1.0 - alphas[:, None]) * (log[places] - log[n - 1]))
    return np.asarray(_farthest(law, places, n, both))


def _farthest(law: Array, places: NDArray[np.intp], n: int | NDArray[np.intp], both: bool) -> Array:
    """Return the largest distance between a law and the empirical distribution at places."""
    upper = np.abs(law - (places + 1) / n).max(axis=-1)
    return np.asarray(np.maximum(upper, np.abs(law - places / n).max(axis=-1)) if both else upper)
