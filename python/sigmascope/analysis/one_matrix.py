# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one matrix by :func:`sigmascope.spectrum`, for checked arguments."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.native_results import KrylovResult
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import SEARCHES, coarsest_for
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.joins import partly_loaded
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.gram import GramTriplets
from sigmascope.solvers.krylov import GIVEN_UP, KrylovSettings, krylov_notes, triplets_of
from sigmascope.solvers.moments import check_finite, element_moments
from sigmascope.solvers.svdvals import EveryValue
from sigmascope.solvers.triplets import TripletsRequest
from sigmascope.spectra import Density, Moments, Spectrum, statistics
from sigmascope.spectra.units import beyond, scaled, scaled_errors

from . import requested
from .admission import SpectrumRequest
from .routes import Route
from .searching import known_of, search_of


@dataclass(frozen=True, slots=True)
class Analysis:
    """The arguments of one call of :func:`sigmascope.spectrum`, for each of its matrices."""

    request: SpectrumRequest
    max_passes: int
    seed: int
    elements: bool
    extremes: statistics.Extremes | None = None

    def compute(self, chosen: Route, memory: CallMemory) -> Spectrum:
        """Analyse a matrix by the route that was chosen for it, within its memory."""
        query, a, call = self.request, memory.a, memory.options
        plan = query.plan(chosen, memory)
        request = Request(
            chosen,
            call.with_reserved(call.reserved + chosen.statistics_nbytes),
            query.tol,
            self.max_passes,
            self.seed,
            self.elements,
            time.perf_counter(),
            plan if plan.serves_parts else None,
            self.extremes,
        )
        if plan.loaded_nbytes:  # one read of the file for everything that follows
            part, held = a.load(), plan.loaded_nbytes
        else:
            room = chosen.spare(plan)
            part, held = partly_loaded(a, room) if room else (a, 0)
        if held:
            with suppress(MemoryLimitError):  # its basis may grow beyond what is expected of one
                return _with_statistics(part, request.reserving(held))
        del part
        try:
            return _with_statistics(a, request)
        except MemoryLimitError as error:
            raise query.refused(chosen, memory, error) from None

    def of_share(self, a: Matrix, share: CallOptions) -> Spectrum:
        """Analyse a matrix of a stack with its share of the threads and the memory."""
        part = replace(self, request=self._within(share))
        return part.compute(*part.request.chosen(a))

    def suffices(self, a: Matrix, share: CallOptions) -> bool:
        """Return whether a share allows every method, and bases of min(m, n) columns."""
        chosen, memory = self._within(share).chosen(a)
        if not chosen.may_find_all(memory):
            return False
        if chosen.vectors:
            call = memory.options
            left = call.with_reserved(call.reserved + chosen.statistics_nbytes)
            gram = GramTriplets(a.shape, chosen.k, self.request.tol, self.seed)
            if not gram.fits(CallMemory(a, left), complete=True):
                return False
        return memory.fits_held(chosen.need_of(memory, grown=True))

    def _within(self, share: CallOptions) -> SpectrumRequest:
        options = {
            "num_threads": share.threads,
            "memory_limit": share.memory,
            "reserved": share.reserved,
            "device": share.device,
            "progress": share.progress,
        }
        return replace(self.request, options={**self.request.options, **options})


def result_nbytes(route: Route) -> int:
    """Estimate the bytes of the arrays of a result."""
    nbytes = route.statistics_nbytes + 32 * min(route.shape)
    if route.vectors:
        nbytes += 8 * sum(route.shape) * route.k
    if route.search is not None and route.search.density:  # nodes and weights of both rules
        nbytes += 16 * route.search.columns * (route.search.block + 2)
    return nbytes


@dataclass(frozen=True, slots=True)
class Request:
    """One call of :func:`sigmascope.spectrum` on a matrix: route, options, and start time.

    `call`: its options, with the memory of the statistics of the elements reserved. `plan`: how
    every part of the call reads the matrix; None if each part makes its own plan. `extremes`: those
    of the matrix, if they are known already.
    """

    route: Route
    call: CallOptions
    tol: float
    max_passes: int
    seed: int
    elements: bool
    started: float
    plan: MemoryPlan | None
    extremes: statistics.Extremes | None = None

    def reserving(self, nbytes: int) -> Request:
        """Return the same request, with further bytes of the memory reserved."""
        return replace(self, call=self.call.with_reserved(self.call.reserved + nbytes))

    def extremes_of(self, a: Matrix, seen: Moments | None, unit: int) -> statistics.Extremes | None:
        """Return the largest row, column and entry in units of 2^unit, or None if not known."""
        extremes = statistics.Extremes.of(seen) or self.extremes
        if extremes is None and seen is not None and unit > 0:  # a norm is beyond float64
            call = self.call.with_precision("float64")
            smaller = element_moments(a * 2.0**-unit, call, histogram=False)
            return statistics.Extremes.of(smaller)
        return None if extremes is None else extremes.scaled(-unit)

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self.started


def _with_statistics(a: Matrix, request: Request) -> Spectrum:
    """Compute the statistics of the elements, then the spectrum and the measures on request."""
    seen = None
    if request.elements:
        call = request.call.with_precision(a.precision)
        if request.plan is None:  # the memory that is reserved for the statistics is free for them
            call = call.with_reserved(call.reserved - request.route.statistics_nbytes)
        seen = element_moments(a, call, plan=request.plan)
        check_finite(seen, "the matrix")
    return _with_requested(_spectrum(a, request, seen), a, request)


