# SPDX-License-Identifier: BSD-3-Clause
"""The estimate of one pair from headers: whether it fits, its passes, memory and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from sigmascope._execution.rates import Rates
from sigmascope._running.tasks import TENSOR_ERRORS, Options, reason_of
from sigmascope._running.thread_budget import MOST_AT_ONCE
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.low_rank import LowRank
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.scanning.plans import TensorPlan
from sigmascope.scanning.tensor_estimates import computing_seconds, initial_plan
from sigmascope.solvers.change import plan_change, plan_images

from .matrix_pairs import AdaptedPair, AdapterPair, MatrixPair, StoredPair
from .members import Pair
from .pair_plan import PairPlan, device_share, spectrum_options
from .scaled_pairs import ScaledPair
from .tasks import MatrixPairs
from .updates import update_passes

_NORMS, _STRUCTURE = 1, 1
"""Passes over both matrices for norms, and over each for special structure."""

# Measured on pairs of order 512 to 5632 (benchmarks/experiments/time_compare_plans.py).
_WITH_VECTORS = 3.0
"""Time of a full decomposition with vectors, divided by the time for values only."""

_PROJECTED = {"top": 1.0, "density": 0.5, "exact": 0.33}
"""Time of the spectrum of the change without its part along W, divided by the change's time."""

_ANGLES = 60.0
"""Flops of angles and other columns of the vectors, divided by (m + n) k^2."""

_CALL = 0.004
"""Seconds of each spectrum, for any size."""


class _Spectrum(NamedTuple):
    """The work of one spectrum, and the memory that it takes when it reads the files."""

    passes: int
    seconds: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PairEstimate:
    """The plan of one pair for callers, and its memory, which is None if the pair is refused."""

    plan: TensorPlan
    memory: PairPlan | None

    @staticmethod
    def threads(options: Options) -> int:
        """Return the threads per spectrum if as many spectra as possible run at once."""
        return options.num_threads // _at_once(options)

    @classmethod
    def of(cls, matrices: MatrixPairs, pair: Pair, options: Options, measured: Rates) -> Self:
        """Plan one pair; an error becomes the reason why it is refused."""
        known = _initial(pair, options)
        try:
            stored = matrices.outline(pair.name)
            known = _described(known, stored, options)
            memory = PairPlan.of(stored, options)
            try:
                spectra = _spectra(stored, memory, options, measured)
            except MemoryLimitError:
                if not memory.matrix_bytes:
                    raise
                memory = memory.from_files(options)
                spectra = _spectra(stored, memory, options, measured)
        except TENSOR_ERRORS as error:
            return cls(replace(known, refused=reason_of(error)), None)
        looks = _NORMS + update_passes(stored, options.measures)
        passes = looks + _STRUCTURE + sum(one.passes for one in spectra)
        held = memory.matrix_bytes > 0
        read = stored.nbytes * (1 if held else passes)
        peak = memory.peak_bytes or max(one.peak_bytes for one in spectra) + memory.vector_bytes
        on_device = _on_device(stored, memory, options)
        how = known.effort, looks, read
        seconds = 0.0 if on_device else _seconds(stored, spectra, *how, options, measured)
        plan = replace(known, held=held, passes=passes, read_bytes=read, peak_bytes=peak)
        return cls(replace(plan, seconds=seconds, **on_device), memory)


def _at_once(options: Options) -> int:
    return next(parts for parts in MOST_AT_ONCE if parts <= max(options.num_threads, 1))


def _initial(pair: Pair, options: Options) -> TensorPlan:
    """Return a plan with the entries from the records of two tensors."""
    assert pair.before is not None
    assert pair.after is not None
    before, after = pair.before, pair.after
    dtypes = dict.fromkeys(member.record["dtype"] for member in (before, after))
    return initial_plan(
        pair.name,
        before.record,
        options,
        shape=before.shape,
        dtype=", ".join(dtypes),
        nbytes=pair.stored_bytes,
    )


