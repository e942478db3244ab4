# SPDX-License-Identifier: BSD-3-Clause
"""Products rounded to bfloat16: exact in what they say they are, and only ever a guide."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.engine import product

import sigmascope as ss

TILES = ss.show_config()["tiles"]

REPEATED = [pytest.param(name, marks=pytest.mark.slow) for name in ("spiked", "polynomial")]
"""Spectra of which longer runs repeat what one of trained weights shows."""

SHAPES = st.tuples(st.integers(1, 1100), st.integers(1, 1100), st.integers(1, 150))
STORED = {
    "float32": np.float32,
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "float8": ml_dtypes.float8_e4m3fn,
}


def rounded(x: NDArray[Any]) -> NDArray[np.float64]:
    """To bfloat16, to nearest, ties to even."""
    return x.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def problem(
    shape: tuple[int, int, int], dtype: str, transposed: bool, seed: int
) -> tuple[ss.Matrix, NDArray[np.float32]]:
    m, n, k = shape
    rng = np.random.default_rng(seed)
    stored = rng.standard_normal((m, n)).astype(STORED[dtype])
    A = ss.matrix(stored).T if transposed else ss.matrix(stored)
    return A, rng.standard_normal((A.shape[1], k)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from(sorted(STORED)), st.booleans(), st.integers(0, 2**32 - 1))
def test_products_of_rounded_numbers(
    shape: tuple[int, int, int], dtype: str, transposed: bool, seed: int
) -> None:
    """As if every number had been rounded first, but for fp32 sums."""
    A, X = problem(shape, dtype, transposed, seed)
    dense = rounded(np.asarray(A, np.float32))
    unit = 64 * 2.0**-23
    image = product(A, X, "multiply_bf16")
    exact = dense @ rounded(X)
    assert np.all(np.abs(image - exact) <= unit * (np.abs(dense) @ np.abs(rounded(X))))
    both = product(A, X, "steer")
    bound = unit * (np.abs(dense.T) @ np.abs(rounded(image)))
    # A value next to a tie may be rounded the other way than the fp32 image here.
    ties = 2.0**-7 * unit * (np.abs(dense.T) @ (np.abs(dense) @ np.abs(rounded(X))))
    error = np.linalg.norm(both - dense.T @ rounded(image))
    assert error <= np.linalg.norm(bound) + np.linalg.norm(ties)


@pytest.mark.parametrize("columns", [*range(1, 41), 64])
def test_ties_are_rounded_to_even_in_rows_of_any_length(columns: int) -> None:
    """Numbers half-way between two of bfloat16, as they are stored and in the block."""
    ties = 1 + (2 * np.arange(6 * columns, dtype=np.float32) % 256 + 1) / 256
    A, identity = ties.reshape(6, columns), np.eye(columns, dtype=np.float32)
    np.testing.assert_array_equal(product(ss.matrix(A), identity, "multiply_bf16"), rounded(A))
    B = np.ascontiguousarray(A.T)
    A = np.eye(columns, dtype=np.float32)
    np.testing.assert_array_equal(product(ss.matrix(A), B, "multiply_bf16"), rounded(B))


@pytest.mark.parametrize("rows", [9, 900], ids=["few rows", "many rows"])
def test_an_odd_column_is_alone_whatever_the_memory_held(rows: int) -> None:
    """Rows are multiplied as pairs, in memory that a matrix of NaN has just left."""
    rng = np.random.default_rng(5)
    A, X = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, 400), (400, 8)))
    A[:, -1] = np.nan
    left = A[:, :-1].copy()
    exact = rounded(left) @ rounded(X[:-1])
    for _ in range(3):
        assert np.isnan(product(ss.matrix(A), X, "multiply_bf16")).all()
        image = product(ss.matrix(left), X[:-1], "multiply_bf16")
        np.testing.assert_allclose(image, exact, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from(sorted(STORED)), st.booleans(), st.integers(0, 2**32 - 1))
def test_products_of_split_numbers(
    shape: tuple[int, int, int], dtype: str, transposed: bool, seed: int
) -> None:
    """To 2^-16 of every product of numbers: the block, its image and A, 2^-18 each and a cross."""
    A, X = problem(shape, dtype, transposed, seed)
    exact = np.asarray(A, np.float64)
    dense = np.abs(exact)
    exact = exact.T @ (exact @ X)
    error = np.abs(product(A, X, "split") - exact)
    assert np.all(error <= (2.0**-15 + 64 * 2.0**-23) * (dense.T @ (dense @ np.abs(X))))


def test_split_products_are_between_rounded_and_full() -> None:
    rng = np.random.default_rng(3)
    A, X = (rng.standard_normal(shape).astype(np.float32) for shape in ((800, 600), (600, 32)))
    exact = A.astype(np.float64).T @ (A.astype(np.float64) @ X)
    a = ss.matrix(A)
    full, split, rounded = (
        np.linalg.norm(result - exact) / np.linalg.norm(exact)
        for result in (product(a, X, "gram")[0], product(a, X, "split"), product(a, X, "steer"))
    )
    assert full < 3e-7
    assert rounded > 1e-3
    if TILES:
        assert 8 * full < split < 1e-5
    else:
        assert split == full


@pytest.mark.parametrize("verb", ["steer", "split"])
@pytest.mark.parametrize("width", [5, 33])
def test_same_bits_for_threads_panels_and_storage(verb: str, width: int) -> None:
    values = ks.llm(613, 406)[0].astype(ml_dtypes.bfloat16)
    X = np.random.default_rng(0).standard_normal((406, width)).astype(np.float32)
    for turn in (False, True):
        A = values.T if turn else values
        right = X if not turn else np.resize(X, (613, width))
        expected = product(ss.matrix(A), right, verb, threads=1)
        for threads, panel in itertools.product((1, 2, 5), (7, 64, 300)):
            result = product(ss.matrix(A), right, verb, threads=threads, panel=panel)
            assert result.tobytes() == expected.tobytes()
        decoded = product(ss.matrix(A.astype(np.float32)), right, verb)
        assert decoded.tobytes() == expected.tobytes()


def test_a_power_of_two_changes_no_bit_of_the_vectors() -> None:
    """From 1e-30 to 1e30 a scale goes into the blocks or into the decoding."""
    A = ks.llm(600, 500)[0].astype(np.float32)
    results = [
        ss.svds(A * np.float32(2.0**e), 12, tol=1e-3, method="krylov", precision="mixed", seed=2)
        for e in (0, 40, -90, 90)
    ]
    for scaled in results[1:]:
        assert scaled.Vt is not None
        assert results[0].Vt is not None
        np.testing.assert_array_equal(scaled.Vt, results[0].Vt)


@pytest.mark.parametrize("shape", [(900, 700), (350, 9001)], ids=["short rows", "long rows"])
def test_a_rounded_copy_changes_no_bit(shape: tuple[int, int], tmp_path: Path) -> None:
    """The copy is held where it fits; else every panel is decoded again."""
    m, n = shape
    A = np.random.default_rng(1).standard_normal(shape, np.float32) * np.arange(1, n + 1) ** -0.5
    A = (A[:, ::-1] * np.linspace(1, 2, m)[:, None]).astype(np.float32)
    path = tmp_path / "a.npy"
    np.save(path, A)
    held = ss.svds(A, 8, tol=1e-3, method="krylov", precision="mixed", block=8)
    again = ss.svds(
        path, 8, tol=1e-3, method="krylov", precision="mixed", block=8, memory_limit=A.nbytes // 2
    )
    assert held.precision == again.precision == "mixed"
    for one, other in ((held.U, again.U), (held.s, again.s), (held.Vt, again.Vt)):
        assert one is not None
        np.testing.assert_array_equal(one, other)


def test_a_fine_tolerance_ends_in_float32() -> None:
    A = ks.spiked(900, 800)[0].astype(np.float32)
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    below = 1e-5 if TILES else 3e-4  # without tiles still finer searches do not begin with them
    for tol in (1e-2, below, 1e-5):
        result = ss.svds(A, 10, tol=tol, method="krylov", precision="mixed")
        assert any("rounded products" in note for note in result.notes) == (tol == below)
        assert result.converged
        assert np.all(np.abs(result.s - sigma[:10]) <= result.errors)
        assert np.max(result.residuals) <= (tol + 3e-6) * sigma[0]


def test_values_under_the_rounding_are_found_without_it() -> None:
    """sigma_k far below 2^-9 sigma_1: the search begins again in float32."""
    A, _ = ks.prescribed(600, 520, np.logspace(0, -6, 520) ** 8, 1)
    A = A.astype(np.float32)
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    result = ss.svds(A, 60, tol=1e-5, method="krylov", precision="mixed")
    assert result.converged
    assert np.all(np.abs(result.s - sigma[:60]) <= result.errors + 1e-9)


@pytest.mark.parametrize("constant", [1 + 2.0**-9, 1 + 2.0**-9 + 0.99 * 2.0**-18])
@pytest.mark.parametrize("noise", [1e-2, 0.0])
def test_entries_that_all_round_the_same_way_do_not_deceive(constant: float, noise: float) -> None:
    """A constant of 1 + 2^-9 rounds down everywhere: T is off, the values are not.

    The other is not held by two parts either.
    """
    rng = np.random.default_rng(4)
    A = np.full((700, 600), constant, np.float32)
    A += np.float32(noise) * rng.standard_normal(A.shape, dtype=np.float32)
    A[:5] *= 1 + np.arange(5, dtype=np.float32)[:, None]
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    for tol in (1e-2, 1e-3, 1e-4, 1e-5):
        result = ss.svds(A, 6, tol=tol, method="krylov", precision="mixed")
        assert result.converged
        assert np.all(np.abs(result.s - sigma[:6]) <= result.errors)
        assert result.U is not None
        assert result.Vt is not None
        left = np.linalg.norm(A.T.astype(float) @ result.U - result.Vt.T * result.s, axis=0)
        assert np.all(left <= result.residuals + 3e-6 * sigma[0])


@pytest.mark.parametrize("name", ["llm", *REPEATED])
def test_split_steps_find_what_full_ones_do(name: str) -> None:
    """And below their noise, which is 2^-18 |A|_F / sqrt(n), full ones follow."""
    A = getattr(ks, name)(900, 800)[0].astype(np.float32)
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    for tol in (1e-3, 1e-5, 5e-7):
        result = ss.svds(A, 10, tol=tol, method="krylov", precision="split")
        assert result.converged
        assert result.precision == "split"
        assert np.all(np.abs(result.s - sigma[:10]) <= result.errors)
        # With tiles all products are of parts of bf16: the floor of docs/how-svds-works.md.
        floor = 96 * 2.0**-24 if ss.show_config()["tiles"] else 3e-6
        assert np.max(result.residuals) <= (tol + floor) * sigma[0]


@pytest.mark.parametrize("name", ["llm", "gaussian", *REPEATED])
def test_a_density_of_split_steps(name: str) -> None:
    A = getattr(ks, name)(900, 700)[0].astype(np.float32)
    split, full, exact = (
        ss.spectral_density(A, passes=9, probes=16, precision=precision)
        for precision in ("split", "float32", "float64")
    )
    assert split.precision == "split"
    off = np.abs(split.nodes - exact.nodes)
    assert np.all(off <= split.quadrature.resolution + 1e-6 * exact.nodes)
    if not TILES:
        assert np.array_equal(split.nodes, full.nodes)
    for measure in ("nuclear_norm", "effective_rank"):
        one, two = (getattr(d, measure)() for d in (split, exact))
        assert abs(one.value - two.value) <= 1e-5 * two.value + 0.01 * two.error


def test_the_default_is_the_coarsest_that_pays() -> None:
    has = ss.show_config()
    searches, densities = (
        "mixed" if has["dot_bf16"] else "float32",
        "split" if has["tiles"] else "float32",
    )
    large, small = np.ones((512, 600), np.float32), np.ones((511, 600), np.float32)
    cases = (large, searches, densities), (small, "float32", "float32")
    for A, of_search, of_density in (*cases, (large.astype(np.float64), "float64", "float64")):
        assert ss.svds(A, 1, method="krylov", tol=1e-2).precision == of_search
        assert ss.spectral_density(A, passes=2, probes=2).precision == of_density
        assert ss.randomized_svd(A, 1).precision == A.dtype.name
    decay = np.arange(1, 1401, dtype=np.float32) ** np.float32(-0.5)
    spread = np.random.default_rng(0).standard_normal((1500, 1400), np.float32) * decay
    default = ss.spectrum(spread, k=8)
    assert (default.effort, default.precision) == ("density", densities)


def test_every_value_replaces_a_density_that_costs_more() -> None:
    A = ks.llm(700, 600)[0].astype(np.float32)
    spectrum = ss.spectrum(A, k=8, effort="density")
    assert spectrum.effort == "exact"
    assert "every value is computed, which is cheaper here than effort 'density'" in " ".join(
        spectrum.notes
    )
    values = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    assert (
        abs(spectrum["nuclear_norm"].value - values.sum()) <= spectrum["nuclear_norm"].error + 1e-6
    )


@pytest.mark.parametrize("k", [64 if TILES else 90, pytest.param(100, marks=pytest.mark.slow)])
def test_refined_vectors_keep_what_they_lack(k: int) -> None:
    """Errors of converged vectors are small compared with |A|^2, and no rounding."""
    A, sigma = ks.polynomial(1300, 1200)
    tol = 2.5e-5 if TILES else 2.4e-4
    result = ss.svds(A.astype(np.float32), k, tol=tol, method="krylov", precision="mixed", block=16)
    assert any("rounded products" in note for note in result.notes)
    assert result.converged
    assert result.passes < 40
    assert np.max(result.residuals) <= (tol + 3e-6) * sigma[0]
    assert np.all(np.abs(result.s - sigma[:k]) <= result.errors)


@pytest.mark.skipif(TILES, reason="with AMX tiles steering reaches further")
def test_residuals_out_of_its_reach_are_not_steered_for() -> None:
    """|A|_F is 9 sigma_1: after two steps a search begins again with full products."""
    sigma = np.concatenate([np.linspace(2, 1.5, 12), np.linspace(1, 0.1, 788)])
    A = ks.prescribed(900, 800, sigma, 1)[0].astype(np.float32)
    options: dict[str, Any] = {"tol": 1.05 * 2.0**-7 / np.sqrt(800), "method": "krylov", "seed": 3}
    full, mixed = (ss.svds(A, 12, block=8, precision=p, **options) for p in ("float32", "mixed"))
    assert full.converged
    assert mixed.converged
    assert mixed.passes == full.passes + 2
    assert any("rounded products" in note for note in mixed.notes)


@pytest.mark.skipif(TILES, reason="with AMX tiles all steps are of parts of bf16")
@grid(
    k_and_block=[(12, 16), (40, 8), (40, 16)],
    name=["llm", "polynomial", "spiked"],
    dtype=[np.float32, ml_dtypes.bfloat16],
)
@pytest.mark.unsanitized
def test_late_steps_lose_nothing(dtype: Any, name: str, k_and_block: tuple[int, int]) -> None:
    """Rounded once little is left to find: the same answer, at most one pass later than float32."""
    k, block = k_and_block
    A = getattr(ks, name)(900, 800)[0].astype(dtype)
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    rounded = []
    for tol in (1e-4, 1e-5, 1e-6):
        options: dict[str, Any] = {"tol": tol, "method": "krylov", "block": block, "seed": 3}
        full, late = (ss.svds(A, k, precision=p, **options) for p in ("float32", "mixed"))
        assert late.converged
        assert not any("rounded products" in note for note in late.notes)
        assert late.passes <= full.passes + 1
        assert np.max(late.residuals) <= (tol + 3e-6) * sigma[0]
        assert np.all(np.abs(late.s - sigma[:k]) <= late.errors)
        assert late.Vt is not None
        assert full.Vt is not None
        rounded.append(late.Vt.tobytes() != full.Vt.tobytes())
    assert any(rounded) or name != "llm"  # others may have no look in time


@pytest.mark.skipif(TILES, reason="with AMX tiles all steps are of parts of bf16")
@pytest.mark.parametrize(
    ("shape", "k", "seed"),
    [
        pytest.param((900, 800), 40, 2, id="900x800"),
        pytest.param((1500, 1400), 64, 2, id="1500x1400", marks=pytest.mark.slow),
    ],
)
def test_what_was_rounded_too_early_is_not_waited_for(
    shape: tuple[int, int], k: int, seed: int
) -> None:
    """Where more of a vector was rounded than was to be expected, no further step makes it less."""
    A = ks.llm(*shape)[0].astype(np.float32)
    options: dict[str, Any] = {"tol": 1e-4, "method": "krylov", "block": 8, "seed": seed}
    full, late = (ss.svds(A, k, precision=p, **options) for p in ("float32", "mixed"))
    assert late.converged
    assert late.passes <= full.passes + 3
