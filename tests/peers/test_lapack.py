# SPDX-License-Identifier: BSD-3-Clause
"""LAPACK's matrix types for its SVD drivers, in their sizes, scales and modes.

Types of TESTING/EIG/dchkbd.f (1 to 16) and ddrvbd.f (1 to 5), sizes of TESTING/svd.in, spectra of
TESTING/MATGEN/dlatm1.f; written anew from their comments (modified BSD). For float32 the units of
roundoff, under- and overflow are those of float32, as in schkbd.f. The tests of orthogonality, of
the residuals, of order and sign, and of values with and without vectors are theirs; for the others
see README.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from tests.peers.checks import (
    Truth,
    called,
    gathered,
    of_measures,
    of_randomized,
    of_svds,
    of_values,
)
from tests.peers.drawn import orthogonal, spread
from tests.peers.structured import banded
from tests.support.coverings import grid

Array = NDArray[np.float64]

SIZES = [(1, 1), (1, 3), (2, 2), (10, 16), (16, 10), (30, 30), (40, 30)]

CHKBD = range(1, 17)
DRVBD = {"unit scale": 3, "underflow": 4, "overflow": 5}


def signed(values: Array, rng: np.random.Generator) -> Array:
    return values * rng.choice([-1.0, 1.0], len(values))


def rotated(m: int, n: int, values: Array, rng: np.random.Generator) -> Array:
    """U D V, with the values in order on the diagonal of D."""
    k = len(values)
    return (orthogonal(m, rng)[:, :k] * signed(values, rng)) @ orthogonal(n, rng)[:, :k].T


def diagonal(m: int, n: int, values: Array) -> Array:
    A = np.zeros((m, n))
    np.fill_diagonal(A, values)
    return A


def chkbd(kind: int, m: int, n: int, dtype: str) -> NDArray[np.floating]:
    """Type `kind` of DCHKBD or SCHKBD, m x n."""
    rng, info, k = np.random.default_rng(100 * kind + m), np.finfo(dtype), min(m, n)
    ulp, tiny = float(info.eps), float(info.tiny)
    mode = {3: 4, 4: 3, 5: 1, 6: 4, 7: 4, 8: 4, 9: 3, 10: 1, 11: 4, 12: 4}.get(kind)
    scale = {6: tiny**-0.5, 7: tiny**0.5, 11: tiny**-0.5, 12: tiny**0.5, 14: tiny**-0.5}
    scale[15] = tiny**0.5
    if kind == 1:
        A = np.zeros((m, n))
    elif kind == 2:
        A = np.eye(m, n)
    elif kind == 16:
        entries = np.exp(rng.uniform(2 * np.log(ulp), -2 * np.log(ulp), 2 * k - 1))
        A = banded(k, {0: entries[:k], 1 if m >= n else -1: entries[k:]})
    elif mode is None:  # 13 to 15
        A = rng.uniform(-1.0, 1.0, (m, n))
    else:
        values = spread(mode, k, 1.0 / ulp, rng)
        A = diagonal(m, n, signed(values, rng)) if kind <= 7 else rotated(m, n, values, rng)
    return (A * scale.get(kind, 1.0)).astype(dtype)


def drvbd(kind: int, m: int, n: int, dtype: str) -> NDArray[np.floating]:
    """Type 3, 4 or 5 of DDRVBD; 1 and 2 are those of DCHKBD."""
    rng, info = np.random.default_rng(200 * kind + m), np.finfo(dtype)
    tiny, ulp = float(info.tiny), float(info.eps)
    A = rotated(m, n, spread(4, min(m, n), float(min(m, n)), rng), rng)
    return (A * {3: 1.0, 4: tiny / ulp, 5: ulp / tiny}[kind]).astype(dtype)


def problems_of(A: NDArray[np.floating], measures: bool = True) -> list[str]:
    """Every function on a small matrix."""
    t, problems = Truth.of(A), []
    n = len(t.sigma)
    for method in ("krylov", "gram"):
        for k, vectors in ((n, True), (n, False), (1, True), (max(n // 2, 1), False)):
            how = {"k": k, "vectors": vectors, "method": method, "tol": 1e-4}
            result, warned = called(ss.svds, A, **how)
            must = method == "krylov"
            problems += gathered(f"svds {how}", of_svds(result, t, 1e-4, warned, must))
    for k in {n, max(n // 2, 1)}:
        for passes in (2, 4):
            result = ss.randomized_svd(A, k, passes=passes)
            where = f"randomized_svd k={k}, passes={passes}"
            problems += gathered(where, of_randomized(result, t))
    every = ss.svdvals(A)
    problems += gathered("svdvals", of_values(every.values, every.errors, t))
    names = "nuclear_norm effective_rank effective_rank_energy participation_ratio stable_rank"
    if measures:
        exact = ss.spectrum(A, effort="exact", k=n)
        problems += gathered("spectrum", of_measures(exact.__getitem__, names, t))
    return problems


@grid(kind=CHKBD, size=SIZES, dtype=["float32", "float64"])
def test_types_of_chkbd(kind: int, size: tuple[int, int], dtype: str) -> None:
    """DCHKBD 1 to 19: of the zero matrix there are no measures."""
    problems = problems_of(chkbd(kind, *size, dtype), measures=kind != 1)
    assert not problems, "\n".join(problems)


@grid(scale=list(DRVBD), size=SIZES, dtype=["float32", "float64"])
def test_types_of_drvbd(scale: str, size: tuple[int, int], dtype: str) -> None:
    """DDRVBD 1 to 14: evenly spaced values at the edges of what the dtype holds."""
    problems = problems_of(drvbd(DRVBD[scale], *size, dtype))
    assert not problems, "\n".join(problems)


@grid(cond=[2.0, 1e6, 1e14], mode=range(1, 6), dtype=["float32", "float64"])
def test_modes_of_latms(mode: int, cond: float, dtype: str) -> None:
    """DLATMS's five modes and three conditions, 120 x 90, where the search has to work."""
    rng = np.random.default_rng(mode)
    t = Truth.of(rotated(120, 90, spread(mode, 90, cond, rng), rng).astype(dtype))
    problems = []
    for k, tol, vectors in ((5, 1e-4, True), (5, 1e-4, False), (12, 1e-8, False), (40, 1e-3, True)):
        how = {"k": k, "tol": tol, "vectors": vectors}
        result, warned = called(ss.svds, t.A, method="krylov", **how)
        problems += gathered(f"svds {how}", of_svds(result, t, tol, warned, must=tol >= 1e-4))
    result = ss.randomized_svd(t.A, 12)
    problems += gathered("randomized_svd", of_randomized(result, t))
    density = ss.spectral_density(t.A, probes=8, passes=8)
    names = "nuclear_norm effective_rank effective_rank_energy participation_ratio"
    wrong = of_measures(lambda measure: getattr(density, measure)(), names, t)
    problems += gathered("spectral_density", wrong)
    assert not problems, "\n".join(problems)
