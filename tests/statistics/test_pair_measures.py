# SPDX-License-Identifier: BSD-3-Clause
"""Measures of a pair on closed forms: sizes, rounding, noise, angles and their bounds."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.changed import bf16, low_rank, numbers

import sigmascope as ss
from sigmascope.solvers.change import change
from sigmascope.spectra.statistics import pairs


def sums_of(w: Any, v: Any) -> tuple[float, float, float]:
    d = v - w
    return float(np.sum(w * w)), float(np.sum(d * d)), float(np.sum(d * w))


# ---------------------------------------------------------------------------- the three sums


@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["float64", "float32", "float16"]),
    st.booleans(),
)
def test_sums_are_those_of_the_entries(m: int, n: int, seed: int, dtype: str, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((m, n)).astype(dtype)
    v = (w + 1e-3 * rng.standard_normal((m, n))).astype(dtype)
    exact = sums_of(w.astype(np.float64), v.astype(np.float64))
    before = ss.matrix(np.ascontiguousarray(w.T)).T if turned else ss.matrix(w)
    result = change(before, ss.matrix(v), num_threads=2).change
    scale = math.sqrt(exact[0] * exact[1])
    assert result.before2 == pytest.approx(exact[0], rel=1e-13)
    assert result.change2 == pytest.approx(exact[1], rel=1e-13)
    assert result.product == pytest.approx(exact[2], abs=1e-13 * scale)


def test_sums_are_the_same_bits_whatever_threads_and_panels() -> None:
    rng = np.random.default_rng(0)
    w, v = (ss.matrix(rng.standard_normal((300, 5000)).astype(np.float32)) for _ in range(2))
    result = {
        change(w, v, num_threads=threads, panel_rows=rows)
        for threads in (1, 2, 3)
        for rows in (None, 1, 7, 300)
    }
    assert len(result) == 1


def test_a_small_change_is_not_drowned_by_the_norms() -> None:
    """By polarisation nothing would be left of it."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal((200, 300))
    d = 1e-9 * rng.standard_normal((200, 300))
    v = w + d
    result = change(ss.matrix(w), ss.matrix(v)).change
    assert result.product == pytest.approx(float(np.sum((v - w) * w)), rel=1e-9)
    polarised = (np.sum(v * v) - result.before2 - result.change2) / 2
    assert abs(polarised - result.product) > 1e-6 * abs(result.product)


def test_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        change(ss.matrix(np.ones((2, 3))), ss.matrix(np.ones((3, 2))))


# -------------------------------------------------------------------------------- directions


