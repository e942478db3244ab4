# SPDX-License-Identifier: BSD-3-Clause
"""Sketch: rows seen once, in any order and any number of places; no bit depends on either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.streams import N_COLS, K, bits, blocks_of

from sigmascope.errors import NonFiniteError
from sigmascope.results import SVD
from sigmascope.streaming import Sketch

# -------------------------------------------------------------------------------- order


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 900))
def test_terms_of_very_different_sizes_in_any_order(seed: int, spread: int) -> None:
    """Entries from 2^-spread to 1: sums that floating point would round differently."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.standard_normal((5, 4)) * 2.0 ** -rng.integers(0, spread // 2 + 1) for _ in range(12)
    ]
    first, second = Sketch(4, 2), Sketch(4, 2)
    for part in parts:
        first.update(part)
    for index in rng.permutation(12):
        second.update(parts[index])
    assert bits(first) == bits(second)


def test_merging_leaves_the_other_sketch_as_it_was() -> None:
    one, other = (Sketch(N_COLS, K).update(part) for part in blocks_of(2))
    before, rows = bits(other), other.rows
    assert one.merge(other) is one
    one.update(blocks_of(3)[2])
    assert (bits(other), other.rows) == (before, rows)


def test_sketches_of_another_k_merge_where_their_widths_agree() -> None:
    """Their sums are those of one sketch; the k of the first one remains."""
    first, second = blocks_of(2)
    merged = Sketch(N_COLS, K, width=12).update(first)
    merged.merge(Sketch(N_COLS, K + 3, width=12).update(second))
    assert bits(merged) == bits(Sketch(N_COLS, K, width=12).update(first).update(second))
    assert merged.k == K


# -------------------------------------------------------------------------------- accuracy


def sketched(A: NDArray[Any], k: int, pieces: int = 5, **options: Any) -> SVD:
    sketch = Sketch(A.shape[1], k, **options)
    for part in np.array_split(A, pieces):
        sketch.update(part)
    return sketch.svd()


def check(result: SVD, A: NDArray[np.float64]) -> None:
    """Every bound holds; the right vectors are orthonormal."""
    sigma = np.linalg.svd(A, compute_uv=False)
    k = len(result.s)
    sigma = np.pad(sigma, (0, max(0, k - len(sigma))))
    assert np.all(np.abs(result.s - sigma[:k]) <= result.errors + 1e-14 * sigma[0])
    assert result.Vt is not None
    V = result.Vt.T
    outcome = result.s > 1e-9 * sigma[0]
    assert np.abs(V[:, outcome].T @ V[:, outcome] - np.eye(outcome.sum())).max(initial=0) < 1e-9
    # A v = sigma u within the residual, for the best u there is
    assert np.all(np.abs(np.linalg.norm(A @ V, axis=0) - result.s) <= result.residuals)
    assert result.fro_norm == pytest.approx(np.linalg.norm(A), rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 80),
    st.integers(1, 60),
    st.sampled_from(["decay", "low rank", "graded", "Gaussian", "zero", "repeated rows"]),
    st.floats(-60, 60),
    st.integers(0, 2**32),
    st.data(),
)
def test_every_bound_holds(m: int, n: int, kind: str, scale: float, seed: int, data: Any) -> None:
    """Also where the rank is below the width, so that Y^T Y is singular."""
    rank = data.draw(st.integers(1, min(m, n)))
    families: dict[str, Callable[[], NDArray[np.float64]]] = {
        "decay": lambda: ks.polynomial(m, n, seed, power=1.5)[0],
        "low rank": lambda: ks.low_rank(m, n, seed, rank=rank)[0],
        "graded": lambda: ks.graded(m, n, seed, smallest=1e-10)[0],
        "Gaussian": lambda: ks.gaussian(m, n, seed)[0],
        "zero": lambda: np.zeros((m, n)),
        "repeated rows": lambda: ks.repeated_rows(m, n, seed, distinct=rank)[0],
    }
    A = families[kind]() * 2.0**scale
    k = data.draw(st.integers(1, n))
    width = data.draw(st.one_of(st.none(), st.integers(k, n)))
    check(sketched(A, k, pieces=data.draw(st.integers(1, 4)), width=width, seed=seed), A)


@pytest.mark.parametrize("scale", [1.0, 3.0, 17.0, 300.0, 1e5, 1e-3])
def test_low_rank_is_exact_whatever_the_scale(scale: float) -> None:
    """Values beyond the rank are zero to rounding, not noise of the sums' grid."""
    A = ks.low_rank(500, 80, rank=3)[0] * scale
    result = sketched(A, 10)
    check(result, A)
    assert result.converged
    np.testing.assert_allclose(result.s[:3], np.array([2.0, 1.5, 1.0]) * scale, rtol=1e-10)
    assert result.s[3] < 1e-6 * scale


