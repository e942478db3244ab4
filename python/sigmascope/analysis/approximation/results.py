# SPDX-License-Identifier: BSD-3-Clause
"""The result of an approximation from its search: factors, and errors in the units of A."""

from __future__ import annotations

import time

import numpy as np

from sigmascope.analysis.low_rank import METHOD, LowRank
from sigmascope.spectra.units import scaled, scaled_errors

from .criteria import Criterion
from .projection import Projection
from .result import LowRankApproximation
from .search import Found


def result_of(
    search: Found, criterion: Criterion, threads: int, started: float
) -> LowRankApproximation:
    """Return the result of a search for the largest, or the smallest, triplets."""
    projection, svd, k, unit = search.projection, search.svd, search.rank, search.projection.unit
    kept = projection.kept(k, smallest=search.smallest)
    s, bound = projection.s[kept], projection.spectral_bound(kept)
    remaining = projection.remaining(kept).scaled(unit)
    norm = scaled(projection.norm, unit)
    return LowRankApproximation(
        factors=_factors(projection, kept, k),
        rank=k,
        s=scaled(s, unit),
        errors=scaled_errors(projection.errors[kept], s, unit),
        remaining=remaining,
        least=scaled(projection.least(k), unit),
        spectral_bound=scaled(bound.value, unit),
        spectral_evidence=bound.evidence,
        fro_norm=norm,
        criterion=criterion.words,
        met=search.applies and criterion.allows(remaining.value + remaining.error, norm),
        converged=svd.converged,
        passes=search.passes,
        method=svd.method if svd.method == METHOD else f"{svd.method}, projection in float64",
        precision=svd.precision,
        seed=svd.seed,
        seconds=time.perf_counter() - started,
        num_threads=threads,
        edge=search.edge,
        outliers=search.outliers,
        notes=(*search.notes, *svd.notes),
    )


def _factors(projection: Projection, kept: slice, k: int) -> LowRank:
    """Return U S and V^T of some triplets; of none, a column and a row of zeros."""
    U, Vt = projection.U, projection.Vt
    if k == 0:
        return LowRank(np.zeros((len(U), 1)), np.zeros((1, Vt.shape[1])))
    B = np.ascontiguousarray(scaled(U[:, kept] * projection.s[kept], projection.unit))
    return LowRank(B, np.ascontiguousarray(Vt[kept]))
