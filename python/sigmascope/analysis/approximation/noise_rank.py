# SPDX-License-Identifier: BSD-3-Clause
"""The number of singular values above noise, even if they are many decades above it.

If all values above the noise are far above it, one search does not resolve the noise. An example is
a change of weights by a product that was added in float32. The leading triplets are then
subtracted, in float64, and the remainder is analysed in its own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sigmascope._execution.options import CallOptions
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import analysed
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.moments import element_moments
from sigmascope.solvers.svdvals import EveryValue
from sigmascope.solvers.triplets import TripletsRequest
from sigmascope.spectra import Measure, Spectrum
from sigmascope.spectra.statistics import Extremes
from sigmascope.spectra.statistics.bulk import NO_BULK, count_above_noise
from sigmascope.spectra.statistics.marchenko_pastur import MIN_VALUES
from sigmascope.spectra.units import scaled

from .projection import projected

_EDGE_VALUES = 64
"""Largest values of the spectrum that locates the noise edge."""

_STEP = 2.0**-10
"""Values above this part of the largest one are subtracted: far above the resolution."""

_ROUNDS = 8
"""Largest number of remainders; each is at least `_STEP` times smaller than the one before."""

_SMALLEST = 2.0**-43
"""A remainder of this size, relative to the matrix, may be rounding of float64."""


class NoiseRank(NamedTuple):
    """The number of values clearly above noise, and the evidence for it.

    Attributes
    ----------
    rank
        The number.
    note
        How it was found; if the criterion does not apply, why.
    passes
        Reads of the matrix.
    edge, outliers
        The edge of even noise, and the number of values above it; None if not known.
    applies
        True if the values consist of noise and of directions clearly above it.
    """

    rank: int
    note: str
    passes: int
    edge: Measure | None = None
    outliers: Measure | None = None
    applies: bool = True


def noise_rank(
    a: Matrix, call: CallOptions, options: Mapping[str, Any], *, seed: int, max_passes: int
) -> NoiseRank:
    """Count the values of a matrix that are clearly above its noise; options as for `spectrum`."""
    query = SpectrumRequest.of(
        effort="density", k=min(_EDGE_VALUES, *a.shape), tol=1e-3, accuracy="reference", **options
    )
    spectrum = analysed(a, query, seed=seed, max_passes=max_passes)
    of_bulk = rank_of(spectrum)
    if of_bulk is not None:
        return _deflated(a, spectrum, of_bulk, call, query, seed=seed, max_passes=max_passes)
    beyond = None
    if min(a.shape) >= MIN_VALUES and spectrum.measures["fro_norm"].value > 0:
        beyond = far_above(a, spectrum, call, query, seed=seed, max_passes=max_passes)
    return beyond or _above_rounding(a, call, spectrum.passes)


def rank_of(spectrum: Spectrum, left: Extremes | None = None) -> NoiseRank | None:
    """Return the number of values clearly above a bulk; None if the median is not resolved.

    `left`: the largest row, column and entry after the values known to be clear are removed.
    """
    measures, passes = spectrum.measures, spectrum.passes
    if "mp_outliers" not in measures:
        return NoiseRank(0, NO_BULK, passes, applies=False) if NO_BULK in spectrum.notes else None
    edge, outliers = measures["mp_edge"], measures["mp_outliers"]
    count = count_above_noise(
        spectrum.known,
        edge,
        spectrum.shape,
        measures["fro_norm"].value,
        Extremes.of(spectrum.moments) if left is None else left,
        deflated=left is not None,
    )
    k = int(count.value)
    note = f"{outliers} values above the noise edge {edge}, {k} of them clearly"
    return NoiseRank(k, note, passes, edge, outliers)


def _deflated(
    a: Matrix,
    spectrum: Spectrum,
    known: NoiseRank,
    call: CallOptions,
    query: SpectrumRequest,
    *,
    seed: int,
    max_passes: int,
) -> NoiseRank:
    """Count again, with the rows and entries of the matrix without its clear directions.

    Clear directions make rows and entries large, which may look like uneven noise. The count is
    repeated as long as it grows, and other values are above the edge of even noise.
    """
    passes = known.passes
    for _ in range(_ROUNDS):
        if not known.rank or known.outliers is None or known.rank >= known.outliers.value:
            break
        left, reads = _without(a, known.rank, call, query, seed=seed, max_passes=max_passes)
        moments = element_moments(left, call.with_precision(left.precision), histogram=False)
        passes += reads + moments.passes
        again = rank_of(spectrum, Extremes.of(moments))
        if again is None or again.rank <= known.rank:
            break
        known = again
    return known._replace(passes=passes)


def _without(
    a: Matrix, k: int, call: CallOptions, query: SpectrumRequest, *, seed: int, max_passes: int
) -> tuple[Matrix, int]:
    """Return a matrix minus its k leading triplets, in float64, and the reads they took."""
    precise = call.with_precision("float64")
    svd = TripletsRequest(k, _SMALLEST, seed, max_passes=max_passes).compute(a, precise)
    near = projected(a, svd, **query.options)
    B = np.ascontiguousarray(scaled(near.U[:, :k] * near.s[:k], near.unit))
    left = a - LowRank(B, np.ascontiguousarray(near.Vt[:k])).matrix()
    return left, svd.passes + near.passes


def far_above(
    a: Matrix,
    spectrum: Spectrum,
    call: CallOptions,
    query: SpectrumRequest,
    *,
    seed: int,
    max_passes: int,
) -> NoiseRank | None:
    """Subtract the leading triplets of a matrix until the median of the remainder is resolved.

    `spectrum`: the spectrum of the matrix, whose median is not resolved. Returns None if nearly all
    values are subtracted.
    """
    size, passes, k, rest = spectrum.measures["fro_norm"].value, spectrum.passes, 0, spectrum
    for _ in range(_ROUNDS):
        k += _count(rest, _STEP * float(rest.top[0]))
        if k > min(a.shape) - MIN_VALUES:
            return None
        left, reads = _without(a, k, call, query, seed=seed, max_passes=max_passes)
        rest = analysed(left, query, seed=seed, max_passes=max_passes)
        passes += reads + rest.passes
        if rest.measures["fro_norm"].value <= _SMALLEST * size:
            note = f"{k} values, and what remains is rounding of float64"
            return NoiseRank(k, note, passes, None, Measure(k, 0.0, rest.known.basis))
        of_rest = rank_of(rest)
        if of_rest is not None:
            return _plus(k, of_rest, rest, passes)
    return None


def _plus(k: int, of_rest: NoiseRank, rest: Spectrum, passes: int) -> NoiseRank:
    """Return the number of values of a matrix: those subtracted, plus those of the remainder."""
    largest, rank = float(rest.top[0]), k + of_rest.rank
    edge, outliers, basis = of_rest.edge, of_rest.outliers, rest.known.basis
    if edge is None or outliers is None:
        note = (
            f"{k} values far above a remainder of uneven noise, whose largest value is "
            f"{largest:.2g}"
        )
        return NoiseRank(k, note, passes, Measure(largest, 0.0, basis), Measure(k, 0.0, basis))
    note = f"{k} values far above a remainder whose largest value is {largest:.2g}; {of_rest.note}"
    return NoiseRank(rank, note, passes, edge, k + outliers)


def _count(spectrum: Spectrum, least: float) -> int:
    """Count the values of a spectrum that are above a threshold."""
    known = spectrum.known
    if known.density is None or known.reaches(least):
        return int(np.count_nonzero(known.values > least))
    return round(known.density.count_above(least).value)


def _above_rounding(a: Matrix, call: CallOptions, passes: int) -> NoiseRank:
    """Return the number of values above rounding, for a matrix without a bulk."""
    every, unit = EveryValue("reference").compute(a, call.with_precision("float64"))
    k = int(np.sum(every.values > every.floor))
    floor = every.scaled(unit).floor
    why = "the median of the values is not resolved"
    if min(a.shape) < MIN_VALUES:
        why = f"fewer than {MIN_VALUES} values do not form a bulk"
    note = (
        f"there is no noise edge, since {why}: the rank is the number of values above the "
        f"rounding floor {floor:.2g}"
    )
    return NoiseRank(k, note, passes + every.passes)
