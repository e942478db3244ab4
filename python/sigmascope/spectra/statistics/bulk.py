# SPDX-License-Identifier: BSD-3-Clause
"""The bulk of a spectrum and the values above it: the noise edge, outliers, the shoulder.

Thresholds are multiples of the median singular value, which a few strong directions do not move. A
count uses the :class:`Known` values if they reach below the threshold, else the density. Its error
is the number of values that are undecided because of noise, or of the error of the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Density, Known, Measure

from . import marchenko_pastur as mp
from . import ranks
from .noise_edge import Extremes, noise_edge

Array = NDArray[np.float64]
Measures = dict[str, Measure]

SHOULDERS = {"200": 2.0, "286": 2.86, "400": 4.0}
"""Thresholds of the shoulder counts, as multiples of the median, by name.

The best threshold for noise of unknown scale is 2.86 (Gavish & Donoho 2014, square matrices).
"""


_CLEAR = 4.0
"""Margins of noise above zero that its lower edge needs for values below it to count."""

TIMES = (1.0, 2.0, 4.0)
"""Multiples of the error of a threshold for which the error of a count must cover the change."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold (sigma) with its error, and margins below and above it of undecided values."""

    value: float
    error: float = 0.0
    below: float = 0.0
    above: float = 0.0

    def ends(self, times: float) -> tuple[float, float]:
        """Return the least and the largest threshold within a multiple of the error."""
        slack = times * self.error
        return max(self.value - self.below - slack, 0.0), self.value + self.above + slack

    def windows(self, known: Known) -> list[tuple[float, float, float]]:
        """Return multiples of the error, each with the least and the largest threshold within it.

        If every value is known, the error of the threshold is a bound, and only its window counts.
        Else it is a standard error. Since a count has steps, its error must then also cover the
        changes within two and within four errors, in proportion.
        """
        return [(t, *self.ends(t)) for t in (TIMES[:1] if known.complete else TIMES)]


EDGE_MEASURES = (
    "mp_edge",
    "mp_outliers",
    "mp_softrank",
    "effective_rank_above_edge",
    "mp_lower_outliers",
)
"""Measures that need a bulk of noise."""

NO_BULK = (
    "no noise edge: the singular values are spread more widely than those of homogeneous noise, "
    "and too widely to separate directions from noise"
)
"""The note of a spectrum whose values have a median but no bulk of noise."""


def bulk_measures(
    known: Known,
    middle: Measure,
    top: Measure,
    shape: tuple[int, int],
    fro_norm: float,
    extremes: Extremes | None = None,
) -> Measures:
    """Compute the measures that need the median: shoulder counts, and the edge of a noise bulk.

    `middle` and `top` are the median and the largest singular value; `extremes` as for
    :func:`noise_edge`. The measures of the edge are absent if the bulk is not noise.

    shoulder_t
        #{sigma > t median}, t = 2, 2.86 and 4. Range 0 .. p / 2, no unit.
    mp_edge, mp_softrank
        The edge of Marchenko-Pastur noise of this median (sigma), and (edge / sigma_1)^2.
    mp_outliers
        #{sigma > edge}. Range 0 .. p / 2, no unit.
    effective_rank_above_edge
        exp(entropy of sigma / sum sigma) over these. Range [1, mp_outliers], or 0.
    mp_lower_outliers
        #{sigma < lower edge of that noise}. Range 0 .. p / 2, no unit. It needs all values, and is
        absent if noise itself comes near zero, as in square matrices.

    The error of the edge follows from the error of the median. The error of a count, and of the
    rank, is the largest possible change. Three kinds of values may cause it: values whose errors
    reach over the threshold; values above the edge that noise of this bulk reaches in one matrix of
    a hundred (:func:`noise_edge`); and values below the edge that exceed an edge computed without
    the outliers, which raise the median. O(p) in addition to the median.
    """
    measures = {
        f"shoulder_{name}": count(known, Cut(t * middle.value, t * middle.error))
        for name, t in SHOULDERS.items()
    }
    if min(shape) < mp.MIN_VALUES:
        return measures
    edge = mp.mp_edge(middle.value, shape)
    error = edge * middle.error / middle.value
    clear = edge
    if top.value > edge:  # else nothing is above, whatever the noise is like
        noise = noise_edge(known, edge, shape, fro_norm, extremes)
        if not noise.applies:
            return measures
        clear = noise.threshold
    soft = (edge / top.value) ** 2
    # The error of a square must also cover four errors of its base.
    off = middle.error / middle.value + top.error / top.value
    soft_error = soft * (2 * off + 4 * off**2)
    lifted = count(known, Cut(edge, error)).value
    rest = known.quantile(0.5 * (1.0 - min(lifted / known.n, 1.0))) if lifted else middle
    cut = Cut(
        edge,
        error,
        below=max(edge - mp.mp_edge(rest.value, shape), 0.0),
        above=max(clear - edge, 0.0),
    )
    lower = mp.mp_lower_edge(middle.value, shape)
    margin = mp.TRACY_WIDOM_99 * mp.lower_edge_width(middle.value, shape)
    if known.complete and lower > _CLEAR * margin:
        down = Cut(
            lower,
            lower * middle.error / middle.value,
            below=margin + max(lower - mp.mp_lower_edge(rest.value, shape), 0.0),
        )
        above = count(known, down)
        measures["mp_lower_outliers"] = replace(above, value=known.n - above.value)
    outliers = count(known, cut)
    return measures | {
        "mp_edge": Measure(edge, error, known.basis),
        "mp_outliers": outliers,
        "mp_softrank": Measure(soft, soft_error, known.basis),
        "effective_rank_above_edge": effective_rank_above(known, cut, outliers),
    }


