# SPDX-License-Identifier: BSD-3-Clause
"""Singular values, vectors and densities of matrices, each with its evidence."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from . import _core, plan
from .density import Density
from .errors import ConvergenceWarning
from .matrices import matrix
from .plan import Run
from .spectra import SVD, Moments, SingularValues


def svds(
    A: Any,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int = 0,
    **options: Any,
) -> SVD:
    """Compute the k largest singular values and vectors to a tolerance.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    k : int
        How many; at most min(m, n).
    tol : float
        In units of sigma_1. With vectors: every residual ||A^T u - sigma v|| <= tol * sigma_1.
        Without: every value's error bound <= tol * sigma_1, which takes fewer passes.
    vectors : bool
        Whether U and Vt are wanted.
    method : {"auto", "krylov", "gram"}
        Block Krylov, or the eigenvectors of the whole Gram matrix (exact, costs m n^2), or the
        cheaper of the two.
    max_passes : int
        Reads of A after which to stop without convergence.
    block : int, optional
        Columns per Krylov step; 32 up to k = 128, else 64.
    precision : {"float32", "float64"}, optional
        Of the blocks; float64 if any tile of A is f64, else float32. In float32 nothing below
        about 1e-6 * sigma_1 is resolved, and the errors say so.
    seed : int
        Of the random start. Same seed, same bits, whatever the threads.
    **options
        device, num_threads, memory_limit, panel_rows, progress: see :class:`sigmascope.plan.Run`.

    Returns
    -------
    SVD
        U (m, k), s (k,) descending, Vt (k, n) in `precision`, with the residuals (sigma), the
        error bound of each value (sigma), passes and whether it converged. Without vectors the
        residuals come from the recurrence, else they are measured.

    Raises
    ------
    ValueError
        If k < 1, k > min(m, n), or another argument is out of range.
    NonFiniteError
        If A holds NaN or infinity.
    MemoryLimitError
        If not even a restarted basis fits into memory_limit.

    Warns
    -----
    ConvergenceWarning
        If max_passes was not enough.

    Notes
    -----
    Passes over A: one for norm and range, one per Krylov step, two (one without vectors) at the
    end. Memory: min(m, n) * columns numbers of the basis, (m + n) * k of the result; the basis is
    restarted when it would pass memory_limit.

    Randomized block Krylov iteration (Musco & Musco 2015; Yuan, Gu & Li 2018) with full
    reorthogonalisation, thick restart (Wu & Simon 2000), residual-based stopping and two guards
    against missed copies of multiple values. The bound on a converged value is quadratic in its
    residual once it is separated from the rest; that every copy was found is a probabilistic
    certificate. The bound on one that has not converged is Weyl's, with ||A - A V V^T||_F.
    """
    a = matrix(A)
    run = Run.of(a, precision=precision, **options)
    plan.check_rank(k, a.shape)
    plan.check_positive(tol=tol, max_passes=max_passes)
    if method not in ("auto", "krylov", "gram"):
        raise ValueError(f"method is 'auto', 'krylov' or 'gram', not {method!r}")
    n = min(a.shape)
    b = min(block or (32 if k <= 128 else 64), n)
    if b < 1:
        raise ValueError(f"block must be at least 1, not {b}")
    started = time.perf_counter()
    if method == "gram" or (method == "auto" and plan.prefers_gram(n, k, b, tol, run.memory)):
        return _svds_by_gram(a, k, tol, vectors, seed, run, started)
    if b * max_passes < k:
        raise ValueError(f"max_passes = {max_passes} blocks of {b} cannot hold k = {k} vectors")
    result = _core.krylov(
        a._native,
        k=k,
        tol=tol,
        block=b,
        max_steps=max_passes,
        max_columns=plan.column_cap(n, max(a.shape), k, b, tol, run),
        seed=plan.check_seed(seed),
        vectors=vectors,
        density=False,
        f64=run.precision == "float64",
        **run.native(),
    )
    svd = SVD(
        U=result.get("u"),
        s=result["s"],
        Vt=result.get("vt"),
        residuals=result["residuals"],
        errors=result["errors"],
        converged=result["converged"],
        passes=result["reads"],
        block=b,
        columns=result["columns"],
        precision=run.precision,
        method="block Krylov",
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=run.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=krylov_notes(result),
    )
    if not svd.converged:
        worst = float(np.max(svd.residuals / max(float(svd.s[0]), np.finfo(float).tiny)))
        warnings.warn(
            f"svds did not converge to tol = {tol:g} in {svd.passes} passes: the worst residual is "
            f"{worst:.2g} sigma_1; the error bounds hold all the same",
            ConvergenceWarning,
            stacklevel=2,
        )
    return svd


def krylov_notes(result: dict[str, Any]) -> tuple[str, ...]:
    """What a Krylov run met on its way, in words."""
    notes = []
    if result["injected"]:
        notes.append("random columns were injected to look for further copies of multiple values")
    if result["restarted"]:
        notes.append("the basis was restarted to keep to the memory limit")
    return tuple(notes)


def _svds_by_gram(
    a: Any, k: int, tol: float, vectors: bool, seed: int, run: Run, started: float
) -> SVD:
    n = min(a.shape)
    plan.require_memory(run, plan.gram_bytes(n, vectors=True), f"the Gram matrix of order {n}")
    result = _core.gram_top(a._native, k=k, seed=plan.check_seed(seed), **run.native())
    s, residuals = result["s"], result["residuals"]
    floor = 48 * 2.0**-53 * (s[0] if k else 0.0)
    # Nothing can be missed, so a residual bounds the error of the value in its place; the square
    # root of the eigenvalue's own error bounds what lies below the resolution of A^T A.
    errors = residuals + floor
    return SVD(
        U=result["u"] if vectors else None,
        s=s,
        Vt=result["vt"] if vectors else None,
        residuals=residuals,
        errors=errors,
        converged=bool(np.all(residuals <= tol * s[0] + floor)),
        passes=result["reads"],
        block=0,
        columns=n,
        precision="float64",
        method="Gram matrix",
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=run.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=(),
    )


def randomized_svd(
    A: Any,
    k: int,
    *,
    passes: int = 2,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int = 0,
    **options: Any,
) -> SVD:
    """Compute the best rank-k approximation that a fixed number of passes affords.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    k : int
        Rank; at most min(m, n).
    passes : int
        Products A^T (A X), each one read of A. One read more looks at the norm and for NaN.
    oversampling : int, optional
        The block has k + oversampling columns; 10 by default, and at most min(m, n) in all.
    precision, seed, **options
        As for :func:`svds`.

    Returns
    -------
    SVD
        A^T u = sigma v holds to rounding; `residuals` is the bound ||A - U U^T A||_F on every
        ||A v - sigma u||, `errors` Weyl's bound from the same norm. `converged` is true only if the
        approximation is exact to rounding: a fixed budget promises nothing more.

    Raises
    ------
    ValueError
        If k or passes is out of range.
    NonFiniteError
        If A holds NaN or infinity.

    Notes
    -----
    Memory: (m + n) * passes * (k + oversampling) numbers. Halko, Martinsson & Tropp 2011 with all
    blocks kept (Musco & Musco 2015) and projected from the left, so that one read does what their
    two-pass method does (Yu, Gu, Li & Li 2017). For data that can be seen only once: :class:`Sketch`.
    """
    a = matrix(A)
    run = Run.of(a, precision=precision, **options)
    plan.check_rank(k, a.shape)
    plan.check_positive(passes=passes)
    b = min(k + (10 if oversampling is None else oversampling), min(a.shape))
    if b < k:
        raise ValueError(f"oversampling must not be negative, it is {oversampling}")
    width = np.dtype(run.precision).itemsize
    plan.require_memory(run, sum(a.shape) * passes * b * width, f"{passes} blocks of {b} columns")
    started = time.perf_counter()
    result = _core.low_rank(
        a._native,
        k=k,
        block=b,
        passes=passes,
        seed=plan.check_seed(seed),
        f64=run.precision == "float64",
        **run.native(),
    )
    epsilon = float(np.finfo(run.precision).eps)
    s, fro2 = result["s"], result["fro2"]
    missing = max(fro2 - result["captured"], 0.0)
    rounding = 32 * epsilon * np.sqrt(fro2)
    s = np.concatenate([s, np.zeros(k - len(s))])
    return SVD(
        U=_completed(result["u"], k),
        s=s,
        Vt=_completed(result["vt"].T, k).T,
        residuals=np.full(k, np.sqrt(missing) + rounding),
        errors=np.sqrt(s**2 + missing) - s + rounding,
        converged=bool(missing <= rounding * np.sqrt(fro2)),
        passes=result["reads"],
        block=b,
        columns=result["columns"],
        precision=run.precision,
        method="randomized block Krylov, left projection",
        seed=seed,
        seconds=time.perf_counter() - started,
        num_threads=run.threads,
        fro_norm=float(np.sqrt(fro2)),
        notes=(),
    )


def _completed(vectors: Any, k: int) -> Any:
    """Fill a matrix of rank less than k up to k orthonormal columns; their values are 0."""
    found = vectors.shape[1]
    if found == k:
        return vectors
    fill = _core.gaussian(vectors.shape[0], k - found, 0, 0, 1)
    for _ in range(2):
        fill = np.linalg.qr(fill - vectors @ (vectors.T @ fill))[0]
    return np.hstack([vectors, fill.astype(vectors.dtype)])


def svdvals(A: Any, **options: Any) -> SingularValues:
    """Compute every singular value, through the Gram matrix in float64.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n)
    **options
        device, num_threads, memory_limit, panel_rows, progress: see :class:`sigmascope.plan.Run`.

    Returns
    -------
    SingularValues
        (min(m, n),) values (sigma), descending, with the error bound of each, min(d / 2 sigma,
        sqrt(d)) for d = 2e-14 * sigma_1^2, and the floor sqrt(d) = 1.4e-7 * sigma_1 below which
        nothing is resolved.

    Raises
    ------
    NonFiniteError
        If A holds NaN or infinity.
    MemoryLimitError
        If the Gram matrix does not fit into memory_limit.

    Notes
    -----
    Two reads of A. Work: m n^2 + (4/3) n^3 flops with n the smaller side. Memory: about 1.3 n^2
    float64 numbers. LAPACK's two-stage tridiagonalisation (Haidar, Ltaief & Dongarra 2011).
    """
    a = matrix(A)
    run = Run.of(a, **options)
    n = min(a.shape)
    plan.require_memory(run, plan.gram_bytes(n, vectors=False), f"svdvals of order {n}")
    started = time.perf_counter()
    result = _core.every_value(a._native, **run.native())
    return SingularValues(
        values=result["values"],
        errors=result["errors"],
        floor=result["floor"],
        method="Gram matrix",
        precision="float64",
        passes=result["reads"],
        seconds=time.perf_counter() - started,
        num_threads=run.threads,
        fro_norm=float(np.sqrt(result["fro2"])),
        notes=(),
    )


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
    run = Run.of(a, precision=precision, **options)
    plan.check_positive(passes=passes)
    n = min(a.shape)
    if probes < 2:
        raise ValueError(f"a standard error needs at least 2 probes, not {probes}")
    if n < 2:
        raise ValueError(f"a density needs at least 2 singular values, shape {a.shape} has {n}")
    width = np.dtype(run.precision).itemsize
    plan.require_memory(run, n * passes * probes * width, f"{passes} blocks of {probes} columns")
    started = time.perf_counter()
    result = _core.density(
        a._native,
        block=min(probes, n),
        steps=passes,
        seed=plan.check_seed(seed),
        f64=run.precision == "float64",
        **run.native(),
    )
    seconds = time.perf_counter() - started
    return density_of(n, result, result, run.precision, seed, result["steps"], seconds)


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
        resolution=1e-14 if precision == "float64" else 2e-7,
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
        device, num_threads, memory_limit, panel_rows, progress: see :class:`sigmascope.plan.Run`.

    Returns
    -------
    Moments
        NaN and infinity are counted and located, and left out of everything else.

    Notes
    -----
    One read of A; float64 sums in an order fixed by the matrix. Central moments by two sweeps per
    1024 elements, merged by Pebay's formulas (2008), so that a large mean costs no digits.
    """
    a = matrix(A)
    run = Run.of(a, **options)
    started = time.perf_counter()
    raw = _core.moments(a._native, histogram=histogram, **run.native())
    count = int(raw["count"])
    variance = raw["m2"] / count if count else 0.0
    spread = variance > 0.0
    return Moments(
        shape=a.shape,
        count=count,
        zeros=raw["zeros"],
        nan=raw["nan"],
        inf=raw["inf"],
        first_nonfinite=raw["first_nonfinite"],
        min=raw["min"] if count else 0.0,
        max=raw["max"] if count else 0.0,
        mean=raw["mean"],
        std=float(np.sqrt(variance)),
        skewness=raw["m3"] / count / variance**1.5 if spread else 0.0,
        kurtosis=raw["m4"] / count / variance**2 if spread else 0.0,
        fro_norm=float(np.sqrt(raw["sum_squares"])),
        abs_max=max(raw["max"], -raw["min"]) if count else 0.0,
        row_norms=np.sqrt(raw["row_squares"]),
        column_norms=np.sqrt(raw["column_squares"]),
        histogram=raw["histogram"],
        passes=1,
        seconds=time.perf_counter() - started,
    )
