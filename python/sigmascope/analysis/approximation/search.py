# SPDX-License-Identifier: BSD-3-Clause
"""The search for the rank that a criterion needs, and for the singular triplets of that rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sigmascope._execution import costs
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.gram import GramTriplets
from sigmascope.solvers.svdvals import EveryValue
from sigmascope.solvers.triplets import TripletsRequest, work_of_search
from sigmascope.spectra import SVD, Measure

from .criteria import Criterion
from .noise_rank import noise_rank
from .projection import Projection, projected

_FIRST = 16
"""Triplets of the first search for a criterion that does not fix the rank."""


class SearchArguments(NamedTuple):
    """Arguments of :func:`sigmascope.low_rank` for its searches, as its caller gives them."""

    tol: float
    max_passes: int
    precision: str | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Arguments of the searches: the options of the call, and those of :func:`svds`."""

    call: CallOptions
    options: Mapping[str, Any]
    tol: float
    max_passes: int
    seed: int

    def request(self, k: int, **options: Any) -> TripletsRequest:
        """Return the request of the k largest triplets."""
        return TripletsRequest(k, self.tol, self.seed, **options)

    def search(self, a: Matrix, k: int) -> SVD:
        """Search for the k largest triplets."""
        return self.request(k, max_passes=self.max_passes).compute(a, self.call)

    def project(self, a: Matrix, svd: SVD) -> Projection:
        """Project the matrix on the right vectors."""
        return projected(a, svd, **self.options)


@dataclass(frozen=True, slots=True)
class Found:
    """The rank that a criterion needs, and a projection with at least this many triplets."""

    rank: int
    svd: SVD
    projection: Projection
    passes: int
    notes: tuple[str, ...] = ()
    edge: Measure | None = None
    outliers: Measure | None = None
    smallest: bool = False
    applies: bool = True


def find(a: Matrix, criterion: Criterion, how: Settings) -> Found:
    """Find the rank and the triplets that a criterion needs."""
    if criterion.rank is not None:
        return _of_rank(a, criterion.rank, how)
    return _above_edge(a, how) if criterion.edge else _within(a, criterion, how)


def find_smallest(a: Matrix, k: int, how: Settings) -> Found:
    """Find all triplets, for the k smallest of them, by the Gram matrix or LAPACK."""
    p = min(a.shape)
    svd = how.request(p, method="gram").compute(a, how.call)
    projection = how.project(a, svd)
    return Found(k, svd, projection, svd.passes + projection.passes, smallest=True)


def _of_rank(a: Matrix, k: int, how: Settings, passes: int = 0, **facts: Any) -> Found:
    """Search for k triplets and the next one, whose value bounds the rest."""
    svd = how.search(a, min(k + 1, *a.shape))
    projection = how.project(a, svd)
    passes += svd.passes + projection.passes
    return Found(min(k, len(svd.s)), svd, projection, passes, **facts)


def _above_edge(a: Matrix, how: Settings) -> Found:
    """Search for the values that are clearly above the noise edge."""
    known = noise_rank(a, how.call, how.options, seed=how.seed, max_passes=how.max_passes)
    return _of_rank(
        a,
        known.rank,
        how,
        known.passes,
        notes=(known.note,),
        edge=known.edge,
        outliers=known.outliers,
        applies=known.applies,
    )


def _within(a: Matrix, criterion: Criterion, how: Settings) -> Found:
    """Search for more and more triplets until the criterion certainly holds.

    If the Gram matrix is the cheaper route, or a quarter of the values did not suffice, the next
    rank follows from all values. Later ranks grow by a quarter. If a search shows that a quarter of
    the triplets will not suffice, all are computed; for small matrices, at once.
    """
    p, K, passes, counted = min(a.shape), min(_FIRST, *a.shape), 0, False
    gram = GramTriplets(a.shape, p, how.tol, how.seed)
    may_complete = gram.fits(CallMemory(a, how.call), complete=True)
    if may_complete and p <= 4 * _FIRST:
        return _of_all(a, criterion, how, passes)
    while True:
        svd = how.search(a, K)
        passes += svd.passes
        missing = _missing(svd, criterion)
        if p == K or missing == 0:
            projection = how.project(a, svd)
            passes += projection.passes
            rank = certain_rank(projection, criterion)
            if rank is not None or p == K:
                return Found(p if rank is None else rank, svd, projection, passes)
        if may_complete and 4 * (K + missing) >= p:
            return _of_all(a, criterion, how, passes)
        if counted:
            K = min(p, K + max(8, K // 4))
        elif p <= 4 * K or _prefers_values(a, 2 * K, how):
            counted, (number, reads) = True, _rank_by_values(a, criterion, how)
            K, passes = min(p, max(number + 1, K + 1)), passes + reads
        else:
            K *= 2


def _of_all(a: Matrix, criterion: Criterion, how: Settings, passes: int) -> Found:
    """Compute all triplets, and project on as many as the criterion needs."""
    p = min(a.shape)
    every = how.request(p, method="gram").compute(a, how.call)
    passes += every.passes
    least = criterion.least_rank(every.s, 0.0, every.fro_norm)
    K = p if least is None else min(least + 1, p)
    while True:
        svd = _leading(every, K)
        projection = how.project(a, svd)
        passes += projection.passes
        rank = certain_rank(projection, criterion)
        if rank is not None or p == K:
            return Found(p if rank is None else rank, svd, projection, passes)
        K = min(p, 2 * K)


def _leading(svd: SVD, k: int) -> SVD:
    assert svd.U is not None
    assert svd.Vt is not None
    U, Vt = svd.U[:, :k], svd.Vt[:k]
    return replace(svd, U=U, s=svd.s[:k], Vt=Vt, residuals=svd.residuals[:k], errors=svd.errors[:k])


def certain_rank(projection: Projection, criterion: Criterion) -> int | None:
    """Return the least rank that certainly satisfies a criterion; None if no rank does."""
    rest = projection.rest.value + projection.rest.error
    rank = criterion.least_rank(projection.s, rest, projection.norm)
    while rank is not None:
        left = projection.remaining(projection.kept(rank))
        if criterion.allows(left.value + left.error, projection.norm):
            return rank
        rank = rank + 1 if rank < len(projection.s) else None
    return None


def _missing(svd: SVD, criterion: Criterion) -> int:
    """Return the least number of further triplets that the criterion needs; 0 if it may hold."""
    assert criterion.relative2 is not None
    most2 = ((svd.s + svd.errors) / (svd.fro_norm or 1.0)) ** 2
    lacking = 1.0 - float(np.sum(most2)) - criterion.relative2
    return math.ceil(min(lacking / max(float(most2[-1]), 1e-9), 1e9)) if lacking > 0 else 0


def _prefers_values(a: Matrix, k: int, how: Settings) -> bool:
    """Return whether all values by the Gram matrix cost less than a search for k triplets."""
    search = work_of_search(a, how.call, k, how.tol)
    block = min(costs.best_block(search), *a.shape)
    return costs.prefers_gram(search._replace(block=block))


def _rank_by_values(a: Matrix, criterion: Criterion, how: Settings) -> tuple[int, int]:
    """Return the rank that all singular values suggest, and the number of reads for it."""
    every, _ = EveryValue("reference").compute(a, how.call.with_precision("float64"))
    rank = criterion.least_rank(every.values, 0.0, every.fro_norm)
    return len(every.values) if rank is None else rank, every.passes
