# SPDX-License-Identifier: BSD-3-Clause
"""How far the tails of a spectrum are from power laws: the search for where a tail begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POINTS = np.linspace(0.0, 1.0, 48)
_CHUNK = 1024


def least_distances(
    log: Array, counts: NDArray[np.intp], alphas: Array, slack: float, *, both: bool
) -> Array:
    """Return the Kolmogorov-Smirnov distances of tails that are near the least of them.

    Parameters
    ----------
    log
        (p,) logarithms, descending.
    counts, alphas
        (t,) each: a tail is the first ``count`` values, its law x^-alpha from the last of them on.
    slack
        Distances up to this factor above the least are wanted.
    both
        Whether the law is held against both sides of each step of the tail, or its upper side.

    Returns
    -------
    array (t,)
        inf where it is certainly more than wanted: at 48 points of it the tail is that far off
        already. O(p t) time at worst, mostly O(48 t), and O(p) memory.
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
    for i in np.argsort(rough, kind="stable"):
        if rough[i] > slack * least * (1.0 + 1e-12):
            break
        n = int(counts[i])
        law = np.exp((1.0 - alphas[i]) * (log[:n] - log[n - 1]))
        found[i] = _farthest(law, np.arange(n), n, both)
        least = min(least, found[i])
    return found


def _at(log: Array, counts: NDArray[np.intp], alphas: Array, both: bool) -> Array:
    """Return the largest distance at some places of each tail."""
    n = counts[:, None]
    places = np.rint(_POINTS * (n - 1)).astype(np.intp)
    law = np.exp((1.0 - alphas[:, None]) * (log[places] - log[n - 1]))
    return np.asarray(_farthest(law, places, n, both))


def _farthest(law: Array, places: NDArray[np.intp], n: int | NDArray[np.intp], both: bool) -> Array:
    upper = np.abs(law - (places + 1) / n).max(axis=-1)
    return np.asarray(np.maximum(upper, np.abs(law - places / n).max(axis=-1)) if both else upper)
