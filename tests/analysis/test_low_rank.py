# SPDX-License-Identifier: BSD-3-Clause
"""Products of thin matrices: exactly what the product is, without making it."""

from __future__ import annotations

import math
import pickle
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coverings import grid

import sigmascope as ss
from sigmascope import LowRank
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.results import SVD
from sigmascope.spectra import Spectrum

EXACT = 1e-12


def thin(m: int, r: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((m, r))


def of_values(values: list[float], m: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """B (m, r) and A (r, n) whose product has these singular values."""
    r = len(values)
    U, V = np.linalg.qr(thin(m, r, seed))[0], np.linalg.qr(thin(n, r, seed + 1))[0]
    mix = np.linalg.qr(thin(r, r, seed + 2))[0] @ np.diag(np.arange(1.0, r + 1))
    return U @ np.diag(values) @ np.linalg.inv(mix), mix @ V.T


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 30),
    n=st.integers(1, 30),
    r=st.integers(1, 12),
    scale=st.floats(-4, 4).filter(lambda s: abs(s) > 1e-3),
    seed=st.integers(0, 9),
)
def test_all_values_are_those_of_the_product(
    m: int, n: int, r: int, scale: float, seed: int
) -> None:
    B, A = thin(m, r, seed), thin(r, n, seed + 1)
    truth = np.linalg.svd(scale * B @ A, compute_uv=False)
    result = LowRank(B, A, scale).singular_values()
    assert len(result) == min(m, n)
    assert np.all(np.abs(result.values - truth) <= result.errors + 1e-13 * truth[0])
    assert np.all(result.values[r:] == 0)
    assert np.all(result.errors[r:] == 0)
    svd = LowRank(B, A, scale).svd()
    assert len(svd.s) == min(m, n, r)
    np.testing.assert_allclose((svd.U * svd.s) @ svd.Vt, scale * B @ A, atol=1e-12 * truth[0])
    assert np.all(svd.residuals <= 1e-13 * truth[0] * (m + n))


def test_planted_values_come_back() -> None:
    values = [8.0, 4.0, 2.0, 1.0]
    result = LowRank(*of_values(values, 60, 40)).singular_values()
    np.testing.assert_allclose(result.values[:4], values, rtol=EXACT)
    assert result.method == "low-rank product, exact"
    assert result.errors[0] < 1e-11


def test_measures_of_four_equal_values_are_closed_forms() -> None:
    result = LowRank(*of_values([3.0] * 4, 50, 40), scale=0.5).spectrum()
    expected = {
        "fro_norm": 3.0,
        "spectral_norm": 1.5,
        "nuclear_norm": 6.0,
        "stable_rank": 4.0,
        "effective_rank": 4.0,
        "effective_rank_energy": 4.0,
        "participation_ratio": 4.0,
        "nuclear_rank": 4.0,
        "numerical_rank": 4.0,
        "spectral_entropy": math.log(4) / math.log(40),
        "concentration_1": 0.25,
        "energy_rank_50": 2.0,
    }
    for name, value in expected.items():
        measure = result[name]
        assert abs(measure.value - value) <= max(measure.error, 1e-12 * value), name


def test_measures_without_meaning_are_absent() -> None:
    result = LowRank(thin(60, 16), thin(16, 50)).spectrum()
    for name in ("alpha", "alpha_hill", "mp_edge", "mp_outliers", "mp_softrank", "condition"):
        assert name not in result
    assert result.moments is None
    most = LowRank(thin(60, 40), thin(40, 50)).spectrum()  # with a median above 0
    for measures in (result.measures, most.measures):
        assert not [name for name in measures if name.startswith("shoulder_")]
    full = LowRank(thin(60, 50), thin(50, 50)).spectrum()  # of full rank it has them all
    assert {"shoulder_286", "condition", "alpha"} <= set(full.measures)