def is_unresolved(stats: Measures) -> bool:
    """Return whether the median of all values of a nonzero matrix is unresolved."""
    return "effective_rank" in stats and "shoulder_200" not in stats


def notes_on_bulk(stats: Measures, shape: tuple[int, int]) -> tuple[str, ...]:
    """Return the note that the bulk is not noise and the measures of the edge are absent."""
    absent = "shoulder_200" in stats and "mp_edge" not in stats and min(shape) >= mp.MIN_VALUES
    return (NO_BULK,) if absent else ()


def count_above_noise(
    known: Known,
    edge: Measure,
    shape: tuple[int, int],
    fro_norm: float,
    extremes: Extremes | None = None,
    *,
    deflated: bool = False,
) -> Measure:
    """Count the values that are more than noise at a level of 1 %.

    The threshold is that of :func:`noise_edge`, higher by twice the error of the edge.
    """
    noise = noise_edge(known, edge.value, shape, fro_norm, extremes, deflated=deflated)
    return count(known, Cut(noise.threshold + 2 * edge.error))


def correlation_traps(permuted: Sequence[Known], shape: tuple[int, int]) -> Measures:
    """Count the values above the noise edge in a matrix whose entries are in random order.

    The mean over two or more permutations; range 0 .. p / 2, no unit. Random order destroys every
    correlation. Values above the edge therefore come from single large entries (the correlation
    traps of Martin & Mahoney 2021): many entries of a heavy tail, which the kurtosis shows, or a
    few. The error is the mean of the errors plus the standard deviation over permutations. The
    result is empty if a median is not resolved, or p < 10.
    """
    counts = []
    for known in permuted:
        middle = known.quantile(0.5)
        if min(shape) < mp.MIN_VALUES or middle.value <= 2 * middle.error:
            return {}
        edge = mp.mp_edge(middle.value, shape)
        margin = mp.TRACY_WIDOM_99 * mp.tracy_widom_width(middle.value, shape)
        counts.append(count(known, Cut(edge, edge * middle.error / middle.value, above=margin)))
    values, errors = np.array([[one.value, one.error] for one in counts]).T
    error = float(errors.mean() + values.std(ddof=1))
    return {"correlation_traps": Measure(float(values.mean()), error, counts[0].basis)}


def count(known: Known, cut: Cut) -> Measure:
    """Count the values above a threshold; the error is the number of undecided values."""
    windows = cut.windows(known)
    if _covered(known, cut):
        s, e = known.values, known.errors
        # The tolerance keeps a tie a tie when the matrix is scaled.
        above = np.count_nonzero(s > cut.value * (1.0 + ranks.TIE))
        undecided = [
            max(np.count_nonzero(s + e > low) - above, above - np.count_nonzero(s - e > high)) / t
            for t, low, high in windows
        ]
        return Measure(float(above), max(*undecided, 0.0), known.basis)
    times, lows, highs = np.array(windows).T
    counts, errors = _density(known).counts_above(np.concatenate([[cut.value], lows, highs]))
    moved = np.max(np.abs(counts[1:] - counts[0]) / np.tile(times, 2))
    return Measure(float(round(counts[0])), float(errors[0] + moved), "density")


def effective_rank_above(known: Known, cut: Cut, above: Measure) -> Measure:
    """Compute the effective rank of the values above a threshold, 0 if there are none.

    `above`: the :func:`count` of these values.
    """
    if _covered(known, cut):
        s, e = known.values, known.errors
        chosen = s > cut.value * (1.0 + ranks.TIE)
        value = _rank(s[chosen])
        error = ranks.entropy_rank_error(value, s[chosen], e[chosen]) if value else 0.0
        if above.error:  # else every window has the same values above it
            error += max(
                abs(_rank(s[within]) - value) / t
                for t, low, high in cut.windows(known)
                for within in (s + e > low, s - e > high)
            )
        return Measure(value, error, known.basis)
    effective, *others = (
        _density(known).effective_rank_above(x)
        for x in (cut.value, *(end for _, *ends in cut.windows(known) for end in ends))
    )
    times = np.repeat(TIMES, 2)
    moved = max(abs(one.value - effective.value) / t for one, t in zip(others, times, strict=True))
    return Measure(effective.value, effective.error + moved, "density")


def _covered(known: Known, cut: Cut) -> bool:
    """Return whether the known values reach below the threshold, so that no density is needed."""
    return known.density is None or known.reaches(cut.ends(TIMES[-1])[0])


def _density(known: Known) -> Density:
    assert known.density is not None
    return known.density


def _rank(sigma: Array) -> float:
    return ranks.entropy_rank(sigma) if len(sigma) and sigma[0] > 0 else 0.0
