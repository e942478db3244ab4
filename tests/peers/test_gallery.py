# SPDX-License-Identifier: BSD-3-Clause
"""Every function on every gallery matrix, in float32 and float64, against LAPACK in float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import sigmascope as ss
from tests.peers.checks import called, gathered, of_measures, of_randomized, of_svds, of_values
from tests.peers.gallery import GALLERY, truth
from tests.support.coverings import grid

ORDER, MIDDLE, LARGE = 64, 150, 512

AT_AN_EDGE = "parter ris prolate kms wilkinson orthog_-1 randjorth toeppd"
"""Whose largest values gather at an edge, or come in pairs."""

WIDE = (
    "chow circul dramadah_1 dramadah_3 fiedler grcar hankel kms parter prolate toeppd triw "
    "gcdmat hadamard hilb kahan magic_of_doubly_even_order minij neumann normaldata orthog_6 "
    "poisson randsvd_1 randsvd_3 ris"
)
"""Toeplitz and Hankel matrices, and one or two of every other kind."""

DTYPES = ("float32", "float64")


def cases() -> Iterator[Any]:
    """Every matrix in both dtypes; those of `WIDE`, in one of them each, are in the short tier."""
    wide = WIDE.split()
    for name, dtype in itertools.product(GALLERY, DTYPES):
        is_short = name in wide and DTYPES[wide.index(name) % 2] == dtype
        marks = () if is_short else pytest.mark.slow
        yield pytest.param(name, dtype, id=f"{name}-{dtype}", marks=marks)


every_matrix = pytest.mark.parametrize(("name", "dtype"), list(cases()))


@every_matrix
def test_svds_with_vectors(name: str, dtype: str) -> None:
    t, problems = truth(name, ORDER, dtype), []
    n = len(t.sigma)
    searches = ((1, 1e-4, None), (6, 1e-2, None), (6, 1e-7, None), (20, 1e-4, 4), (n, 1e-4, None))
    for k, tol, block in searches:
        how = {"k": min(k, n), "tol": tol, "block": block, "method": "krylov"}
        result, warned = called(ss.svds, t.A, **how)
        problems += gathered(f"svds {how}", of_svds(result, t, tol, warned, must=tol >= 1e-4))
    assert not problems, "\n".join(problems)


@every_matrix
def test_svds_of_values_alone(name: str, dtype: str) -> None:
    t, problems = truth(name, ORDER, dtype), []
    n = len(t.sigma)
    for k, tol, block in ((3, 1e-2, 2), (6, 1e-4, None), (6, 1e-9, None), (n // 2, 1e-6, None)):
        how = {"k": max(min(k, n), 1), "tol": tol, "block": block, "vectors": False}
        result, warned = called(ss.svds, t.A, method="krylov", **how)
        problems += gathered(f"svds {how}", of_svds(result, t, tol, warned, must=tol >= 1e-4))
    assert not problems, "\n".join(problems)


@grid(name=AT_AN_EDGE.split(), dtype=DTYPES)
def test_values_at_an_edge(name: str, dtype: str) -> None:
    t, problems = truth(name, MIDDLE, dtype), []
    for k, tol, vectors in ((1, 1e-4, False), (3, 1e-2, True), (6, 1e-4, True), (6, 1e-7, False)):
        for seed in (0, 1):
            how = {"k": k, "tol": tol, "vectors": vectors, "seed": seed}
            result, warned = called(ss.svds, t.A, method="krylov", **how)
            problems += gathered(f"svds {how}", of_svds(result, t, tol, warned, must=tol >= 1e-4))
    assert not problems, "\n".join(problems)


@every_matrix
def test_svds_by_gram(name: str, dtype: str) -> None:
    t, problems = truth(name, ORDER, dtype), []
    n = len(t.sigma)
    for k, tol, vectors in ((6, 1e-9, True), (6, 1e-9, False), (n, 1e-4, True)):
        how = {"k": min(k, n), "tol": tol, "vectors": vectors, "method": "gram"}
        result, warned = called(ss.svds, t.A, **how)
        must = tol >= 1e-4 and t.sigma[how["k"] - 1] > 1e-6 * t.largest  # above the Gram floor
        problems += gathered(f"svds {how}", of_svds(result, t, tol, warned, must=must))
    assert not problems, "\n".join(problems)


@every_matrix
def test_randomized_svd(name: str, dtype: str) -> None:
    t, problems = truth(name, ORDER, dtype), []
    n = len(t.sigma)
    for k, passes, oversampling in ((6, 2, None), (20, 4, None), (20, 3, 0), (n, 2, None)):
        how = {"k": min(k, n), "passes": passes, "oversampling": oversampling}
        result, _ = called(ss.randomized_svd, t.A, **how)
        problems += gathered(f"randomized_svd {how}", of_randomized(result, t))
    assert not problems, "\n".join(problems)


@every_matrix
def test_svdvals_and_measures(name: str, dtype: str) -> None:
    t = truth(name, ORDER, dtype)
    result = ss.svdvals(t.A)
    problems = gathered("svdvals", of_values(result.values, result.errors, t))
    assert len(result) == len(t.sigma)
    exact = ss.spectrum(t.A, effort="exact", k=6)
    assert exact.values is not None
    assert exact.value_errors is not None
    problems += gathered("spectrum", of_values(exact.values, exact.value_errors, t))
    names = "nuclear_norm effective_rank effective_rank_energy participation_ratio stable_rank"
    problems += gathered("spectrum", of_measures(exact.__getitem__, names, t))
    assert not problems, "\n".join(problems)


@every_matrix
def test_spectral_density(name: str, dtype: str) -> None:
    t, problems = truth(name, ORDER, dtype), []
    for probes, passes in ((8, 4), (16, 12)):
        density = ss.spectral_density(t.A, probes=probes, passes=passes)
        names = "nuclear_norm effective_rank effective_rank_energy participation_ratio"
        wrong = of_measures(lambda measure: getattr(density, measure)(), names, t)  # noqa: B023
        problems += gathered(f"probes {probes}, passes {passes}", wrong)
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDE.split())
def test_at_order_512(name: str) -> None:
    """Where "fast" has float32 products, steps are rounded to bfloat16, and densities are used."""
    t, problems = truth(name, LARGE, "float32"), []
    for accuracy in ("fast", "reference"):
        every = ss.svdvals(t.A, accuracy=accuracy)
        problems += gathered(f"svdvals {accuracy}", of_values(every.values, every.errors, t))
    for k, tol, vectors in ((6, 1e-4, True), (6, 1e-3, False)):
        result, warned = called(ss.svds, t.A, k, tol=tol, vectors=vectors)
        where = f"svds k={k}, tol={tol:g}, vectors={vectors}"
        problems += gathered(where, of_svds(result, t, tol, warned, must=True))
    result, _ = called(ss.randomized_svd, t.A, 16)
    problems += gathered("randomized_svd k=16", of_randomized(result, t))
    density = ss.spectrum(t.A, effort="density", k=4)
    problems += gathered("spectrum", of_values(density.top, density.top_errors, t))
    names = "nuclear_norm effective_rank effective_rank_energy participation_ratio stable_rank"
    problems += gathered(f"spectrum {density.effort}", of_measures(density.__getitem__, names, t))
    assert not problems, "\n".join(problems)