def test_spectrum_is_exact_and_says_so() -> None:
    spectrum = ss.spectrum(LowRank(thin(60, 3), thin(3, 50)), effort="top", k=8)
    assert isinstance(spectrum, Spectrum)
    assert (spectrum.effort, spectrum.method, spectrum.converged) == (
        "exact",
        "low-rank product, exact",
        True,
    )
    assert (spectrum.precision, spectrum.passes, spectrum.columns) == ("float64", 1, 3)
    assert len(spectrum.top) == 8
    assert len(spectrum.values) == 50
    assert spectrum.notes == ("rank 3 or less by its form",)
    assert spectrum.to_dict()["effective_rank"] == spectrum["effective_rank"].value


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-30, 1e30), st.integers(0, 5))
def test_scale_changes_no_scale_free_measure(scale: float, seed: int) -> None:
    B, A = thin(30, 4, seed), thin(4, 20, seed + 1)
    one, other = LowRank(B, A).spectrum(), LowRank(B, A, scale).spectrum()
    for name in ("effective_rank", "stable_rank", "participation_ratio", "numerical_rank"):
        assert other[name].value == pytest.approx(one[name].value, rel=1e-10)
    assert other["spectral_norm"].value == pytest.approx(scale * one["spectral_norm"].value)


def test_transpose_slices_and_elements() -> None:
    B, A = thin(30, 4), thin(4, 20)
    product = LowRank(B, A, 2.0)
    dense = np.float32(2.0 * B @ A)
    np.testing.assert_allclose(np.asarray(product.matrix()), dense, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        np.asarray(product[3:9].matrix()), np.asarray(product.matrix())[3:9]
    )
    part = np.asarray(product[::2, 5:7].matrix())
    np.testing.assert_allclose(part, np.asarray(product.matrix())[::2, 5:7], rtol=1e-12)
    np.testing.assert_allclose(
        np.asarray(product.T.matrix()), np.asarray(product.matrix()).T, rtol=1e-12
    )
    np.testing.assert_allclose(product.T.svd().s, product.svd().s, rtol=EXACT)
    assert product.T.shape == (20, 30)


def test_orthogonal_rotations_change_no_value() -> None:
    B, A = thin(30, 4), thin(4, 20)
    Q, P = np.linalg.qr(thin(30, 30, 5))[0], np.linalg.qr(thin(20, 20, 6))[0]
    turned = LowRank(Q @ B, A @ P).singular_values().values
    np.testing.assert_allclose(turned, LowRank(B, A).singular_values().values, atol=1e-12)


def test_factors_in_bfloat16_are_read_exactly() -> None:
    B, A = (x.astype(ml_dtypes.bfloat16) for x in (thin(30, 4), thin(4, 20)))
    product = LowRank(B, A)
    assert product.storage == "bf16"
    assert product.nbytes == 2 * 4 * (30 + 20)
    truth = np.linalg.svd(B.astype(float) @ A.astype(float), compute_uv=False)
    np.testing.assert_allclose(product.singular_values().values, truth, atol=1e-13)
    assert np.asarray(product.matrix()).dtype == np.float32
    assert np.asarray(LowRank(thin(3, 2), thin(2, 3)).matrix()).dtype == np.float64


def test_zero_and_rank_deficient_products() -> None:
    zero = LowRank(np.zeros((9, 2)), thin(2, 8)).spectrum()
    assert zero["fro_norm"].value == 0
    assert "effective_rank" not in zero
    column = thin(9, 1)
    twice = LowRank(np.hstack([column, column]), thin(2, 8)).spectrum()
    assert twice["numerical_rank"].value == 1


def test_factors_without_a_product_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(9, 2\) and \(3, 8\) cannot be multiplied"):
        LowRank(thin(9, 2), thin(3, 8))
    with pytest.raises(ValueError, match="must be finite, not nan"):
        LowRank(thin(9, 2), thin(2, 8), math.nan)
    product = LowRank(thin(9, 2), thin(2, 8))
    with pytest.raises(ValueError, match=r"k = 9 must be between 1 and min\(m, n\) = 8"):
        product.svd(9)
    with pytest.raises(ValueError, match="k = 0 must be at least 1"):
        product.spectrum(0)
    assert len(product.svd(8).s) == 2


def test_nan_is_named() -> None:
    B = thin(9, 2)
    B[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"factor B .* 1 NaN .* the first at \(3, 1\)"):
        LowRank(B, thin(2, 8)).spectrum()


