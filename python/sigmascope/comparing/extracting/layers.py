# SPDX-License-Identifier: BSD-3-Clause
"""The extraction of one matrix: thin factors of its change, as stored, and what remains of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.options import CallOptions
from sigmascope._host.memory import resolve_memory
from sigmascope._running.tasks import ByteListener
from sigmascope._tables.schema import Row
from sigmascope.adapters.writing import stored_product
from sigmascope.analysis.approximation import LowRankApproximation
from sigmascope.analysis.approximation.criteria import Criterion
from sigmascope.analysis.approximation.function import approximated
from sigmascope.analysis.approximation.remaining import finite_norm, remaining_of
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Measure

from .result import EXTRACTED, NOT_CARRIED

_HELD = 3
"""Both matrices are read once if they take at most this part, 1 / 3, of the memory limit."""


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of the approximation of every matrix.

    Attributes
    ----------
    criterion
        What decides the rank.
    dtype, transposed
        Format of the stored factors; True if they are those of the transpose.
    search
        Options of :func:`low_rank`.
    num_threads, memory_limit
        Of every call.
    """

    criterion: Criterion
    dtype: str
    transposed: bool
    search: dict[str, Any]
    num_threads: int
    memory_limit: int

    def recorded(self) -> dict[str, Any]:
        """Return the options as plain JSON, as the header of a saved extraction has them."""
        return self.search | {
            "criterion": self.criterion.words,
            "dtype": self.dtype,
            "fan_in_fan_out": self.transposed,
            "num_threads": self.num_threads,
            "memory_limit": self.memory_limit,
        }


def extract_matrix(
    before: Matrix, after: Matrix, request: Request, obstacle: str | None, read: ByteListener
) -> tuple[Row, LowRank | None]:
    """Approximate after - before; return the columns, and the factors as they are to be stored.

    `obstacle` is the reason why no adapter can have the change: then its norm is computed alone.

    Raises
    ------
    NonFiniteError
        The change holds NaN or infinity.
    MemoryLimitError
        The approximation does not fit into the limit.
    """
    limit = resolve_memory(request.memory_limit)
    if not (before.in_memory and after.in_memory):
        size = before.nbytes + after.nbytes
        if size * _HELD <= limit:
            before, after, limit = before.load(), after.load(), limit - size
    delta = after - before
    options: dict[str, Any] = {
        "num_threads": request.num_threads,
        "memory_limit": limit,
        "progress": read,
    }
    norm = finite_norm(delta, CallOptions.of(delta, **options), "the change")
    row: Row = {"delta_fro_norm": norm, "converged": True}
    if norm == 0.0:
        return row | {"status": "unchanged"}, None
    if obstacle is not None:
        return row | {"status": NOT_CARRIED, "reason": obstacle}, None
    evidence, factors = _extracted(delta, request, options)
    return row | evidence, factors


def _extracted(
    delta: Matrix, request: Request, options: dict[str, Any]
) -> tuple[Row, LowRank | None]:
    criterion, most = request.criterion, min(delta.shape)
    notes: list[str] = []
    if criterion.rank is not None and criterion.rank > most:
        criterion = criterion._replace(rank=most)
        notes.append(f"the matrix has no more than {most} singular values")
    found = approximated(delta, criterion, **request.search, **options)
    row = _evidence(found, notes) | _remaining(found.remaining, found)
    if found.rank == 0:
        reason = "no singular value of the change is above its noise edge"
        return row | {"status": "below the edge", "reason": reason}, None
    factors = stored_product(found.balanced, request.dtype, transposed=request.transposed)
    shown = factors.T if request.transposed else factors
    moved = _moved(found.balanced, shown)
    measured, reads = remaining_of(delta, found.fro_norm, shown, **options)
    bound = min(found.spectral_bound + moved, measured.value + measured.error)
    row |= {"status": EXTRACTED, "spectral_bound": bound, "passes": found.passes + reads}
    if found.met and not criterion.allows(measured.value + measured.error, found.fro_norm):
        lost = f"{criterion.words} is not certain of factors rounded to {request.dtype}"
        row |= {"converged": False, "notes": "; ".join(filter(None, (row["notes"], lost)))}
    return row | _remaining(measured, found), factors


def _moved(exact: LowRank, rounded: LowRank) -> float:
    """Bound the Frobenius norm of the difference of two products, factor by factor."""
    (B, A), (B2, A2) = (
        [np.asarray(x, dtype=np.float64) for x in (each.B, each.A)] for each in (exact, rounded)
    )
    off_b, off_a = _norm_of(B2 - B), _norm_of(A2 - A)
    return off_b * _norm_of(A) + (_norm_of(B) + off_b) * off_a


def _norm_of(x: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(x))


def _remaining(measured: Measure, found: LowRankApproximation) -> Row:
    relative = measured / found.fro_norm
    return {
        "remaining": measured.value,
        "remaining_error": measured.error,
        "relative_error": relative.value,
        "relative_error_error": relative.error,
    }


def _evidence(found: LowRankApproximation, notes: list[str]) -> Row:
    row: Row = {
        "rank": found.rank,
        "spectral_bound": found.spectral_bound,
        "converged": found.converged and found.met,
        "method": found.method,
        "precision": found.precision,
        "passes": found.passes,
        "seed": found.seed,
        "num_threads": found.num_threads,
        "notes": "; ".join([*notes, *found.notes]) or None,
    }
    if found.edge is not None and found.outliers is not None:
        row["mp_edge"] = found.edge.value if math.isfinite(found.edge.value) else None
        row["mp_outliers"] = found.outliers.value
        row["mp_outliers_error"] = found.outliers.error
    return row
