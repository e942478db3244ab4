# SPDX-License-Identifier: BSD-3-Clause
"""Everything that one effort can say of one matrix: the call that a scan makes for each tensor."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np

from . import plan, statistics
from .distributions import density_of, moments
from .errors import MemoryLimitError, NonFiniteError
from .krylov import Search, krylov, krylov_notes
from .linalg import svdvals
from .low_rank import LowRank
from .matrices import Matrix
from .plan import Run
from .routes import EFFORTS, Route, route, run_for
from .sources import matrix, partly_loaded
from .spectra import Density, Moments, Spectrum

__all__ = ["EFFORTS", "spectrum"]


def spectrum(
    A: Any,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    seed: int = 0,
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
        If the effort does not fit into memory_limit.

    Notes
    -----
    Passes: one for the moments, one for the range, then those of :func:`svds` or :func:`svdvals`.
    A matrix in files that fits into memory_limit beside what it needs (:mod:`sigmascope.memory`) is
    read from disk once; of a larger one the part that fits is.
    """
    if isinstance(A, LowRank):
        return A.spectrum(k, memory_limit=options.get("memory_limit"))
    a = matrix(A)
    plan.check_positive(max_passes=max_passes)
    plan.check_seed(seed)
    run = run_for(a, effort, **options)
    chosen = route(a, effort, k, tol, accuracy, run)
    run = chosen.within(a, run)
    started = time.perf_counter()
    options["memory_limit"] = run.memory
    how = chosen, run, max_passes, seed, options, started
    if run.load_bytes:  # one read of the file for everything that follows
        return _seen(a.load(), run.load_bytes, *how)
    part, held = partly_loaded(a, chosen.spare(a, run))
    if held:
        with suppress(MemoryLimitError):  # its basis may grow beyond what is expected of one
            return _seen(part, held, *how)
        del part
    return _seen(a, 0, *how)


def _seen(
    a: Matrix,
    held: int,
    chosen: Route,
    run: Run,
    max_passes: int,
    seed: int,
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    """Look at every element once, then compute; `held` bytes of the matrix are in memory."""
    options = options | {"reserved": run.reserved + held}
    shared = {name: value for name, value in options.items() if name != "precision"}
    seen = moments(a, **shared)
    if seen.nan or seen.inf:
        raise NonFiniteError(
            f"the matrix holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    options["reserved"] = shared["reserved"] = run.reserved + held + chosen.seen_bytes
    if chosen.search is None:
        return _exact(a, chosen, seed, seen, shared, started)
    run = run_for(a, chosen.asked, **options)
    return _searched(a, chosen, chosen.search, run, max_passes, seed, seen, started)


def _exact(
    a: Matrix, chosen: Route, seed: int, seen: Moments, options: dict[str, Any], started: float
) -> Spectrum:
    k = chosen.k
    result = svdvals(a, accuracy=chosen.accuracy, **options)
    measures = statistics.measures_from_values(
        result.values, result.errors, a.shape, seen.fro_norm, floor=result.floor, k=k
    )
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
        passes=result.passes + seen.passes,
        block=0,
        columns=len(result.values),
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=result.num_threads,
        converged=True,
        notes=chosen.notes + result.notes,
    )


def _searched(
    a: Matrix,
    chosen: Route,
    search: Search,
    run: Run,
    max_passes: int,
    seed: int,
    seen: Moments,
    started: float,
) -> Spectrum:
    """The k largest values and, at effort "density", the quadrature of the same basis."""
    result, run = krylov(
        a, run, search, search.columns, chosen.what, max_steps=max_passes, seed=seed, strict=True
    )
    seconds = time.perf_counter() - started
    top, errors = result["s"].astype(np.float64), result["errors"]
    density: Density | None = None
    if search.density:
        rule = result["quadrature"]
        steps = -(-rule["columns"] // search.block)
        density = density_of(min(a.shape), rule, result, run.precision, seed, steps, seconds)
        measures = statistics.measures_from_density(density, top, errors, a.shape, seen.fro_norm)
    else:
        measures = statistics.measures_from_top(result["s"], errors, a.shape, seen.fro_norm)
    return Spectrum(
        shape=a.shape,
        effort=chosen.effort,
        k=chosen.k,
        top=top if search.density else result["s"],
        top_errors=errors,
        values=None,
        value_errors=None,
        density=density,
        moments=seen,
        measures=measures,
        method="block Krylov with quadrature" if search.density else "block Krylov",
        precision=run.precision,
        passes=result["reads"] + seen.passes,
        block=search.block,
        columns=result["columns"],
        seed=seed,
        seconds=seconds,
        num_threads=run.threads,
        converged=result["converged"],
        notes=krylov_notes(result),
    )
