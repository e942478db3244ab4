# SPDX-License-Identifier: BSD-3-Clause
"""LinearSketch: a matrix that is only added to, in any pieces, and taken away from again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.streams import linear_bits

from sigmascope.errors import NonFiniteError
from sigmascope.results import SVD
from sigmascope.streaming import LinearSketch, Sketch

M, N, K = 70, 50, 4


def sketch(**options: Any) -> LinearSketch:
    return LinearSketch((M, N), K, **options)


def close(a: LinearSketch, b: LinearSketch, tolerance: float = 1e-12) -> None:
    """The sums are those of the same matrix."""
    for name in "xyzw":
        one, other = a._sums[name].value(), b._sums[name].value()
        assert np.abs(one - other).max() <= tolerance * max(np.abs(other).max(), 1e-300), name


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.data())
def test_a_matrix_in_pieces_of_any_kind(seed: int, count: int, data: Any) -> None:
    rng = np.random.default_rng(seed)
    total, pieces = np.zeros((M, N)), sketch(seed=1)
    for _ in range(count):
        kind = data.draw(st.sampled_from(["dense", "rows", "columns", "block", "outer", "entries"]))
        H = np.zeros((M, N))
        i, j = int(rng.integers(0, M)), int(rng.integers(0, N))
        h, w = int(rng.integers(1, M - i + 1)), int(rng.integers(1, N - j + 1))
        if kind == "dense":
            H = rng.standard_normal((M, N))
            pieces.update(H, num_threads=int(rng.integers(1, 4)))
        elif kind == "outer":
            u, v = rng.standard_normal((M, 2)), rng.standard_normal((N, 2))
            H = u @ v.T
            pieces.update_outer(u, v)
        elif kind == "entries":
            rows, cols = rng.integers(i, M, 30), rng.integers(j, N, 30)
            values = rng.standard_normal(30)
            np.add.at(H, (rows, cols), values)
            pieces.add_entries(rows, cols, values)
        else:
            i, h = (0, M) if kind == "columns" else (i, h)
            j, w = (0, N) if kind == "rows" else (j, w)
            H[i : i + h, j : j + w] = rng.standard_normal((h, w))
            pieces.update(H[i : i + h, j : j + w], row=i, column=j)
        total += H
    close(pieces, sketch(seed=1).update(total))


def test_vectors_and_narrow_formats() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal(M), rng.standard_normal(N)
    close(sketch().update_outer(u, v), sketch().update(np.outer(u, v)))
    narrow = rng.standard_normal((M, N)).astype(ml_dtypes.bfloat16)
    close(sketch().update(narrow), sketch().update(narrow.astype(np.float64)))
    close(sketch().update(narrow.T.copy().T), sketch().update(narrow))


def test_any_number_of_entries_at_a_time() -> None:
    rng = np.random.default_rng(2)
    i, j, values = rng.integers(0, M, 20_000), rng.integers(0, N, 20_000), rng.random(20_000)
    H = np.zeros((M, N))
    np.add.at(H, (i, j), values)
    close(sketch().add_entries(i, j, values), sketch().update(H))


def test_what_is_taken_away_again_leaves_nothing() -> None:
    """To the bit: the sums are integers."""
    rng = np.random.default_rng(1)
    A, H = ks.low_rank(M, N, rank=2)[0], 1e3 * rng.standard_normal((M, N))
    u, v = rng.standard_normal(M), rng.standard_normal(N)
    kept = sketch().update(A)
    gone = sketch().update(H).update_outer(u, v).update(A).update(-H).update_outer(-u, v)
    gone.add_entries([3], [4], [7.0]).add_entries([3], [4], [-7.0])
    gone.updates = kept.updates
    assert linear_bits(gone) == linear_bits(kept)


def test_the_threads_change_no_bit() -> None:
    A = ks.llm(M, N)[0]
    assert linear_bits(sketch().update(A, num_threads=1)) == linear_bits(
        sketch().update(A, num_threads=3)
    )


# -------------------------------------------------------------------------------- accuracy


def check(result: SVD, A: NDArray[np.float64], sigma: NDArray[np.float64]) -> None:
    k = len(result.s)
    assert result.U is not None
    assert result.Vt is not None
    assert np.all(np.abs(result.s - sigma[:k]) <= result.errors)
    for vectors in (result.U, result.Vt.T):
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-12)
    right = np.linalg.norm(A @ result.Vt.T - result.U * result.s, axis=0)
    left = np.linalg.norm(A.T @ result.U - result.Vt.T * result.s, axis=0)
    assert np.all(np.maximum(left, right) <= result.residuals)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize(("m", "n", "rank"), [(70, 50, 4), (50, 70, 9), (200, 30, 1), (3, 90, 3)])
def test_low_rank_is_recovered_to_rounding(m: int, n: int, rank: int, scale: float) -> None:
    A, sigma = ks.low_rank(m, n, rank=rank)
    outcome = LinearSketch((m, n), rank, seed=5).update(A * scale)
    result = outcome.svd()
    np.testing.assert_allclose(result.s, sigma[:rank] * scale, rtol=1e-11)
    check(result, A * scale, sigma * scale)
    assert result.converged
    assert outcome.residual_norm()[2] < 1e-10 * scale
    if m > rank and n > rank:
        fewer = outcome.svd(1)
        assert fewer.s.tobytes() == result.s[:1].tobytes()


@pytest.mark.parametrize("name", ["llm", "polynomial", "exponential", "gaussian", "spiked"])
def test_bounds_hold(name: str) -> None:
    """Bounds hold for the values, the residuals and the norms, each but for a chance of 1e-3."""
    A, sigma = ks.FAMILIES[name](120, 80)
    for seed in range(20):
        outcome = LinearSketch((120, 80), 5, seed=seed).update(A)
        result = outcome.svd()
        check(result, A, sigma)
        value, low, high = outcome.residual_norm(0)
        assert low <= np.linalg.norm(A) <= high
        assert low < value < high
        value, low, high = outcome.residual_norm(5)
        assert result.U is not None
        assert result.Vt is not None
        assert low <= np.linalg.norm(A - (result.U * result.s) @ result.Vt) <= high
        assert np.isnan(result.fro_norm)


def test_the_square_of_the_norm_is_right_in_the_mean() -> None:
    A = ks.llm(60, 40)[0]
    squares = [
        LinearSketch((60, 40), 1, seed=s).update(A).residual_norm(0)[0] ** 2 for s in range(60)
    ]
    assert np.mean(squares) == pytest.approx(np.sum(A**2), rel=0.15)


def test_a_steep_spectrum_is_good_and_a_slow_one_is_not() -> None:
    """Why rows belong into a Sketch."""
    steep, sigma = ks.exponential(300, 200, rate=0.5)
    result = LinearSketch((300, 200), 10).update(steep).svd()
    assert np.max(np.abs(result.s - sigma[:10]) / sigma[:10]) < 1e-4
    slow, sigma = ks.llm(600, 400)
    linear = LinearSketch((600, 400), 20).update(slow).svd()
    rows = Sketch(400, 20).update(slow).svd()
    errors = [np.max(np.abs(r.s - sigma[:20]) / sigma[:20]) for r in (linear, rows)]
    assert errors[0] > 2 * errors[1]


def test_zero_is_zero() -> None:
    result = sketch().update(np.zeros((M, N))).svd()
    np.testing.assert_array_equal(result.s, 0.0)
    assert result.converged
    assert np.all(result.errors == 0.0)


# -------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda s: s.update(np.full((M, N), np.nan)), NonFiniteError, "3500 NaN"),
        (lambda s: s.update(np.full((1, 1), np.inf), row=3), NonFiniteError, "1 infinite"),
        (lambda s: s.update_outer(np.full(M, np.inf), np.ones(N)), NonFiniteError, "70 NaN or"),
        (lambda s: s.add_entries([1], [1], [np.nan]), NonFiniteError, "1 NaN or"),
        (
            lambda s: s.update(np.ones((M, N + 1))),
            ValueError,
            r"\(70, 51\), but the sketch has shape \(70, 50\)",
        ),
        (lambda s: s.update(np.ones((2, N))), ValueError, "give its row or column"),
        (lambda s: s.update(np.ones((2, N)), row=M - 1), ValueError, r"\(2, 50\) at \(69, 0\)"),
        (lambda s: s.update(np.ones((2, N)), row=-1), ValueError, r"at \(-1, 0\)"),
        (lambda s: s.update_outer(np.ones(M), np.ones(M)), ValueError, "70 x 70, but the sketch"),
        (lambda s: s.update_outer(np.ones((M, 2)), np.ones((N, 3))), ValueError, "no product"),
        (lambda s: s.add_entries([M], [0], [1.0]), ValueError, "i is 70 to 70"),
        (lambda s: s.add_entries([0], [-1], [1.0]), ValueError, "j is -1 to -1"),
        (lambda s: s.add_entries([0, 1], [0], [1.0]), ValueError, "vectors of one length"),
        (lambda s: s.add_entries([0.5], [0], [1.0]), TypeError, "integers, not float64"),
        (lambda s: s.svd(K + 1), ValueError, "k = 5 must be between 1"),
        (lambda s: s.residual_norm(18), ValueError, "k = 18 must be between 0 and width = 17"),
    ],
)
def test_what_is_refused_changes_nothing(
    act: Callable[[LinearSketch], object], error: type[Exception], message: str
) -> None:
    held = sketch().update(ks.llm(M, N)[0])
    before = linear_bits(held)
    with pytest.raises(error, match=message):
        act(held)
    assert (linear_bits(held), held.updates) == (before, 1)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: LinearSketch((0, 5), 1), "at least one row"),
        (lambda: LinearSketch((5, 6), 6), r"min\(m, n\) = 5"),
        (lambda: sketch(width=3), "width = 3 must be at least k = 4"),
        (lambda: sketch(core=16), "core = 16 must be at least width = 17"),
        (lambda: sketch(probes=3), "at least 4 probes, not 3"),
        (lambda: sketch(seed=-1), "seed must be an integer between"),
        (lambda: sketch().svd(), "no updates yet"),
        (lambda: sketch().merge(sketch(seed=1)), "'seed': 0.*'seed': 1"),
        (lambda: sketch().merge(sketch(probes=9)), "'probes': 16.*'probes': 9"),
    ],
)
def test_arguments(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


def test_nothing_is_nothing() -> None:
    held = sketch().update(np.ones((0, N)), row=5).add_entries([], [], [])
    held.update_outer(np.ones((M, 0)), np.ones((N, 0)))
    assert held.updates == 0
    assert repr(held) == "LinearSketch(70 x 50, k=4, width=17, 0 updates)"


@pytest.mark.parametrize("left", [-1023, -304, 304, 1023])
def test_factors_of_opposite_scales_have_the_bits_of_their_product(left: int) -> None:
    """Signs times 2^left and 2^-left: u v^T has entries of 1 and -1, whatever the scale is."""
    rng = np.random.default_rng(6)
    u, v = (rng.choice([-1.0, 1.0], (length, 2)) for length in (M, N))
    scaled = sketch().update_outer(np.ldexp(u, left), np.ldexp(v, -left))
    assert linear_bits(scaled) == linear_bits(sketch().update_outer(u, v))


@pytest.mark.parametrize("scale", [-240, 240])
def test_both_scales_of_factors_are_in_the_singular_values(scale: int) -> None:
    rng = np.random.default_rng(7)
    u, v = rng.standard_normal((M, 2)), rng.standard_normal((N, 2))
    result = sketch().update_outer(np.ldexp(u, scale), np.ldexp(v, scale)).svd()
    plain = sketch().update_outer(u, v).svd()
    np.testing.assert_array_equal(result.s, np.ldexp(plain.s, 2 * scale))
    np.testing.assert_array_equal(result.errors, np.ldexp(plain.errors, 2 * scale))


def test_linear_sketches_of_another_k_merge() -> None:
    """Their sums are those of one sketch; the k of the first one remains."""
    first, second = np.ones((M, N)), ks.low_rank(M, N, rank=3)[0]
    merged = sketch(width=9).update(first)
    merged.merge(LinearSketch((M, N), 2, width=9).update(second))
    assert linear_bits(merged) == linear_bits(sketch(width=9).update(first).update(second))
    assert merged.k == K
