# SPDX-License-Identifier: BSD-3-Clause
"""The extraction of one matrix: thin factors of its change, as stored, and their error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.devices import Device
from sigmascope._execution.options import CallOptions
from sigmascope._host.memory import resolve_memory
from sigmascope._running.run_options import RunOptions
from sigmascope._running.tasks import ByteListener
from sigmascope._tables.schema import Row
from sigmascope.adapters.targets import Target
from sigmascope.analysis.approximation import LowRankApproximation
from sigmascope.analysis.approximation.criteria import Criterion
from sigmascope.analysis.approximation.function import approximated
from sigmascope.analysis.approximation.remaining import finite_norm, remaining_of
from sigmascope.analysis.approximation.search import SearchArguments
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.formats.safetensors_output import Tensors
from sigmascope.comparing.matrix_pairs import StoredPair
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Measure

from .result import BELOW_EDGE, EXTRACTED, NOT_CARRIED

_HELD = 3
"""Both matrices are read once if they take at most 1 / 3 of the memory limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(RunOptions):
    """Arguments of the approximation of every matrix.

    Attributes
    ----------
    criterion
        Criterion that decides the rank.
    dtype
        Format of the stored factors.
    transposed
        True if the weights of linear layers have inputs as rows.
    search
        Other options of :func:`low_rank`.
    seed, seed_drawn, num_threads, memory_limit, devices
        As for :class:`RunOptions`.
    """

    criterion: Criterion
    dtype: str
    transposed: bool
    search: dict[str, Any]

    def recorded(self) -> dict[str, Any]:
        """Return the options as plain JSON, for the header of a saved extraction."""
        own = {
            "criterion": self.criterion.words,
            "dtype": self.dtype,
            "fan_in_fan_out": self.transposed,
        }
        return self.search | own | RunOptions.recorded(self)


def extract_matrix(
    pair: StoredPair, request: Request, carrier: Target | str, read: ByteListener | None
) -> tuple[Row, Tensors | None]:
    """Approximate the change of a pair; return the columns, and the tensors to store.

    `carrier` is the weight that an adapter changes, or the reason why an adapter cannot hold the
    change. In the latter case only the norm of the change is computed.

    Raises
    ------
    NonFiniteError
        The change holds NaN or infinity.
    MemoryLimitError
        The approximation does not fit into the limit.
    """
    limit = resolve_memory(request.memory_limit)
    if not pair.in_memory and pair.nbytes * _HELD <= limit:
        pair, limit = pair.load(), limit - pair.nbytes
    delta = pair.delta
    options: dict[str, Any] = {
        "num_threads": request.num_threads,
        "memory_limit": limit,
        "device": request.device,
        "progress": read,
    }
    norm = finite_norm(delta, CallOptions.of(delta, **options), "the change")
    row: Row = {"delta_fro_norm": norm, "converged": True}
    if norm == 0.0:
        return row | {"status": "unchanged"}, None
    if isinstance(carrier, str):
        return row | {"status": NOT_CARRIED, "reason": carrier}, None
    evidence, tensors = _extracted(delta, request, carrier, options)
    return row | evidence, tensors


def _extracted(
    delta: Matrix, request: Request, target: Target, options: dict[str, Any]
) -> tuple[Row, Tensors | None]:
    criterion, most = request.criterion, min(delta.shape)
    notes: list[str] = []
    if criterion.rank is not None and criterion.rank > most:
        criterion = criterion._replace(rank=most)
        notes.append(f"the matrix has no more than {most} singular values")
    search = SearchArguments(**request.search, seed=request.seed)
    approx = approximated(delta, criterion, search, **options)
    row = _evidence(approx, notes, request.device) | _remaining(approx.remaining, approx)
    if approx.rank == 0:
        reason = "no singular value of the change is clearly above its noise edge"
        if not approx.met:
            reason = f"{approx.notes[0]}; give a rank, energy or error"
        below = {"status": BELOW_EDGE, "reason": reason, "converged": approx.converged}
        return row | below, None
    stored = target.stored(approx.balanced, request.dtype)
    change = target.change(stored)
    moved = _moved(approx.balanced, change)
    measured, reads = remaining_of(delta, approx.fro_norm, change, **options)
    bound = min(approx.spectral_bound + moved, measured.value + measured.error)
    row |= {"status": EXTRACTED, "spectral_bound": bound, "passes": approx.passes + reads}
    if approx.met and not criterion.allows(measured.value + measured.error, approx.fro_norm):
        lost = f"{criterion.words} is not certain after the factors are rounded to {request.dtype}"
        row |= {"converged": False, "notes": "; ".join(filter(None, (row["notes"], lost)))}
    return row | _remaining(measured, approx), target.tensors(stored)


def _moved(exact: LowRank, rounded: LowRank) -> float:
    """Bound the Frobenius norm of the difference of two products, factor by factor."""
    (B, A), (B2, A2) = (
        [np.asarray(x, dtype=np.float64) for x in (each.B, each.A)] for each in (exact, rounded)
    )
    off_b, off_a = _norm_of(B2 - B), _norm_of(A2 - A)
    return off_b * _norm_of(A) + (_norm_of(B) + off_b) * off_a


def _norm_of(x: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(x))


def _remaining(measured: Measure, approx: LowRankApproximation) -> Row:
    relative = measured / approx.fro_norm
    return {
        "remaining": measured.value,
        "remaining_error": measured.error,
        "relative_error": relative.value,
        "relative_error_error": relative.error,
    }


def _evidence(approx: LowRankApproximation, notes: list[str], device: Device) -> Row:
    place = device.notes[:1]  # names the device; bits do not depend on it
    row: Row = {
        "rank": approx.rank,
        "spectral_bound": approx.spectral_bound,
        "converged": approx.converged and approx.met,
        "method": approx.method,
        "precision": approx.precision,
        "passes": approx.passes,
        "seed": approx.seed,
        "num_threads": approx.num_threads,
        "device": device.name if {*place} & {*approx.notes} else "cpu",
        "notes": "; ".join([*notes, *(n for n in approx.notes if n not in place)]) or None,
    }
    if approx.edge is not None:
        row["mp_edge"] = approx.edge.value if math.isfinite(approx.edge.value) else None
    if approx.outliers is not None:
        row["mp_outliers"] = approx.outliers.value
        row["mp_outliers_error"] = approx.outliers.error
    return row