def test_one_read_of_a_decaying_spectrum() -> None:
    A, sigma = ks.exponential(600, 200, rate=0.2)
    result = sketched(A, 20)
    assert (result.passes, result.U, result.block) == (1, None, 50)
    assert np.max(np.abs(result.s - sigma[:20]) / sigma[:20]) < 1e-3
    assert result.errors.max() < 0.05 * sigma[0]
    check(result, A)


@pytest.mark.parametrize("seed", range(4))
def test_as_good_as_one_pass_over_all_of_the_matrix(seed: int) -> None:
    """The same subspace method in plain NumPy (Halko, Martinsson & Tropp 2011, algorithm 4.1)."""
    A, sigma = ks.llm(500, 300)
    one_read = sketched(A, 20, width=30, seed=seed)
    Q = np.linalg.qr(A @ np.random.default_rng(seed).standard_normal((300, 30)))[0]
    whole = np.linalg.svd(Q.T @ A, compute_uv=False)[:20]
    errors = [sigma[:20] - s for s in (one_read.s, whole)]
    assert np.all(errors[0] >= -1e-10 * sigma[0])  # a projection never overshoots
    assert np.linalg.norm(errors[0]) < 1.1 * np.linalg.norm(errors[1])
    check(one_read, A)


def test_a_wider_sketch_is_better() -> None:
    A, sigma = ks.polynomial(400, 250)
    errors = [np.max(sigma[:10] - sketched(A, 10, width=w).s) for w in (10, 30, 90, 250)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[3] < 1e-12


def test_fewer_values_than_asked_for() -> None:
    sketch = Sketch(N_COLS, K).update(np.ones((3, N_COLS)))
    all_of_them, two = sketch.svd(), sketch.svd(2)
    assert two.s.tobytes() == all_of_them.s[:2].tobytes()
    np.testing.assert_allclose(two.s, [np.sqrt(3 * N_COLS), 0], atol=1e-6)


# -------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_change_nothing(spoilt: float) -> None:
    good, bad = np.ones((4, N_COLS)), np.ones((4, N_COLS))
    bad[2, 5] = bad[3, 1] = spoilt
    sketch = Sketch(N_COLS, K).update(good)
    before = bits(sketch)
    kind = "2 NaN and 0 infinite" if np.isnan(spoilt) else "0 NaN and 2 infinite"
    with pytest.raises(NonFiniteError, match=rf"{kind} entries, the first at \(2, 5\)"):
        sketch.update(bad)
    assert (bits(sketch), sketch.rows) == (before, 4)


def test_rows_of_no_height_change_nothing() -> None:
    sketch = Sketch(N_COLS, K).update(np.ones((4, N_COLS)))
    before = bits(sketch)
    assert bits(sketch.update(np.ones((0, N_COLS)))) == before
    assert repr(sketch) == "Sketch(4 rows x 40, k=6, width=22)"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Sketch(0, 1), r"k = 1 must be between 1 and n_cols = 0"),
        (lambda: Sketch(5, 0), r"k = 0 must be between 1 and n_cols = 5"),
        (lambda: Sketch(5, 6), r"k = 6 must be between 1 and n_cols = 5"),
        (lambda: Sketch(50, 6, width=5), r"width = 5 must be at least k = 6"),
        (lambda: Sketch(5, 1, seed=-1), r"seed must be an integer between"),
        (lambda: Sketch(5, 1).update(np.ones((2, 4))), r"rows have 4 columns.*n_cols = 5"),
        (lambda: Sketch(5, 1).update(np.ones(5)), r"2 dimensions"),
        (lambda: Sketch(5, 1).svd(), r"no rows yet"),
        (lambda: Sketch(5, 2).svd(3), r"k = 3 must be between 1 and the sketch's k = 2"),
        (lambda: Sketch(5, 2).svd(0), r"k = 0 must be between 1"),
        (lambda: Sketch(5, 2).merge(Sketch(6, 2)), r"'n_cols': 5.*'n_cols': 6"),
        (lambda: Sketch(50, 2).merge(Sketch(50, 3)), r"'width': 14.*'width': 16"),
        (lambda: Sketch(5, 2).merge(Sketch(5, 2, seed=1)), r"'seed': 0.*'seed': 1"),
    ],
)
def test_what_is_refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()
