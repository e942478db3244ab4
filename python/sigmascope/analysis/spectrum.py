# SPDX-License-Identifier: BSD-3-Clause
"""Everything that one effort can say of one matrix: the call that a scan makes for each tensor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from sigmascope import statistics
from sigmascope._execution import arguments
from sigmascope._execution.options import Run
from sigmascope._execution.rounding import SEARCHES
from sigmascope._host.memory import resolve_memory
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.joins import partly_loaded
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.krylov import GIVEN_UP, Search, krylov_notes, triplets_of
from sigmascope.solvers.moments import moments
from sigmascope.solvers.svds import triplets
from sigmascope.solvers.svdvals import every_value
from sigmascope.spectra import Density, Moments, Spectrum
from sigmascope.spectra.units import beyond, scaled, scaled_errors

from . import requested
from .admission import Asked
from .low_rank import LowRank
from .requested import REQUESTED, check_measures
from .routes import EFFORTS, Route, run_for
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
        Further measures, which take reads of their own: "alpha_farms", "randomized_distance"
        (:mod:`sigmascope.analysis.requested`).
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
        If the effort, or a measure on request, does not fit into memory_limit.

    Notes
    -----
    Passes: one for the moments, one for the range, then those of :func:`svds` or :func:`svdvals`;
    one more for randomized_distance, which takes three times as long in all.
    A matrix in files that fits into memory_limit beside what it needs
    (:mod:`sigmascope._execution.memory`) is read from disk once; of a larger one the part that fits
    is.
    """
    if isinstance(A, LowRank):
        return A.spectrum(k, memory_limit=options.get("memory_limit"))
    a = matrix(A)
    arguments.check_positive(max_passes=max_passes)
    arguments.check_seed(seed)
    options["memory_limit"] = resolve_memory(options.get("memory_limit"))
    asked = Asked(effort, k, tol, accuracy, check_measures(measures), vectors, options)
    chosen, run = asked.chosen(a)
    run = asked.within(a, chosen, run)
    how = chosen, run, elements, tol, max_passes, seed, options, time.perf_counter()
    if run.load_bytes:  # one read of the file for everything that follows
        part, held = a.load(), run.load_bytes
    else:
        part, held = partly_loaded(a, chosen.spare(a, run))
    if held:
        with suppress(MemoryLimitError):  # its basis may grow beyond what is expected of one
            return _seen(part, held, *how)
    del part
    try:
        return _seen(a, 0, *how)
    except MemoryLimitError as error:
        raise asked.refused(a, chosen, error) from None


def _seen(
    a: Matrix,
    held: int,
    chosen: Route,
    run: Run,
    elements: bool,
    tol: float,
    max_passes: int,
    seed: int,
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    """Look at every element once, then compute; `held` bytes of the matrix are in memory."""
    options = options | {"reserved": run.reserved + held}
    shared = {name: value for name, value in options.items() if name != "precision"}
    seen = moments(a, **shared) if elements else None
    if seen is not None and (seen.nan or seen.inf):
        raise NonFiniteError(
            f"the matrix holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    options["reserved"] = shared["reserved"] = run.reserved + held + chosen.seen_bytes
    found, passes = None, 0
    if chosen.search is not None:
        run = run_for(a, chosen.asked, **options)
        outcome = search_of(a, chosen, chosen.search, run, max_passes, seed, started)
        passes = outcome[0]["reads"]
        if not outcome[0]["costly"]:
            found = _searched(a, chosen, chosen.search, outcome, seed, seen, started)
    if found is None:
        found = _exact(a, chosen.all_values, tol, seed, seen, shared, started)
    if passes and found.effort == "exact":  # the search was given up
        notes = tuple(note for note in found.notes if note not in chosen.all_values.notes)
        found = replace(found, passes=found.passes + passes, notes=(GIVEN_UP, *notes))
    return _with_requested(found, a, chosen, max_passes, options, started)


def _exact(
    a: Matrix,
    chosen: Route,
    tol: float,
    seed: int,
    seen: Moments | None,
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    k = chosen.k
    result, unit = every_value(a, chosen.accuracy, **options)
    fro_norm = result.fro_norm if seen is None or unit else seen.fro_norm
    measures = statistics.measures_from_values(
        result.values, result.errors, a.shape, fro_norm, floor=result.floor, k=k, unit=unit
    )
    result = result.scaled(unit)
    svd = None
    if chosen.vectors:
        run = Run.of(a, precisions=SEARCHES, **options)
        svd = triplets(a, run, k, tol=tol, seed=seed)
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
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=result.num_threads,
        converged=True,
        notes=chosen.notes + result.notes,
        svd=svd,
    )


def _searched(
    a: Matrix,
    chosen: Route,
    search: Search,
    outcome: tuple[dict[str, Any], Density | None, Run],
    seed: int,
    seen: Moments | None,
    started: float,
) -> Spectrum:
    result, density, run = outcome
    seconds = time.perf_counter() - started
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
        effort=chosen.effort,
        k=chosen.k,
        top=scaled(top, unit),
        top_errors=scaled_errors(errors, top, unit),
        values=None,
        value_errors=None,
        density=density,
        moments=seen,
        measures=measures,
        method="block Krylov with quadrature" if search.density else "block Krylov",
        precision=run.precision,
        passes=result["reads"] + (seen.passes if seen else 0),
        block=search.block,
        columns=result["columns"],
        seed=seed,
        seconds=seconds,
        num_threads=run.threads,
        converged=result["converged"],
        notes=chosen.notes + krylov_notes(result) + beyond(unit, fro_norm),
        svd=triplets_of(result, run, search, seed, seconds) if chosen.vectors else None,
    )


def _with_requested(
    found: Spectrum,
    a: Matrix,
    chosen: Route,
    max_passes: int,
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    """Add the measures on request; what is cut out or put in random order stays in this process."""
    if not chosen.measures:
        return found
    here = {name: value for name, value in options.items() if name not in ("executor", "fro2")}
    measures, seed = dict(found.measures), found.seed
    if "alpha_farms" in chosen.measures:
        shared = {name: value for name, value in here.items() if name != "precision"}
        parts, floor = requested.farms(a, seed, **shared)
        with suppress(ValueError):  # undefined: no power law in half of the values
            measures["alpha_farms"] = statistics.alpha_farms(parts, floor)
    if chosen.permutes:
        here["reserved"] += chosen.width * a.size
        randomized = [
            known_of(permuted, chosen, max_passes, seed, here)
            for permuted in requested.permutations(a, seed, here.get("num_threads"))
        ]
        measures["randomized_distance"] = statistics.randomized_distance(found.known, randomized)
    return replace(
        found,
        measures=measures,
        passes=found.passes + chosen.permutes,
        seconds=time.perf_counter() - started,
    )
