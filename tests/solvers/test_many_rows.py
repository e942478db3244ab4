# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of many rows: every function takes them, and rows that repeat stay within bounds.

Where all rows are alike, every rounding of a long sum has the same sign. The truth is rational.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope.streaming import GramAccumulator, LinearSketch, Sketch

Array = NDArray[np.float64]
TALL = (46_341, 2), (100_000, 3)
"""46,340 is the largest number whose square is less than 2^31."""


FIRST: dict[str, Callable[[Any], float]] = {
    "svds": lambda a: ss.svds(a, 1).s[0],
    "svds of every value": lambda a: ss.svds(a, min(a.shape)).s[0],
    "svds without vectors": lambda a: ss.svds(a, 1, vectors=False, tol=1e-9).s[0],
    "svds by Krylov": lambda a: ss.svds(a, 1, method="krylov").s[0],
    "svds by Gram": lambda a: ss.svds(a, 1, method="gram").s[0],
    "randomized_svd": lambda a: ss.randomized_svd(a, 1).s[0],
    "svdvals": lambda a: ss.svdvals(a)[0],
    "svdvals, fast": lambda a: ss.svdvals(a, accuracy="fast")[0],
    "spectrum, top": lambda a: ss.spectrum(a, effort="top", k=1, vectors=True).top[0],
    "spectrum, density": lambda a: ss.spectrum(a, effort="density", k=1, vectors=True).top[0],
    "spectrum, exact": lambda a: ss.spectrum(a, effort="exact", vectors=True).top[0],
    "low_rank by rank": lambda a: ss.low_rank(a, 1).factors.singular_values()[0],
    "low_rank by energy": lambda a: ss.low_rank(a, energy=0.5).factors.singular_values()[0],
    "low_rank by error": lambda a: ss.low_rank(a, error=0.9).factors.singular_values()[0],
    "Sketch": lambda a: Sketch(a.shape[1], 1).update(a).svd().s[0],
    "LinearSketch": lambda a: LinearSketch(a.shape, 1).update(a).svd().s[0],
}
OF_ROWS: dict[str, Callable[[Any], float]] = {
    "GramAccumulator": lambda a: GramAccumulator(a.shape[1]).update(a).svdvals()[0],
    "its svd": lambda a: GramAccumulator(a.shape[1]).update(a).svd(1).s[0],
}


@grid(name=[*FIRST, *OF_ROWS], shape=TALL)
def test_every_function_takes_more_rows_than_46340(name: str, shape: tuple[int, int]) -> None:
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    a[:, 0] *= 3
    first = np.linalg.svd(a.astype(np.float64), compute_uv=False)[0]
    for given in (a, a.T) if name in FIRST else (a,):
        value = (FIRST | OF_ROWS)[name](given)
        assert abs(value / first - 1) < 1e-5


def squares(column: Array) -> Fraction:
    """Return the exact sum of squares."""
    values, counts = np.unique(column, return_counts=True)
    return sum(
        (Fraction(float(v)) ** 2 * int(c) for v, c in zip(values, counts, strict=True)), Fraction(0)
    )


def distance(value: float, square: Fraction) -> float:
    """Return value - square^1/2, from exact numbers."""
    difference = Fraction(float(value)) ** 2 - square
    return float(difference / Fraction(2 * math.sqrt(square)))


COLUMNS: dict[str, Callable[[int], Array]] = {
    "a third": lambda m: np.full(m, 1 / 3),
    "counts": lambda m: np.arange(1.0, m + 1),
}
ROUTES: dict[str, Callable[[Array], tuple[float, float]]] = {
    "svdvals": lambda a: ((s := ss.svdvals(a))[0], s.errors[0]),
    "spectrum": lambda a: ((s := ss.spectrum(a, effort="exact")).top[0], s.top_errors[0]),
    "svds by Gram": lambda a: ((s := ss.svds(a, 1, method="gram")).s[0], s.errors[0]),
    "svds in float64": lambda a: (
        (s := ss.svds(a, 1, method="krylov", precision="float64", tol=1e-9)).s[0],
        s.errors[0],
    ),
    "one update": lambda a: (
        (s := GramAccumulator(a.shape[1]).update(a).svdvals())[0],
        s.errors[0],
    ),
    "its svd": lambda a: (
        (s := GramAccumulator(a.shape[1]).update(a).svd(1)).s[0],
        s.errors[0],
    ),
}


@pytest.mark.unsanitized
@grid(column=list(COLUMNS), rows=[1_000_000, 40_000])
def test_rows_that_round_alike_stay_within_bounds(column: str, rows: int) -> None:
    x = COLUMNS[column](rows)
    a = np.repeat(x[:, None], 2, axis=1)
    square = 2 * squares(x)
    for name, route in ROUTES.items():
        value, error = route(a)
        assert abs(distance(value, square)) <= error, name