def test_sizes_and_directions_on_closed_forms() -> None:
    w = np.array([[3.0, 0.0], [0.0, 4.0]])
    result = sums_of(w, 1.5 * w)
    size, angle, decay = (
        measure(*result) for measure in (lambda a, b, _: pairs.relative_change(a, b), pairs.cosine,
                                        pairs.decay_coefficient)
    )  # fmt: skip
    assert size is not None
    assert angle is not None
    assert decay is not None
    assert size.value == 0.5
    assert angle.value == 1.0
    assert decay.value == 0.5
    opposite = pairs.cosine(*sums_of(w, -w))
    assert opposite is not None
    assert opposite.value == -1.0
    assert pairs.relative_change(0.0, 1.0) is None
    assert pairs.decay_coefficient(0.0, 1.0, 0.0) is None
    assert pairs.cosine(*sums_of(w, 0 * w)) is None


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 10.0))
def test_errors_of_directions_hold(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    w, d = rng.standard_normal((2, 30, 40))
    v = w + size * d
    result = change(ss.matrix(w), ss.matrix(v)).change
    exact = sums_of(w.astype(np.longdouble), v.astype(np.longdouble))
    for measure in (pairs.cosine, pairs.decay_coefficient):
        got, true = measure(*result), measure(*exact)
        assert got is not None
        assert true is not None
        assert abs(got.value - true.value) <= got.error


# ---------------------------------------------------------------------------------- rounding

DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "f16": np.float16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
    "f4_e2m1": ml_dtypes.float4_e2m1fn,
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_codes_are_the_numbers_of_their_format(dtype: str) -> None:
    number, unit, error2 = pairs.codes_of(dtype)
    kind = np.dtype(DTYPES[dtype])
    codes = np.arange(16 if dtype == "f4_e2m1" else len(unit), dtype=f"u{kind.itemsize}")
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = codes.view(kind).astype(np.float64)
    good = np.isfinite(values)
    assert np.array_equal(np.abs(values[good]), number[: len(codes)][good])
    ordered = np.unique(np.abs(values[good]))
    gaps = dict(zip(ordered[:-1], np.diff(ordered), strict=True))
    for value, step in zip(np.abs(values), unit, strict=False):
        if value in gaps:
            assert step == gaps[value]
    assert np.all((error2 == unit**2 / 12) | (error2 == unit**2 / 16))


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f8_e4m3", "f32"])
def test_rounding_variance_is_that_of_rounding(dtype: str) -> None:
    """Numbers in double precision against the same, stored."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, 500)) * rng.uniform(0.5, 2, (400, 1))
    kind = np.float32 if dtype == "f32" else DTYPES[dtype]
    codes = x.astype(np.float32).astype(kind) if dtype != "f32" else x.astype(kind)
    a = ss.matrix(codes)
    seen = ss.moments(a)
    result = pairs.rounding_variance(pairs.Rounding(a.storage, seen.fro_norm**2, seen.histogram))
    assert result is not None
    assert result == pytest.approx(np.sum((codes.astype(np.float64) - x) ** 2), rel=0.03)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_units_tell_what_counts_of_codes_do(dtype: str) -> None:
    """Also of zeros, subnormal numbers and powers of two; in stretches that end anywhere."""
    rng = np.random.default_rng(5)
    kind = DTYPES[dtype]
    least = float(np.finfo(np.float16).tiny) if dtype == "f16" else 2.0**-126
    w = rng.standard_normal((37, 4103)) * 2.0 ** rng.integers(-6, 6, (37, 1))
    w[3, :900] = 2.0 ** rng.integers(-9, 9, 900)
    w[4], w[5] = 0, least * rng.uniform(-3, 3, w.shape[1])
    both = w.astype(kind), (w * rng.uniform(0.9, 1.1, w.shape)).astype(kind)
    one, two = (ss.matrix(x) for x in both)
    for a, b in ((one, two), (one.T, two.T), (one[:, 5:900], two[:, 5:900])):
        seen = change(a, b)
        assert seen.units2 is not None
        assert change(a, b, num_threads=3, panel_rows=5) == seen
        for x, norm2, units2 in zip(
            (a, b), (seen.change.before2, seen.after2), seen.units2, strict=True
        ):
            all_ = ss.moments(x)
            assert norm2 == pytest.approx(all_.fro_norm**2, rel=1e-12)
            counted = pairs.Rounding(x.storage, norm2, all_.histogram)
            summed = pairs.Rounding(x.storage, norm2, units2=units2)
            assert counted.counted
            assert not summed.counted
            assert pairs.rounding_variance(summed) == pytest.approx(
                pairs.rounding_variance(counted), rel=1e-12
            )


def test_units_are_of_16_bits_as_they_are_stored() -> None:
    x = np.random.default_rng(6).standard_normal((20, 30))
    half, fine = ss.matrix(x.astype(np.float16)), ss.matrix(x)
    assert change(half, half).units2 is not None
    for a, b in ((fine, fine), (half, fine), (half, 2.0 * half)):
        assert change(a, b).units2 is None


def test_rounding_of_scaled_codes_is_scaled() -> None:
    rng = np.random.default_rng(4)
    codes = rng.standard_normal((64, 64)).astype(ml_dtypes.float8_e4m3fn)
    plain, scaled = ss.matrix(codes), 0.125 * ss.matrix(codes)
    variances = []
    for a in (plain, scaled):
        seen = ss.moments(a)
        variances.append(
            pairs.rounding_variance(pairs.Rounding(a.storage, seen.fro_norm**2, seen.histogram))
        )
    assert variances[0] is not None
    assert variances[1] == pytest.approx(variances[0] / 64)


def test_floor_of_both_and_what_is_above_it() -> None:
    one, two = (pairs.Rounding("f32", norm2, None) for norm2 in (4.0, 12.0))
    first, both = pairs.rounding_floor(one, one), pairs.rounding_floor(one, two)
    assert first is not None
    assert both == pytest.approx(first * math.sqrt(2))
    assert pairs.rounding_floor(one, pairs.Rounding("mixed", 1.0, None)) is None
    assert pairs.above_rounding(2.01, 1.0)
    assert not pairs.above_rounding(1.99, 1.0)


@pytest.mark.parametrize(("m", "n"), [(400, 400), (400, 900), (60, 2000)])
def test_effective_rank_of_noise(m: int, n: int) -> None:
    """Uniform noise has the effective rank of any other."""
    x = np.random.default_rng(5).uniform(-1, 1, (m, n))
    p = np.linalg.svd(x, compute_uv=False)
    p /= p.sum()
    assert pairs.noise_effective_rank((m, n)) == pytest.approx(
        np.exp(-np.sum(p * np.log(p))), rel=5e-3
    )
    assert pairs.noise_effective_rank((n, m)) == pairs.noise_effective_rank((m, n))


def test_effective_rank_of_square_noise_is_that_of_the_quarter_circle() -> None:
    s = np.linspace(0, 2, 2_000_001)[1:]
    density = np.sqrt(np.maximum(4 - s**2, 0)) / np.pi * (s[1] - s[0])
    mean = density @ s
    rank = 1000 * mean * np.exp(-(density @ (s * np.log(s))) / mean)
    assert pairs.noise_effective_rank((1000, 1000)) == pytest.approx(rank, rel=1e-6)


# ------------------------------------------------------------------------------------ angles


@given(st.integers(0, 2**32 - 1), st.floats(-9, 0))
def test_angles_that_were_planted_are_found(seed: int, digits: float) -> None:
    """Small and large ones alike, to rounding."""
    rng = np.random.default_rng(seed)
    m, p = 40, 4
    Q = np.linalg.qr(rng.standard_normal((m, 2 * p)))[0]
    true = np.sort(10.0**digits * rng.uniform(0.1, 1.5, p))
    X, Y = Q[:, :p], Q[:, :p] * np.cos(true) + Q[:, p:] * np.sin(true)
    turn = np.linalg.qr(rng.standard_normal((p, p)))[0]
    result = pairs.principal_angles(X, Y @ turn)
    assert np.all(np.diff(result) >= 0)
    assert np.allclose(result, true, rtol=1e-6, atol=1e-8)


def test_angles_between_subspaces_of_two_dimensions() -> None:
    eye = np.eye(6)
    assert np.allclose(pairs.principal_angles(eye[:, :1], eye[:, :4]), [0])
    assert np.allclose(pairs.principal_angles(eye[:, :4], eye[:, 3:]), [0, np.pi / 2, np.pi / 2])


def test_no_gap_no_bound() -> None:
    s, e, r = np.array([3.0, 2.0, 2.0, 1.0]), np.full(4, 1e-3), np.full(4, 1e-3)
    bounds = pairs.subspace_errors(s, e, r, 0.0)
    assert np.isinf(bounds[1])
    assert bounds[0] == pytest.approx(1e-3 / (1 - 1e-3))
    assert bounds[2] == pytest.approx(math.sqrt(3) * 1e-3 / (1 - 1e-3))
    assert pairs.resolved(bounds, 0.05) == 3
    assert pairs.resolved(bounds, 1.5e-3) == 1
    assert pairs.resolved(bounds, 1e-4) == 0


@pytest.mark.parametrize("method", ["krylov", "gram"])
@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_subspaces_hold(method: str, seed: int) -> None:
    """Computed triplets are compared with LAPACK's, for every number of dimensions with a bound."""
    rng = np.random.default_rng(seed)
    a = low_rank(300, 200, np.geomspace(1, 1e-2, 60), rng)
    a += 1e-4 * rng.standard_normal(a.shape)
    U, _, Vt = np.linalg.svd(a)
    result = ss.svds(a.astype(np.float32), 24, tol=1e-2, method=method, block=8)
    exact = ss.matrix(a.astype(np.float32))
    U, _, Vt = np.linalg.svd(np.asarray(exact, dtype=np.float64))
    bounds = pairs.subspace_errors(
        result.s, result.errors, result.residuals, 48 * 2.0**-24 * result.s[0]
    )
    assert pairs.resolved(bounds) >= 10
    assert result.U is not None
    assert result.Vt is not None
    for j in np.flatnonzero(bounds < 1) + 1:
        for mine, true in ((result.U[:, :j], U[:, :j]), (result.Vt[:j].T, Vt[:j].T)):
            angle = pairs.principal_angles(mine, true)[-1]
            assert np.sin(angle) <= bounds[j - 1] + 1e-6


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 0.3))
def test_no_angle_moves_by_more_than_a_subspace_does(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    X, Y, Z = (np.linalg.qr(rng.standard_normal((30, 5)))[0] for _ in range(3))
    moved = np.linalg.qr(X + size * Z)[0]
    sine = math.sin(pairs.principal_angles(X, moved)[-1])
    change = np.abs(pairs.principal_angles(moved, Y) - pairs.principal_angles(X, Y))
    assert change.max() <= pairs.angle_error(sine, 0.0) + 1e-12


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.2), (0.01, 0.5), (0.4, 0.4)])
def test_errors_of_both_subspaces_add_to_that_of_an_angle(first: float, second: float) -> None:
    """Two lines in a plane are turned away from each other."""
    one, two = (np.array([[math.cos(x)], [math.sin(x)]]) for x in (0.5 + first, -second))
    change = float(pairs.principal_angles(one, two)[0]) - 0.5
    assert change == pytest.approx(first + second)
    assert change <= pairs.angle_error(math.sin(first), math.sin(second)) + 1e-12


def test_bf16_of_the_tests_is_that_of_ml_dtypes() -> None:
    x = np.random.default_rng(6).standard_normal(1000).astype(np.float32)
    assert np.array_equal(numbers(bf16(x)), x.astype(ml_dtypes.bfloat16).astype(np.float64))