def test_memory_is_held_against_the_limit() -> None:
    product = LowRank(thin(2000, 8), thin(8, 2000))
    with pytest.raises(MemoryLimitError, match=r"memory_limit is 9.77 kiB"):
        product.spectrum(memory_limit=10_000)
    product.spectrum(memory_limit="1MiB")
    with pytest.raises(MemoryLimitError, match=r"memory_limit is 1 MiB"):
        product.spectrum(memory_limit="1MiB", reserved=2**19)


def cancelling(m: int, n: int, r: int, rest: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of integers whose terms cancel in pairs, and a last pair that is left."""
    rng = np.random.default_rng(seed)
    B, A = rng.integers(-9, 10, (m, r)), rng.integers(-9, 10, (r, n)).astype(float)
    tail = rest * rng.integers(-9, 10, (m, 1)), rng.integers(-9, 10, (1, n))
    return np.hstack([B, B, tail[0]]), np.vstack([A, -A, tail[1]]).astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 30),
    n=st.integers(1, 30),
    r=st.integers(1, 8),
    rest=st.sampled_from([0.0, 2.0**-400, 2.0**-80, 2.0**-40, 2.0**-20, 1.0]),
    scale=st.sampled_from([1.0, -0.3, 7.0]),
    power=st.sampled_from([0, -30, 400]),
    seed=st.integers(0, 99),
)
def test_products_that_cancel_are_measured_in_more_digits(
    m: int, n: int, r: int, rest: float, scale: float, power: int, seed: int
) -> None:
    """The norm is that of the product, to its own rounding; residuals are those of the vectors."""
    B, A = cancelling(m, n, r, rest, seed)
    product = LowRank(np.ldexp(B, power), A, scale)
    exact = scale * np.ldexp(B[:, -1:] * A[-1:], power)  # of rank 1
    norm = float(np.ldexp(np.linalg.norm(np.ldexp(exact, -power)), power))
    for result in (product.svd(), product.singular_values()):
        assert result.fro_norm == pytest.approx(norm, rel=4e-15)
        values = result.s if isinstance(result, SVD) else result.values
        assert np.linalg.norm(values) <= result.fro_norm * (1 + 1e-15)
        assert abs(values[0] - norm) <= result.errors[0]
    svd = product.svd()
    left = np.linalg.norm(exact @ svd.Vt.T - svd.U * svd.s, axis=0)
    right = np.linalg.norm(exact.T @ svd.U - svd.Vt.T * svd.s, axis=0)
    assert np.all(np.maximum(left, right) <= svd.residuals + 4e-15 * norm)


@pytest.mark.parametrize("shape", [(1, 2, 1), (47, 184, 59), (300, 4, 3), (5, 300, 200)])
def test_factors_that_share_no_direction_have_a_product_of_zero(
    shape: tuple[int, int, int],
) -> None:
    """Columns of B are zero where rows of A are not: slices of some blocks are empty."""
    m, r, n = shape
    B, A = thin(m, r), thin(r, n)
    B[:, r // 2 :] = A[: r // 2] = 0
    for result in (LowRank(B, A).svd(), LowRank(A.T, B.T).svd()):
        assert result.fro_norm == 0
        assert np.all(result.s == 0)
        assert np.all(result.residuals <= 1e-28 * np.linalg.norm(B) * np.linalg.norm(A))
    assert np.all(LowRank(B, A).spectrum().values == 0)


@pytest.mark.unsanitized
@grid(
    shape=[(40, 1, 30), (30, 16, 50), (3000, 16, 500), (90, 90, 90)],
    vectors={"values": False, "vectors": True},
)
def test_memory_is_as_it_says(shape: tuple[int, int, int], vectors: bool) -> None:
    """Factors whose entries span 200 bits, and whose terms cancel, need all slices."""
    m, r, n = shape
    B, A = (thin(a, b, a) * np.exp(24 * thin(a, 1)) for a, b in ((m, r), (r, n)))
    product = LowRank(np.hstack([B, B]), np.vstack([A, -A]))
    tracemalloc.start()
    try:
        product.spectrum(vectors=vectors)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pytest.raises(MemoryLimitError):
        product.check_memory(peak, vectors=vectors)
    product.check_memory(4 * peak + 2**16, vectors=vectors)


@settings(deadline=None, max_examples=30)
@given(
    m=st.integers(1, 40),
    n=st.integers(1, 40),
    r=st.integers(1, 6),
    kind=st.sampled_from(["float64", "float32", "bfloat16", "float16"]),
    seed=st.integers(0, 9),
)
def test_elements_are_those_of_the_product(m: int, n: int, r: int, kind: str, seed: int) -> None:
    """In float64 to its rounding, in float32 to one rounding a term; no m x n numbers are held."""
    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    B, A = thin(m, r, seed).astype(dtype), thin(r, n, seed + 1).astype(dtype)
    b, a = B.astype(np.float64), A.astype(np.float64)
    truth, size = 3.0 * b @ a, 3.0 * np.abs(b) @ np.abs(a)
    lazy = LowRank(B, A, 3.0).matrix()
    assert np.all(np.abs(np.asarray(lazy, dtype=np.float64) - truth) <= (r + 3) * 2.0**-48 * size)
    assert np.all(np.abs(np.asarray(lazy) - truth) <= (r + 2) * 2.0**-24 * size)
    width = 4 if kind != "float64" else 16
    assert lazy.nbytes <= width * r * n
    for part in (lazy.T, lazy[1:, ::2], lazy.load()):
        assert part.nbytes <= width * r * max(m, n)
    assert np.all(np.abs(np.asarray(lazy.T).T - truth) <= (r + 2) * 2.0**-24 * size)
    x = thin(n, 2, seed).astype(np.float32)
    np.testing.assert_allclose(lazy @ x, truth @ x, atol=1e-4 * size.max() * n)


def test_products_add_up() -> None:
    one, two = LowRank(thin(30, 4), thin(4, 20), 2.0), LowRank(thin(30, 3, 1), thin(3, 20, 1), 0.5)
    first, second = (np.asarray(product.matrix()) for product in (one, two))
    for result, truth in (
        (one + two, first + second),
        (one - two, first - second),
        (one - np.float64(0.25) * two, first - 0.25 * second),
        (-one, -first),
    ):
        assert isinstance(result, LowRank)
        np.testing.assert_allclose(np.asarray(result.matrix()), truth, atol=1e-13)
        values = np.linalg.svd(truth, compute_uv=False)
        np.testing.assert_allclose(result.singular_values().values, values, atol=1e-12)
    assert (one - two).rank == 7
    W = thin(30, 20, 5)
    for sum_, truth in (
        (ss.matrix(W) + one, W + first),
        (one + ss.matrix(W), W + first),
        (one - ss.matrix(W), first - W),
    ):
        assert isinstance(sum_, ss.Matrix)
        np.testing.assert_allclose(np.asarray(sum_), truth, atol=1e-13)
    with pytest.raises(
        ValueError, match=r"cannot add products of shapes \(30, 20\) and \(20, 30\)"
    ):
        one + two.T
    with pytest.raises(TypeError):
        one + 1.0  # type: ignore[operator]


def test_a_small_product_is_not_drowned_where_it_is_added() -> None:
    """Its terms are summed before the matrix is added, which rounds once."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((50, 40)).astype(np.float32)
    product = LowRank(np.float32(1e-4 * thin(50, 32)), np.float32(thin(32, 40)))
    B, A = (np.asarray(x, dtype=np.float64) for x in (product.B, product.A))
    truth = W + B @ A
    values = np.asarray(ss.matrix(W) + product, dtype=np.float64)
    np.testing.assert_allclose(values, truth, rtol=0, atol=1e-15 * 8)
    once = np.abs(np.asarray(ss.matrix(W) + product) - truth)
    assert np.all(once <= 2.0**-24 * np.abs(truth) + 34 * 2.0**-24 * np.abs(B) @ np.abs(A))


def test_it_travels_as_its_files(tmp_path: Path) -> None:
    for name, x in (("B", thin(9, 2)), ("A", thin(2, 8))):
        np.save(tmp_path / f"{name}.npy", x)
    product = LowRank(tmp_path / "B.npy", tmp_path / "A.npy", 3.0)
    assert not product.in_memory
    assert product.load().in_memory
    again = pickle.loads(pickle.dumps(product))
    np.testing.assert_array_equal(again.singular_values(), product.singular_values())
    assert repr(product) == "LowRank(9 x 8, rank 2, f64, scale 3)"