def test_bounds_of_ordinary_shapes_are_as_tight_as_ever() -> None:
    """The rows have a part in the bound from 32,768 on, which is small up to 10^7."""
    for rows in (100, 30_000):
        values = ss.svdvals(np.random.default_rng(0).standard_normal((rows, 20)))
        assert values.errors[0] <= 1.05e-14 * values[0]
    values = ss.svdvals(np.full((1_000_000, 2), 0.7))
    assert values.errors[0] <= 1.2e-14 * values[0]


@pytest.mark.unsanitized
def test_vectors_of_equal_rows_converge() -> None:
    """Their norms are sums of a million equal squares."""
    a = np.full((1_000_000, 2), 1 / 3)
    for given in (a, a.T):
        assert ss.svds(given, 2).converged
        assert ss.svds(given, 1, method="gram").converged


@pytest.mark.parametrize("rows", [4096, 8191, 20_000, 100_000])
def test_decompositions_of_equal_rows_converge(rows: int) -> None:
    """Reflections of equal rows round alike: 41 of 96 calls had vectors off by up to 3e-14."""
    rng = np.random.default_rng(rows)
    for _ in range(6):
        row = rng.choice([1 / 3, 0.7, 0.1, 1.0, rng.random()], rng.integers(2, 9))
        svd = ss.svds(np.tile(row, (rows, 1)), min(len(row), 4), method="gram", tol=1e-9)
        assert svd.converged
        assert svd.method == "full decomposition"
        square = rows * sum((Fraction(float(x)) ** 2 for x in row), Fraction(0))
        assert abs(distance(svd.s[0], square)) <= 0.7 * svd.errors[0]
        assert svd.s[1] <= 0.7 * svd.errors[1]


def test_moments_of_many_rows_are_right_to_rounding() -> None:
    """In order, the sums of 7,813 groups of rows lost 8e-14 of a norm and 9e-14 of a mean."""
    rows = 1_000_000
    for value in (1 / 3, 0.7):
        norm = ss.moments(np.full((rows, 1), value)).column_norms[0]
        assert abs(distance(norm, rows * Fraction(value) ** 2)) <= 1e-14 * norm
    moments = ss.moments(np.arange(1.0, rows + 1)[:, None])
    assert abs(moments.mean / ((rows + 1) / 2) - 1) <= 1e-14
    assert abs(moments.std / math.sqrt((rows**2 - 1) / 12) - 1) <= 1e-14


@pytest.mark.parametrize(
    "sides",
    [
        (1, 5_000),
        pytest.param((1, 2_000_000), marks=pytest.mark.nightly),
        *(pytest.param(sides, marks=pytest.mark.slow) for sides in ((2, 1_000_000), (3, 300_000))),
    ],
    ids=lambda sides: "x".join(map(str, sides)),
)
def test_approximations_of_a_few_long_rows_converge(sides: tuple[int, int]) -> None:
    """The rounding of one sum made a residual of 1.7e-13 for 10^7 columns; the limit is 2.8e-14."""
    for value in (1 / 3, 0.7):
        for a in (np.full(sides, value), np.full(sides[::-1], value)):
            svd = ss.randomized_svd(a, 1)
            assert svd.converged
            assert svd.residuals[0] <= 1.2e-14 * svd.s[0]
            assert abs(distance(svd.s[0], a.size * Fraction(value) ** 2)) <= svd.errors[0]


@pytest.mark.parametrize(
    "rows", [700, 3000, 8191, 100_000, pytest.param(1_000_000, marks=pytest.mark.nightly)]
)
def test_norms_of_equal_rows_are_right_to_rounding(rows: int) -> None:
    """Squares that round alike: an approximation did not miss what they lose."""
    for value in (1 / 3, 0.7):
        a = np.full((rows, 2), value)
        square = 2 * squares(a[:, 0])
        for given in (a, a.T):
            result = ss.randomized_svd(given, 1)
            assert result.converged
            norms = result.fro_norm, ss.moments(given).fro_norm, ss.svdvals(given).fro_norm
            assert max(abs(distance(norm, square)) for norm in norms) <= 1e-14 * result.s[0]


@pytest.mark.unsanitized
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_densities_of_equal_rows_have_no_second_value(precision: str) -> None:
    """Its square is what long sums of the first err by, whose roundings have one sign."""
    numbers = np.array([1 / 3, 0.7], dtype=precision)
    shares = []
    for rows in (65_536, 2_000_000):
        square = rows * sum(Fraction(float(x)) ** 2 for x in numbers)
        density = ss.spectral_density(np.tile(numbers, (rows, 1)), precision=precision)
        norm = density.nuclear_norm()
        assert abs(distance(norm.value, square)) <= norm.error
        shares.append(norm.error / norm.value)
    assert shares[1] <= 149.1 / 144 * shares[0]  # a level of 32 blocks adds five roundings


KINDS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "equal rows": lambda rng, m, n: np.ones((m, 1)) * rng.choice([1 / 3, -0.7, 1.0], (1, n)),
    "signs": lambda rng, m, n: rng.choice([-1.0, 1.0], (m, n)),
    "lognormal": lambda rng, m, n: np.exp(2 * rng.standard_normal((m, n))),
    "lauchli": lambda rng, m, n: np.vstack([np.ones((m - n, n)), 1e-3 * np.eye(n)]),
}
DTYPES = {"f64": np.float64, "f32": np.float32, "bf16": ml_dtypes.bfloat16}


