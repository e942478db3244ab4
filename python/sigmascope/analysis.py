# SPDX-License-Identifier: BSD-3-Clause
"""Everything that one effort can say of one matrix: the call that a scan makes for each tensor."""

from __future__ import annotations

import operator
import time
import warnings
from typing import Any

import numpy as np

from . import _core, plan, spread, statistics
from .distributions import density_of, moments
from .errors import ConvergenceWarning, NonFiniteError
from .linalg import krylov_notes, svds, svdvals
from .matrices import Matrix
from .plan import Run
from .sources import matrix
from .spectra import Density, Measure, Moments, Spectrum

EFFORTS = ("top", "density", "exact")


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
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
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
    A matrix in files that fits into half of memory_limit is read from disk once.
    """
    a = matrix(A)
    if effort not in EFFORTS:
        raise ValueError(f"effort is one of {', '.join(EFFORTS)}, not {effort!r}")
    if operator.index(k) < 1:
        raise ValueError(f"k = {k} must be at least 1")
    plan.check_positive(tol=tol, max_passes=max_passes)
    plan.check_seed(seed)
    plan.check_accuracy(accuracy)
    run = Run.of(a, **options)
    n = min(a.shape)
    k = min(k, n)
    block = min(32 if k <= 128 else 64, n)
    started = time.perf_counter()
    if run.load_bytes:  # one read of the file for everything that follows
        a = a.load()
        options["memory_limit"] = run.memory - a.nbytes
        run = Run.of(a, **options)
    seen = moments(a, **options)
    if seen.nan or seen.inf:
        raise NonFiniteError(
            f"the matrix holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    if effort == "exact" or plan.prefers_gram(a.shape, k, block, tol, run):
        notes = (
            () if effort == "exact" else (f"every value, cheaper here than effort {str(effort)!r}",)
        )
        return _exact(a, k, accuracy, seed, seen, notes, options, started)
    if effort == "top":
        return _top(a, k, tol, max_passes, seed, seen, options, started)
    return _density(a, k, block, tol, max_passes, seed, seen, run, started)


def _exact(
    a: Matrix,
    k: int,
    accuracy: str,
    seed: int,
    seen: Moments,
    notes: tuple[str, ...],
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    options = {name: value for name, value in options.items() if name != "precision"}
    result = svdvals(a, accuracy=accuracy, **options)
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
        notes=notes + result.notes,
    )


def _top(
    a: Matrix,
    k: int,
    tol: float,
    max_passes: int,
    seed: int,
    seen: Moments,
    options: dict[str, Any],
    started: float,
) -> Spectrum:
    with warnings.catch_warnings():  # the result says it: converged = False
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = svds(
            a,
            k,
            tol=tol,
            vectors=False,
            method="krylov",
            max_passes=max_passes,
            seed=seed,
            **options,
        )
    measures = statistics.measures_from_top(result.s, result.errors, a.shape, seen.fro_norm)
    return _spectrum(a, "top", k, result, measures, None, seen, result.notes, started)


def _density(
    a: Matrix,
    k: int,
    block: int,
    tol: float,
    max_passes: int,
    seed: int,
    seen: Moments,
    run: Run,
    started: float,
) -> Spectrum:
    n = min(a.shape)
    result = _core.krylov(
        spread.operand(a, run),
        k=k,
        tol=tol,
        block=block,
        max_steps=max_passes,
        restart_columns=0,  # the density needs the whole basis
        max_columns=plan.column_cap(n, max(a.shape), k, block, run),
        seed=plan.check_seed(seed),
        vectors=False,
        density=True,
        steer=False,  # what is rounded adds to a density, and no residual would tell
        rounded_copy=False,
        f64=run.precision == "float64",
        **run.native(),
    )
    rule = result["quadrature"]
    steps = -(-rule["columns"] // block)
    seconds = time.perf_counter() - started
    density = density_of(n, rule, result, run.precision, seed, steps, seconds)
    top, errors = result["s"].astype(np.float64), result["errors"]
    measures = statistics.measures_from_density(density, top, errors, a.shape, seen.fro_norm)
    return Spectrum(
        shape=a.shape,
        effort="density",
        k=k,
        top=top,
        top_errors=errors,
        values=None,
        value_errors=None,
        density=density,
        moments=seen,
        measures=measures,
        method="block Krylov with quadrature",
        precision=run.precision,
        passes=result["reads"] + seen.passes,
        block=block,
        columns=result["columns"],
        seed=seed,
        seconds=seconds,
        num_threads=run.threads,
        converged=result["converged"],
        notes=krylov_notes(result),
    )


def _spectrum(
    a: Matrix,
    effort: str,
    k: int,
    result: Any,
    measures: dict[str, Measure],
    density: Density | None,
    seen: Moments,
    notes: tuple[str, ...],
    started: float,
) -> Spectrum:
    return Spectrum(
        shape=a.shape,
        effort=effort,
        k=k,
        top=result.s,
        top_errors=result.errors,
        values=None,
        value_errors=None,
        density=density,
        moments=seen,
        measures=measures,
        method=result.method,
        precision=result.precision,
        passes=result.passes + seen.passes,
        block=result.block,
        columns=result.columns,
        seed=result.seed,
        seconds=time.perf_counter() - started,
        num_threads=result.num_threads,
        converged=result.converged,
        notes=notes,
    )
