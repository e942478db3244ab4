# SPDX-License-Identifier: BSD-3-Clause
"""Distributions: of the singular values, from a few passes; of the entries, from one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from . import _core, plan, spread
from .memory import density_need, elementwise_need
from .plan import Run
from .rounding import DENSITIES
from .sources import matrix
from .spectra import Density, Moments


def spectral_density(
    A: Any,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int = 0,
    **options: Any,
) -> Density:
    """Estimate the distribution of all singular values from a few passes.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    passes : int
        Krylov steps: nodes of the quadrature per probe. One read more looks at the norm.
    probes : int
        Random start vectors, at least 2; the standard error falls with their square root.
    precision, seed, **options
        As for :func:`svds`.

    Returns
    -------
    Density
        Quadrature nodes and weights; moments, effective ranks, quantiles, each with a standard
        error and a quadrature error.

    Raises
    ------
    ValueError
        If passes < 1 or probes < 2.
    NonFiniteError
        If A holds NaN or infinity.

    Notes
    -----
    Memory: min(m, n) * passes * probes numbers. Stochastic Lanczos quadrature (Ubaru, Chen & Saad
    2017) from one block run, converged part deflated (Chen & Hallman 2023), the known n and
    ||A||_F^2 as control variates, Gauss paired with Gauss-Radau.
    """
    a = matrix(A)
    run = Run.of(a, precision=precision, precisions=DENSITIES, **options)
    plan.check_positive(passes=passes)
    n = min(a.shape)
    if probes < 2:
        raise ValueError(f"a standard error needs at least 2 probes, not {probes}")
    if n < 2:
        raise ValueError(f"a density needs at least 2 singular values, shape {a.shape} has {n}")
    probes = min(probes, n)
    run = run.within(
        a,
        lambda reading: density_need(reading, probes, passes, run.itemsize),
        f"a basis of {passes} blocks of {probes} columns for {plan.of_shape(a.shape)}",
    )
    started = time.perf_counter()
    result = _core.density(
        spread.operand(a, run),
        block=probes,
        steps=passes,
        seed=plan.check_seed(seed),
        products=run.products,
        f64=run.precision == "float64",
        gather=run.gathers,
        separate=run.separate,
        **run.native(),
    )
    seconds = time.perf_counter() - started
    return density_of(n, result, result, run.precision, seed, result["steps"], seconds)


def _resolution(n: int, fro2: float, largest: float, precision: str) -> float:
    """How far rounding may have moved a node, beside 1e-6 of itself, of the largest one.

    A block and its image rounded to 2^-18 err by that times ||A||_F / sqrt(n), and the image has
    the size of sigma_1 where it holds what is largest; seen was 0.6 of their product.
    """
    if precision == "float64":
        return 1e-14
    if precision == "float32" or largest <= 0:
        return 2e-7
    return max(2e-7, 2.0**-18 * float(np.sqrt(fro2 / (n * largest))))


def density_of(
    n: int,
    rule: dict[str, Any],
    run: dict[str, Any],
    precision: str,
    seed: int,
    steps: int,
    seconds: float,
) -> Density:
    """Build the Density of a native quadrature."""
    return Density.from_quadrature(
        n,
        run["fro2"],
        rule["gauss_nodes"],
        rule["gauss_weights"],
        rule["radau_nodes"],
        rule["radau_weights"],
        rule["residuals"],
        resolution=_resolution(n, run["fro2"], float(np.max(rule["gauss_nodes"])), precision),
        steps=steps,
        seed=seed,
        passes=run["reads"],
        precision=precision,
        seconds=seconds,
    )


def moments(A: Any, *, histogram: bool = True, **options: Any) -> Moments:
    """Compute the elementwise, row and column statistics of a matrix in one pass.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    histogram : bool
        Count the stored codes, for a matrix of one 8- or 16-bit dtype.
    **options
        device, num_threads, memory_limit, panel_rows, progress, executor: see
        :class:`sigmascope.plan.Run`.

    Returns
    -------
    Moments
        NaN and infinity are counted and located, and left out of everything else.

    Notes
    -----
    One read of A; float64 sums in an order fixed by the matrix, so that no bit depends on how it is
    stored. Per 4096 elements of a row, sums of powers, taken again about the mean where that holds
    more than 7/8 of the squares, so that a large mean costs no digits; merged by Pebay's formulas
    (2008). Norms, mean and deviation are good to about 1e-13, skewness and kurtosis to 1e-11, of
    what is stored, times mean / deviation where the mean is the larger.
    """
    a = matrix(A)
    run = Run.of(a, **options)
    what = f"a look at every element of {plan.of_shape(a.shape)}"
    run = run.within(a, elementwise_need, what, hold=False)
    started = time.perf_counter()
    if run.executor is None:
        raw = _core.moments(a._native, histogram=histogram, **run.native())
    else:
        raw = spread.moments(a, run, histogram=histogram)
    return moments_of(a.shape, raw, time.perf_counter() - started)


def moments_of(shape: tuple[int, int], raw: dict[str, Any], seconds: float) -> Moments:
    """Build the Moments of native sums."""
    count = int(raw["count"])
    variance = raw["m2"] / count if count else 0.0
    # Fourth powers of entries beyond 1e77 or below 1e-81 leave float64's range: no answer then.
    square = variance * variance
    shaped, unshaped = 0.0 < square < np.inf, 0.0 if variance == 0.0 else np.nan
    rows = raw["row_squares"]
    return Moments(
        shape=shape,
        count=count,
        zeros=raw["zeros"],
        nan=raw["nan"],
        inf=raw["inf"],
        first_nonfinite=raw["first_nonfinite"],
        min=raw["min"] if count else 0.0,
        max=raw["max"] if count else 0.0,
        mean=raw["mean"],
        std=float(np.sqrt(variance)),
        skewness=raw["m3"] / count / variance**1.5 if shaped else unshaped,
        kurtosis=raw["m4"] / count / square if shaped else unshaped,
        fro_norm=float(np.sqrt(raw["sum_squares"])),
        abs_max=max(raw["max"], -raw["min"]) if count else 0.0,
        row_norms=None if rows is None else np.sqrt(rows),
        column_norms=np.sqrt(raw["column_squares"]),
        histogram=raw["histogram"],
        passes=1,
        seconds=seconds,
    )