def precise(X: Any, Y: Any) -> Any:
    """X^T Y to about 1e-18, as sums of 1000 rows and a tree of these."""
    parts = [X[i : i + 1000].T @ Y[i : i + 1000] for i in range(0, len(X), 1000)]
    return np.sum(np.stack(parts, axis=-1), axis=-1)


def shares_of_bounds(A: Any) -> dict[str, float]:
    """For every number of a tall matrix: its error, as a share of the bound that is stated."""
    m, n = A.shape
    k = min(n, 3)
    X = np.asarray(A).astype(np.longdouble)
    G = precise(X, X)
    squares = np.linalg.eigvalsh(G.astype(np.float64))[::-1]
    first = math.sqrt(squares[0])
    shares: dict[str, float] = {}

    def record(name: str, off: Any, bound: Any) -> None:
        shares[name] = max(shares.get(name, 0.0), float(np.max(off / bound)))

    def values(name: str, s: Any, errors: Any) -> None:
        off = np.abs(s**2 - squares[: len(s)]) - 4e-15 * squares[0]  # LAPACK's own
        record(f"{name}, values", np.maximum(off, 0), errors * (2 * s + errors))

    accumulated = GramAccumulator(n, center=True).update(A[: m // 3]).update(A[m // 3 :])
    for name, every in (("accumulator", accumulated.svdvals()), ("svdvals", ss.svdvals(A))):
        values(name, every.values, every.errors)
        record(f"{name}, norm", abs(every.fro_norm - np.sqrt(np.trace(G))), 1e-14 * first)
    top = accumulated.svd(k)
    V = np.asarray(top.Vt).T[:, top.s > 1e-5 * first].astype(np.longdouble)
    s, image = top.s[: V.shape[1]], G @ V
    rest = image / np.sqrt(np.sum(V * image, axis=0)) - V * s
    record(
        "accumulator, residuals",
        np.linalg.norm(rest.astype(float), axis=0),
        top.residuals[: len(s)],
    )
    pca, sums = accumulated.pca(k), np.sum(X.T.copy(), axis=1)
    centred = np.linalg.eigvalsh(((G - np.outer(sums, sums) / m) / (m - 1)).astype(np.float64))[
        ::-1
    ]
    off = np.abs(pca.explained_variance - centred[:k]) - 4e-15 * squares[0] / m
    record("pca, variances", np.maximum(off, 0), pca.explained_variance_errors)
    record("pca, means", np.abs(pca.mean - sums / m), pca.mean_errors)
    for name, svd in {
        "svds": ss.svds(A, k, tol=1e-9, precision="float64"),
        "svds by Gram": ss.svds(A, k, method="gram", tol=1e-9),
        "svds in float32": ss.svds(A, k, method="krylov", precision="float32"),
        "randomized_svd": ss.randomized_svd(A, k, precision="float64"),
    }.items():
        assert svd.converged or name == "randomized_svd", name
        values(name, svd.s, svd.errors)
        U, V = (np.asarray(x).astype(np.longdouble) for x in (svd.U, np.asarray(svd.Vt).T))
        for side in (X @ V - U * svd.s, precise(X, U) - V * svd.s):
            record(f"{name}, residuals", np.linalg.norm(side.astype(float), axis=0), svd.residuals)
    sketch = Sketch(n, k, seed=5).update(A[: m // 3]).update(A[m // 3 :]).svd()
    values("Sketch", sketch.s, sketch.errors)
    return shares


@grid(kind=list(KINDS), columns=[1, 2, 3, 10])
def test_every_number_of_many_rows_is_within_its_bound(kind: str, columns: int) -> None:
    dtype = list(DTYPES)[(columns + list(KINDS).index(kind)) % 3]
    rows = {1: 150_000, 2: 140_000, 3: 70_000}.get(columns, 50_000)
    A = KINDS[kind](np.random.default_rng(columns), rows, columns)
    A = (A / np.abs(A).max()).astype(DTYPES[dtype])
    for name, share in shares_of_bounds(A).items():
        assert share <= 1, f"{name} in {dtype}"


@pytest.mark.nightly
def test_every_number_of_many_equal_columns_is_within_its_bound() -> None:
    A = KINDS["equal rows"](np.random.default_rng(50), 50_000, 50)
    for name, share in shares_of_bounds(A / np.abs(A).max()).items():
        assert share <= 1, name


def test_bounds_of_many_rows_are_as_tight_as_is_stated() -> None:
    """Each is within a factor of what equal rows reach, or else it would tell little."""
    row = np.array([[1 / 3, -0.7, 1.0, 0.1]])
    least = {"accumulator, residuals": 200, "svds, residuals": 10}
    seen = [shares_of_bounds(np.tile(row, (rows, 1))) for rows in (20_000, 60_000)]
    for name, factor in least.items():
        assert max(shares[name] for shares in seen) >= 1 / factor, name
