# SPDX-License-Identifier: BSD-3-Clause
"""Distances of the tails of a spectrum from power laws, to find where a tail begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POINTS = np.linspace(0.0, 1.0, 48)
_CHUNK = 1024
_FIRST, _MOST = 2**10, 2**15
"""Sizes of the arrays for distances: few entries until the least distance is known."""

_FEW = 2**13
"""Entries of all tails up to which computing every distance costs the least."""


def least_distances(
    log: Array, counts: NDArray[np.intp], alphas: Array, slack: float, *, both: bool
) -> Array:
    """Compute the Kolmogorov-Smirnov distances of the tails whose distance is near the least.

    Parameters
    ----------
    log
        (p,) logarithms, descending.
    counts, alphas
        (t,) each, t >= 1: a tail is the first ``count`` values, and its law x^-alpha from the last.
    slack
        Distances up to this factor above the least are computed.
    both
        If True, the law is compared with both sides of each step of the tail, else with the upper.

    Returns
    -------
    array (t,)
        The distance of each tail; inf if the distance at 48 points of the tail already exceeds the
        factor. O(p t) time at worst, mostly O(48 t), and O(p) memory.
    """
    if len(counts) * counts.max() <= _FEW:
        return _distances(log, counts, alphas, both=both, every=True)
    rough = np.concatenate(
        [
            _distances(log, counts[i : i + _CHUNK], alphas[i : i + _CHUNK], both=both)
            for i in range(0, len(counts), _CHUNK)
        ]
    )
    distances = np.full(len(counts), np.inf)
    order = rough.argsort(kind="stable")
    entries, least, done, near = _FIRST, np.inf, 0, len(order)
    while done < near:
        part = order[done : min(done + max(entries // len(log), 1), near)]
        distances[part] = _distances(log, counts[part], alphas[part], both=both, every=True)
        least, done = min(least, float(distances[part].min())), done + len(part)
        near = int(rough[order].searchsorted(slack * least * (1.0 + 1e-12), side="right"))
        entries = min(4 * entries, _MOST)
    return distances


def _distances(
    log: Array, counts: NDArray[np.intp], alphas: Array, *, both: bool, every: bool = False
) -> Array:
    """Return the largest distance of each tail from its law, at 48 points or at every value."""
    n = counts[:, None]
    if every:
        places = np.minimum(np.arange(counts.max()), n - 1)
    else:
        places = np.rint(_POINTS * (n - 1)).astype(np.intp)
    law = np.exp((1.0 - alphas[:, None]) * (log[places] - log[n - 1]))
    upper = np.abs(law - (places + 1) / n).max(axis=1)
    return np.asarray(np.maximum(upper, np.abs(law - places / n).max(axis=1)) if both else upper)