def _spectrum(a: Matrix, request: Request, seen: Moments | None) -> Spectrum:
    """Search for the largest values, or compute every value, as the route says."""
    route = request.route
    if route.search is None:
        return _exact(a, route, request, seen)
    result, density = search_of(
        a, route, route.search, request.call, request.max_passes, request.seed, request.started
    )
    if not result["costly"]:
        return _searched(a, route.search, request, seen, result, density)
    spectrum = _exact(a, route.all_values, request, seen)
    notes = tuple(note for note in spectrum.notes if note not in route.all_values.notes)
    return replace(spectrum, passes=spectrum.passes + result["reads"], notes=(GIVEN_UP, *notes))


def _exact(a: Matrix, route: Route, request: Request, seen: Moments | None) -> Spectrum:
    k, call = route.k, request.call.with_precision(a.precision)
    result, unit = EveryValue(route.accuracy).compute(a, call, request.plan)
    fro_norm = result.fro_norm if seen is None or unit else seen.fro_norm
    norms = statistics.MatrixNorms(a.shape, fro_norm, unit, request.extremes_of(a, seen, unit))
    measures = statistics.measures_from_values(
        result.values, result.errors, norms, floor=result.floor, k=k
    )
    result = result.scaled(unit)
    svd = None
    if route.vectors:
        search = call.with_precision(coarsest_for(a, SEARCHES, on_cuda=call.device.is_cuda))
        svd = TripletsRequest(k, request.tol, request.seed).compute(a, search)
    return Spectrum(
        shape=a.shape,
        effort="exact",
        k=k,
        top=result.values[:k],
        top_errors=result.errors[:k],
        values=result.values,
        value_errors=result.errors,
        density=None,
        moments=seen,
        measures=measures,
        method=result.method,
        precision=result.precision,
        passes=result.passes + (seen.passes if seen else 0) + (svd.passes if svd else 0),
        block=0,
        columns=len(result.values),
        seed=request.seed,
        seconds=request.elapsed,
        num_threads=result.num_threads,
        device=call.device.name,
        converged=True,
        notes=route.notes
        + tuple(n for n in result.notes if n not in call.device.notes)
        + statistics.notes_on_bulk(measures, a.shape),
        svd=svd,
    )


def _searched(
    a: Matrix,
    search: KrylovSettings,
    request: Request,
    seen: Moments | None,
    result: KrylovResult,
    density: Density | None,
) -> Spectrum:
    route, call, seed, seconds = request.route, request.call, request.seed, request.elapsed
    top, errors, unit = result["s"], result["errors"], result["unit"]
    fro_norm = float(np.sqrt(result["fro2"])) if seen is None or unit else seen.fro_norm
    norms = statistics.MatrixNorms(a.shape, fro_norm, unit, request.extremes_of(a, seen, unit))
    if density is not None:
        measures = statistics.measures_from_density(density, top, errors, norms)
    else:
        measures = statistics.measures_from_top(top, errors, norms)
    return Spectrum(
        shape=a.shape,
        effort=route.effort,
        k=route.k,
        top=scaled(top, unit),
        top_errors=scaled_errors(errors, top, unit),
        values=None,
        value_errors=None,
        density=density,
        moments=seen,
        measures=measures,
        method="block Krylov with quadrature" if search.density else "block Krylov",
        precision=call.precision,
        passes=result["reads"] + (seen.passes if seen else 0),
        block=search.block,
        columns=result["columns"],
        seed=seed,
        seconds=seconds,
        num_threads=call.threads,
        device=call.device.name,
        converged=result["converged"],
        notes=route.notes
        + krylov_notes(result)
        + beyond(unit, fro_norm)
        + statistics.notes_on_bulk(measures, a.shape),
        svd=triplets_of(result, call, search, seed, seconds) if route.vectors else None,
    )


def _with_requested(spectrum: Spectrum, a: Matrix, request: Request) -> Spectrum:
    """Add the measures on request; sub-matrices and permutations are computed in this process."""
    route, seed = request.route, request.seed
    if not route.measures:
        return spectrum
    here = replace(request.call, executor=None, fro2=None)
    measures = dict(spectrum.measures)
    if "alpha_farms" in route.measures:
        parts, floor = requested.farms(a, seed, here.with_precision(a.precision))
        with suppress(ValueError):  # undefined: no power law in half of the values
            measures["alpha_farms"] = statistics.alpha_farms(parts, floor)
    if route.permutes:
        here = here.with_reserved(here.reserved + route.width * a.size)
        randomized = [
            known_of(permuted, route, here, request.max_passes, seed)
            for permuted in requested.permutations(a, seed, here.threads)
        ]
        if "randomized_distance" in route.measures:
            distance = statistics.randomized_distance(spectrum.known, randomized)
            measures["randomized_distance"] = distance
        if "correlation_traps" in route.measures:
            measures |= statistics.correlation_traps(randomized, a.shape)
    passes = spectrum.passes + route.permutes
    return replace(spectrum, measures=measures, passes=passes, seconds=request.elapsed)
