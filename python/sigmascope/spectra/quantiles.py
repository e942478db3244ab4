# SPDX-License-Identifier: BSD-3-Clause
"""Quantiles from the staircases of two quadrature rules, on the right side of every gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .quadrature import Quadrature
from .staircase import (
    WIDTHS,
    Staircase,
    counts_at_gaps,
    mean_of,
    neighbours,
    ramp,
    slope_ratios,
    staircases,
)

Array = NDArray[np.float64]

# Fraction of the part of a window beyond the ends that counts as error of a quantile.
CUT = 0.5
# Largest ratio of local to mean slope of a staircase whose values are evenly spaced.
UNEVEN = 1.5
# Ratio of the slopes of neighbouring stairs beyond which one of them is a crowd of equal values. At
# twice that ratio, nothing is known about a quantile within them.
STEEP = 10.0
# Multiples of the error of a position for which the error of the quantile must cover the change.
TIMES = np.array([1.0, 2.0, 4.0])


def _gap(stairs: tuple[Staircase, Staircase], q: Quadrature, above: Array) -> Array:
    """Return the excess width (sigma) of the stair at a position over both of its neighbours.

    It is infinite if a neighbour is missing.
    """
    half = mean_of(s.half_stair(above, 1.0) for s in stairs)
    ends = np.clip(above + np.array([[-3.0], [-1.0], [1.0], [3.0]]) * half, 0.0, float(q.n))
    sigmas = mean_of(s.mean_sigma(ends, s.half_window(ends, 0.5)) for s in stairs)
    before, here, after = sigmas[:-1] - sigmas[1:]
    room = (above - 3.0 * half >= len(q.converged)) & (above + 3.0 * half <= q.n)
    return np.where(room, np.maximum(here - np.maximum(before, after), 0.0), np.inf)


def quantiles_of_all(q: Quadrature, fractions: Array) -> tuple[Array, Array]:
    """Return the sigma below which each fraction lies, and errors, if every value has converged."""
    low, sigma, high = (
        np.quantile(np.sqrt(q.moved(q.converged, sign)), fractions) for sign in (-1.0, 0.0, 1.0)
    )
    return sigma, np.maximum(high - sigma, sigma - low)


def quantiles(q: Quadrature, above: Array) -> tuple[Array, Array]:
    """Estimate the sigmas that ``above`` (f,) of the n values exceed, with their errors."""
    stairs = staircases(q)
    seen = np.array(
        [[s.mean_sigma(above, s.half_window(above, width)) for s in stairs] for width in WIDTHS]
    )
    value = seen[1].mean(axis=0)
    raw = mean_of(s.node_sigma(above) for s in stairs)
    # Interpolation from node to node errs by up to half a stair. The difference to the windowed
    # mean matters beside a gap, since the window averages over the gap.
    missed = np.minimum(0.75 * np.abs(value - raw), _gap(stairs, q, above))
    smoothing = np.maximum(np.ptp(seen, axis=(0, 1)) / 4.0, missed)
    low, high, half = neighbours(stairs, above)
    slope = (high - low) / np.maximum(2.0 * half, 1.0)
    steep = high > low
    top = np.where(steep, high, 2.0 * low + 1.0)  # any number above low; its result is unused
    count_error = np.where(steep, q.traces(lambda x: ramp(x, low, top))[1], 0.0)
    # Near an end the window is cut off, and the values inside the last stair are unknown.
    cut = mean_of(s.half_stair(above, 1.0) - s.half_window(above, 1.0) for s in stairs)
    # Half a count in each direction, since a quantile of a finite set is fixed only up to its
    # neighbours.
    place = count_error + CUT * np.maximum(cut, 0.0) + 0.5
    moved = slope * place
    # The slope varies from node to node. A change far beyond that variation is a gap.
    gaps = np.maximum(_across(stairs, above, place) - UNEVEN * moved, 0.0)
    error = np.maximum(moved + gaps + smoothing, _among_crowded(q, above, value))
    return _outside_gaps(q, above, value, error)


def _among_crowded(q: Quadrature, above: Array, value: Array) -> Array:
    """Return the error of quantiles beside a crowd of values: half the distance to stair ends.

    The position lies between the nodes b places before and after it; see `staircase.bracket`.
    """
    stair = staircases(q)[0]
    places = np.searchsorted(stair.middles, above)
    last = len(stair.roots) - 1
    high = stair.roots[np.clip(np.maximum(places - stair.probes, stair.singles), 0, last)]
    low = stair.roots[np.clip(places + stair.probes, 0, last)]
    apart = np.maximum(high - value, value - low)
    crowded = np.nan_to_num(np.clip((slope_ratios(q, places) - STEEP) / STEEP, 0.0, 1.0))
    return np.asarray(crowded * np.maximum(apart, 0.0) / 2.0)


def _outside_gaps(q: Quadrature, above: Array, value: Array, error: Array) -> tuple[Array, Array]:
    """Move each quantile (f,) inside the widest gap of its window to the correct side.

    The count at the middle of the gap decides. If its error and half a count leave both sides
    possible, the error is enlarged to reach both.
    """
    stairs = staircases(q)
    half = mean_of(s.half_window(above, 1.0) for s in stairs)
    nodes, places = stairs[0].roots, stairs[0].middles
    first = np.maximum(np.searchsorted(places, above - half) - 1, 0)
    last = np.minimum(np.searchsorted(places, above + half) + 1, len(nodes))
    gaps: list[tuple[int, float, float]] = []  # the quantile, and the ends of the widest gap
    for i in np.flatnonzero(last - first >= 2).tolist():
        within = nodes[first[i] : last[i]]
        j = int(np.argmax(within[:-1] - within[1:]))
        high, low = float(within[j]), float(within[j + 1])
        if high - low > error[i] and low < value[i] < high:
            gaps.append((i, high, low))
    if not gaps:
        return value, error
    middles, gap_of = np.unique([(high + low) / 2.0 for _, high, low in gaps], return_inverse=True)
    counts, offs, stepped = counts_at_gaps(q, middles)
    value, error = value.copy(), error.copy()
    for (i, high, low), gap in zip(gaps, gap_of, strict=True):
        if not stepped[gap]:  # the end of a stair
            continue
        if counts[gap] - offs[gap] > above[i] + 0.5:
            value[i] = high
        elif counts[gap] + offs[gap] < above[i] - 0.5:
            value[i] = low
        else:
            error[i] = max(error[i], high - value[i], value[i] - low)
    return value, error


def _across(stairs: tuple[Staircase, Staircase], above: Array, place: Array) -> Array:
    """Return the error of sigma if its position has the error ``place``, gaps included.

    Each multiple in `TIMES` of the result covers the change of sigma over the same multiple of
    ``place``. A gap counts only if both rules have it, since the Radau rule has a gap of its own
    between the least value and its node at 0.
    """
    reach = TIMES[:, None] * np.array([[[1.0]], [[-1.0]]]) * place
    ends = np.clip(above + reach, 0.0, stairs[0].count[-1])
    moved = np.minimum(*(np.abs(s.node_sigma(ends) - s.node_sigma(above)) for s in stairs))
    return np.asarray(np.max(moved / TIMES[:, None], axis=(0, 1)))