def _described(known: TensorPlan, pair: MatrixPair, options: Options) -> TensorPlan:
    """Add shape and bytes of a pair, and the route of W."""
    rows, columns = pair.before.shape
    known = replace(known, rows=rows, columns=columns, nbytes=pair.nbytes)
    if isinstance(pair.before, LowRank):
        return replace(known, effort="exact", precision="float64")
    how = spectrum_options(options) | {"vectors": True, "num_threads": options.num_threads}
    chosen, _ = SpectrumRequest.of(**how, memory_limit=options.memory_limit).chosen(pair.before)
    search = chosen.search
    return replace(
        known,
        effort=chosen.effort,
        block=search.block if search else 0,
        basis_columns=search.columns if search else 0,
        precision=search.precision if search else "float64",
    )


def _check_passes(pair: MatrixPair, memory: PairPlan, options: Options) -> None:
    """Raise MemoryLimitError if a pass over both matrices does not fit."""
    how: dict[str, Any] = {
        "num_threads": options.num_threads,
        "memory_limit": options.memory_limit,
        "reserved": memory.reserved,
        "device": device_share(options, 1),
    }
    if isinstance(pair, AdaptedPair | AdapterPair):
        pair.delta.check_memory(options.memory_limit, memory.reserved)
    if memory.matrix_bytes:  # the plan of the pair has room for the other passes
        return
    if isinstance(pair, StoredPair | ScaledPair):
        plan_change(pair.delta, **how)
        if "update_shares" in options.measures:
            plan_images(pair.delta, options.k, **how)
    elif isinstance(pair, AdaptedPair):
        plan_images(pair.before, pair.delta.rank, **how)


def _spectra(
    pair: MatrixPair, memory: PairPlan, options: Options, measured: Rates
) -> list[_Spectrum]:
    """Plan the spectra of dW, W and W', in the order of computation.

    MemoryLimitError if a spectrum, or a pass before them, does not fit.
    """
    _check_passes(pair, memory, options)
    how = spectrum_options(options, memory.workers) | {
        "vectors": True,
        "num_threads": memory.threads,
        "memory_limit": options.memory_limit,
        "reserved": memory.reserved_with_others,
    }
    spectra = []
    for a in (pair.delta, pair.before, pair.after):
        if isinstance(a, LowRank):
            a.check_memory(options.memory_limit, memory.reserved)
            spectra.append(_Spectrum(1, measured.product_seconds(a.shape, a.rank), a.working_bytes))
            continue
        query = SpectrumRequest.of(**how)
        chosen, room = query.chosen(a)
        peak = 0
        if not memory.matrix_bytes:
            plan = query.plan(chosen, room)
            peak = plan.needed(chosen.need_of(room)).peak
        computing = computing_seconds(a, chosen, measured) + _CALL
        computing *= _WITH_VECTORS if chosen.effort == "exact" else 1.0
        spectra.append(_Spectrum(chosen.passes, computing, peak))
    return spectra


def _seconds(
    pair: MatrixPair,
    spectra: list[_Spectrum],
    effort: str,
    looks: int,
    read: int,
    options: Options,
    measured: Rates,
) -> float:
    """Estimate the seconds of a pair with all threads; reading overlaps with another pair."""
    m, n = pair.before.shape
    of_change, _, of_after = (one.seconds for one in spectra)
    # The change of an adapter is a pair of factors; without its part along W, it is a matrix.
    adapted = isinstance(pair, AdaptedPair)
    projected = of_after if adapted else _PROJECTED[effort] * of_change
    angles = _ANGLES * (m + n) * min(options.k, m, n) ** 2 / measured.float64
    alone = sum(one.seconds for one in spectra) + projected + angles
    alone += looks * measured.elements_seconds(pair.nbytes)
    reading = read / measured.file if measured.file and not pair.in_memory else 0.0
    return max(alone / _at_once(options), reading)


def _on_device(pair: MatrixPair, memory: PairPlan, options: Options) -> dict[str, Any]:
    """Return a plan's entries about the memory of a CUDA device."""
    if options.device.index is None:
        return {}
    how = spectrum_options(options, memory.workers) | {
        "vectors": True,
        "num_threads": memory.threads,
        "memory_limit": options.memory_limit,
    }
    taken, stays = 0, True
    for a in (pair.delta, pair.before, pair.after):
        if isinstance(a, Matrix):
            chosen, room = SpectrumRequest.of(**how).chosen(a)
            one, kept = room.planned_on_device(chosen.need_of(room))
            taken, stays = max(taken, one), stays and kept
    return {"device_bytes": memory.workers * taken, "stays_on_device": stays}
