# SPDX-License-Identifier: BSD-3-Clause
"""Everything that one effort can say of one matrix: the call that a scan makes for each tensor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sigmascope import statistics
from sigmascope._execution import arguments
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import SEARCHES, coarsest_for
from sigmascope._host.memory import resolve_memory
from sigmascope._host.results import KrylovResult
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.joins import partly_loaded
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.krylov import GIVEN_UP, KrylovSettings, krylov_notes, triplets_of
from sigmascope.solvers.moments import element_moments
from sigmascope.solvers.svds import triplets
from sigmascope.solvers.svdvals import every_value
from sigmascope.spectra import Density, Moments, Spectrum
from sigmascope.spectra.units import beyond, scaled, scaled_errors

from . import requested
from .admission import Asked
from .low_rank import LowRank
from .requested import REQUESTED, check_measures
from .routes import EFFORTS, Route
from .searching import known_of, search_of

__all__ = ["EFFORTS", "REQUESTED", "spectrum"]


def spectrum(
    A: Any,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Any,
) -> Spectrum:
    """Compute every measure that an effort allows, each with its error.

    Parameters
    ----------
    A : Matrix, LowRank, or anything that :func:`matrix` takes, shape (m, n)
        Of a LowRank the spectrum is exact, and no other option than k counts.
    effort : {"top", "density", "exact"}
        The k largest values; these and the spectral density of the same run; every value. Where
        the whole spectrum is cheaper than what was asked, it is computed instead, and said so.
    k : int
        Largest values wanted; min(m, n) if that is less.
    tol : float
        Error bound of the k values, in units of sigma_1.
    accuracy : {"reference", "fast"}
        Of every value: see :func:`svdvals`.
    measures : str or sequence of str
        Further measures, which take reads of their own: "alpha_farms", "randomized_distance",
        "correlation_traps" (:mod:`sigmascope.analysis.requested`).
    vectors : bool
        Whether the vectors of the k largest values are wanted as well, as `svd`: they come from the
        same steps, and are as good as their residuals say (with a density those of the recurrence).
    elements : bool
        Whether the statistics of the elements are wanted; without, one pass less.
    max_passes, seed, **options
        As for :func:`svds`.

    Returns
    -------
    Spectrum
        A measure that this effort cannot give is absent.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NonFiniteError
        If A holds NaN or infinity: how many, and where the first is.
    MemoryLimitError
        If the effort, or a measure on request, does not fit into memory_limit, or into the free
        memory of the device.
    DeviceError
        If the device is not available; the message says what there is.

    Notes
    -----
    Passes: one for the moments, one for the range, then those of :func:`svds` or :func:`svdvals`;
    one more for randomized_distance or correlation_traps, which take three times as long in all.
    A matrix in files that fits into memory_limit together with what the call needs
    (:mod:`sigmascope._execution.memory`) is read from disk once. Of a larger matrix, the part that
    fits is read once.

    With ``device="cuda"`` the device computes the statistics of the elements, the products, the
    basis and the Gram matrices, of the matrix and of its permutations. The CPU computes
    "alpha_farms", the spectrum of a LowRank, small eigenproblems and the measures themselves.
    `Spectrum.device` names the device that found the singular values.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> A = np.random.default_rng(0).standard_normal((300, 200))
    >>> ss.spectrum(A, effort="top", k=4).device            # device="cuda" on a CUDA device
    'cpu'
    """
    if isinstance(A, LowRank):
        return A.spectrum(k, memory_limit=options.get("memory_limit"))
    a = matrix(A)
    arguments.check_positive(max_passes=max_passes)
    arguments.check_seed(seed)
    options["memory_limit"] = resolve_memory(options.get("memory_limit"))
    asked = Asked(effort, k, tol, accuracy, check_measures(measures), vectors, options)
    chosen, call = asked.chosen(a)
    # The free memory of a device is asked for once.
    asked = replace(asked, options={**options, "device": call.device})
    plan = asked.fit_memory(a, chosen, call)
    request = Request(chosen, call, tol, max_passes, seed, elements, time.perf_counter())
    if plan.loaded_nbytes:  # one read of the file for everything that follows
        part, held = a.load(), plan.loaded_nbytes
    else:
        part, held = partly_loaded(a, chosen.spare(a, plan))
    if held:
        with suppress(MemoryLimitError):  # its basis may grow beyond what is expected of one
            return _with_statistics(part, request.reserving(held))
    del part
    try:
        return _with_statistics(a, request)
    except MemoryLimitError as error:
        raise asked.refused(a, chosen, error) from None


@dataclass(frozen=True, slots=True)
class Request:
    """One call of :func:`spectrum`, resolved: its route, its options, and when it began."""

    route: Route
    call: CallOptions
    tol: float
    max_passes: int
    seed: int
    elements: bool
    started: float

    def reserving(self, nbytes: int) -> Request:
        """Return the same request, with so many more bytes of the memory taken."""
        return replace(self, call=self.call.with_reserved(self.call.reserved + nbytes))

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self.started


def _with_statistics(a: Matrix, request: Request) -> Spectrum:
    """Look at every element once, then compute the spectrum and the measures on request."""
    seen = None
    if request.elements:
        seen = element_moments(a, request.call.with_precision(a.precision))
        if seen.nan or seen.inf:
            raise NonFiniteError(
                f"the matrix holds {seen.nan} NaN and {seen.inf} infinite entries, "
                f"the first at {seen.first_nonfinite}"
            )
    request = request.reserving(request.route.statistics_nbytes)
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
    found = _exact(a, route.all_values, request, seen)
    notes = tuple(note for note in found.notes if note not in route.all_values.notes)
    return replace(found, passes=found.passes + result["reads"], notes=(GIVEN_UP, *notes))


def _exact(a: Matrix, route: Route, request: Request, seen: Moments | None) -> Spectrum:
    k, call = route.k, request.call.with_precision(a.precision)
    result, unit = every_value(a, route.accuracy, call)
    fro_norm = result.fro_norm if seen is None or unit else seen.fro_norm
    measures = statistics.measures_from_values(
        result.values, result.errors, a.shape, fro_norm, floor=result.floor, k=k, unit=unit
    )
    result = result.scaled(unit)
    svd = None
    if route.vectors:
        search = call.with_precision(coarsest_for(a, SEARCHES, on_cuda=call.device.is_cuda))
        svd = triplets(a, search, k, tol=request.tol, seed=request.seed)
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
        notes=route.notes + tuple(n for n in result.notes if n not in call.device.notes),
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
    if density is not None:
        measures = statistics.measures_from_density(
            density, top, errors, a.shape, fro_norm, unit=unit
        )
    else:
        measures = statistics.measures_from_top(top, errors, a.shape, fro_norm, unit=unit)
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
        notes=route.notes + krylov_notes(result) + beyond(unit, fro_norm),
        svd=triplets_of(result, call, search, seed, seconds) if route.vectors else None,
    )


def _with_requested(found: Spectrum, a: Matrix, request: Request) -> Spectrum:
    """Add the measures on request; what is cut out or put in random order stays in this process."""
    route, seed = request.route, request.seed
    if not route.measures:
        return found
    here = replace(request.call, executor=None, fro2=None)
    measures = dict(found.measures)
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
            distance = statistics.randomized_distance(found.known, randomized)
            measures["randomized_distance"] = distance
        if "correlation_traps" in route.measures:
            measures |= statistics.correlation_traps(randomized, a.shape)
    passes = found.passes + route.permutes
    return replace(found, measures=measures, passes=passes, seconds=request.elapsed)
