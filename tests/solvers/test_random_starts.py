# SPDX-License-Identifier: BSD-3-Clause
"""No matrix can be made whose direction is orthogonal to the random start that it gets.

And the start is the same for every way to store, cut and read one matrix.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coverings import device_grid
from tests.support.engine import (
    TEST_COLUMNS,
    fingerprint_by_workers,
    fingerprint_of,
    fingerprint_of_pair,
    gaussian,
    seed_of_start,
)
from tests.support.executors import Shuffling
from tests.support.hidden_directions import fingerprint as own_fingerprint

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from sigmascope.results import SVD
from sigmascope.streaming import Sketch

NUMBERS: dict[str, Any] = {"f64": np.float64, "f32": np.float32, "bf16": ml_dtypes.bfloat16}


# ------------------------------------------------------------------------------- the adversary


def start_of(A: Any, columns: int, seed: int) -> np.ndarray:
    """Return the start block that a search of A is given."""
    return gaussian(min(A.shape), columns, seed_of_start(own_fingerprint(A), seed))


def hiding(A: np.ndarray, G: np.ndarray, big: float, seed: int) -> np.ndarray:
    """Return A with a direction of size `big` that is orthogonal to all columns of G.

    A has none of that direction, from either side: it is invisible to whoever begins with G.
    """
    rng = np.random.default_rng(seed)
    h = rng.standard_normal(len(G))
    for _ in range(3):
        h -= G @ np.linalg.lstsq(G, h, rcond=None)[0]
    h /= np.linalg.norm(h)
    A = A if A.shape[0] >= A.shape[1] else A.T
    rest = A - np.outer(A @ h, h)
    u = rng.standard_normal(A.shape[0])
    u -= rest @ np.linalg.lstsq(rest, u, rcond=1e-10)[0]
    return rest + big * np.outer(u / np.linalg.norm(u), h)


def spectrum_of(m: int, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((k, min(m, n))))[0] for k in (m, n))
    s = np.r_[np.linspace(1, 0.8, 6), np.linspace(0.3, 0.01, min(m, n) - 6)]
    return np.asarray((U * s) @ V.T)


FINDERS: dict[str, Callable[..., float]] = {
    "svds": lambda A, **o: ss.svds(A, 4, tol=1e-3, method="krylov", **o).s[0],
    "values": lambda A, **o: ss.svds(A, 4, tol=1e-3, method="krylov", vectors=False, **o).s[0],
    "randomized_svd": lambda A, **o: ss.randomized_svd(A, 4, passes=6, **o).s[0],
    "top": lambda A, **o: ss.spectrum(A, effort="top", k=4, **o)["spectral_norm"].value,
    "density": lambda A, **o: ss.spectrum(A, effort="density", k=4, **o)["spectral_norm"].value,
    "spectral_density": lambda A, **o: ss.spectral_density(A, **o).quantile(1.0).value,
}


@device_grid(
    finder=list(FINDERS),
    dtype=list(NUMBERS),
    known=["gaussian of the seed", "start of a similar matrix"],
)
@pytest.mark.unsanitized
def test_a_hidden_direction_is_found(finder: str, dtype: str, known: str, device: str) -> None:
    """By whoever knows what the seed alone begins with, or another matrix much like it."""
    cases = ((0, (260, 200)), (5, (200, 260)), (2**64 - 1, (220, 220)))
    for seed, (m, n) in cases if device == "cpu" else cases[:1]:
        A = spectrum_of(m, n, 1)
        tall = A if m >= n else A.T
        G = (
            gaussian(min(m, n), 64, seed)
            if known == "gaussian of the seed"
            else start_of(tall.astype(NUMBERS[dtype]), 64, seed)
        )
        H = hiding(A, G, 1.3, seed % 1000).astype(NUMBERS[dtype])
        H = H if m >= n else H.T
        assert np.linalg.norm(H.astype(float), 2) > 1.29
        assert FINDERS[finder](H, seed=seed, device=device) > 1.25, (seed, m, n)


def test_the_sample_is_indeed_hidden_from_the_start_that_it_was_made_for() -> None:
    """Else the tests above would find it whatever the start."""
    A = spectrum_of(260, 200, 1)
    H = hiding(A, gaussian(200, 64, seed_of_start(0, 0)), 1.3, 0)
    fooled = unwrap(ss.svds)(H, 4, tol=1e-3, method="krylov", fingerprint=0)
    assert fooled.converged
    assert fooled.s[0] < 1.01


PLACES: dict[str, Callable[..., SVD]] = {
    "svds": lambda A, k, **o: unwrap(ss.svds)(A, k, method="krylov", fingerprint=0, **o),
    "values": lambda A, k, **o: unwrap(ss.svds)(
        A, k, method="krylov", vectors=False, fingerprint=0, **o
    ),
    "randomized_svd": lambda A, k, **o: unwrap(ss.randomized_svd)(A, k, fingerprint=0, **o),
    "low_rank": lambda A, k, **o: unwrap(ss.low_rank)(A, k, fingerprint=0, **o),
    "Sketch": lambda A, k: Sketch(A.shape[1], k).update(A).svd(),
}


def _hidden_from(place: str, n: int, *, tests_alone: bool) -> np.ndarray:
    """Return the random vectors that one of PLACES begins with and tests its answer with."""
    if place == "Sketch":
        return gaussian(n, 60, 0)
    start = seed_of_start(0, 0)
    tests = gaussian(n, 24, start + 1)
    return tests if tests_alone else np.hstack([gaussian(n, 64, start), tests])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("bulk", [0.0, 1e-4])
def test_the_exact_norm_wins_over_random_vectors(place: str, dtype: str, bulk: float) -> None:
    """A direction that no random vector sees is in ||A||_F: it is found, or is in the errors."""
    m, n, rank = 260, 200, 8
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((extent, n)))[0] for extent in (m, n))
    s = np.r_[np.linspace(1, 0.5, rank), np.full(n - rank, bulk)]
    G = _hidden_from(place, n, tests_alone=False)
    for big, k in ((1.6, 4), (1.6, rank), (0.2, rank + 2)):
        A = hiding((U * s) @ V.T, G, big, 3).astype(NUMBERS[dtype])
        truth = np.linalg.svd(A.astype(float), compute_uv=False)[:k]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svd = PLACES[place](A, k)
        off = np.abs(svd.s - truth)
        assert np.all(off <= svd.errors + 1e-6), (big, k, svd)
        assert not svd.converged or off.max() < 1e-4, (big, k, svd)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_test_vectors_that_see_nothing_are_not_believed(dtype: str) -> None:
    """Where the start has seen too little to contradict them, ||A||_F alone does."""
    rng = np.random.default_rng(2)
    n = 200
    A = rng.standard_normal((260, 4)) @ rng.standard_normal((4, n)) / n
    H = hiding(A, _hidden_from("", n, tests_alone=False), 1.5, 3).astype(NUMBERS[dtype])
    svd = unwrap(ss.randomized_svd)(H, 4, passes=1, fingerprint=0)
    truth = np.linalg.svd(H.astype(float), compute_uv=False)
    assert np.all(np.abs(svd.s - truth[:4]) <= svd.errors + 1e-6)
    assert not svd.converged
    assert any("||A||_F contradicts" in note for note in svd.notes)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(("share", "doubted"), [(0.03, True), (0.036, False), (0.12, False)])
def test_test_vectors_are_doubted_in_one_case_of_a_million(
    share: float, doubted: bool, dtype: str
) -> None:
    """Ten of them see less than 0.0329 of the mean square as rarely; where they do, errors grow."""
    n, rng = 200, np.random.default_rng(2)
    seen = gaussian(n, TEST_COLUMNS, seed_of_start(0, 0) + 1)
    W = np.linalg.qr(seen)[0]
    L = np.linalg.qr((np.eye(n) - W @ W.T) @ rng.standard_normal((n, 4)))[0]
    Q = np.linalg.qr(rng.standard_normal((260, n)))[0]
    bulk = 0.1 * (np.eye(n) - (1 - np.sqrt(share)) * W @ W.T)
    A = (Q @ (bulk + (L * [0.9, 0.8, 0.7, 0.6]) @ L.T)).astype(NUMBERS[dtype])
    svd = unwrap(ss.randomized_svd)(A, 4, passes=1, fingerprint=0)
    truth = np.linalg.svd(A.astype(float), compute_uv=False)
    assert np.all(np.abs(svd.s - truth[:4]) <= svd.errors)
    assert any("||A||_F contradicts" in note for note in svd.notes) == doubted
    assert (svd.errors.max() > 0.1) == doubted


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_entry_counts(data: st.DataObject) -> None:
    """Its sign, its exponent, its last bit and its place."""
    shape = data.draw(st.sampled_from([(1, 1), (7, 5), (5, 7), (33, 40), (3, 5000)]))
    kind = NUMBERS[data.draw(st.sampled_from(list(NUMBERS)))]
    A = np.random.default_rng(data.draw(st.integers(0, 9))).standard_normal(shape).astype(kind)
    i, j = (data.draw(st.integers(0, extent - 1)) for extent in shape)
    before = fingerprint_of(A)
    changed = [A.copy() for _ in range(3)]
    changed[0][i, j] = -changed[0][i, j]
    changed[1][i, j] = 0
    codes = changed[2].view(f"u{A.itemsize}")
    codes[i, j] ^= 1
    if A.size > 1:  # else it is the scale
        changed.append(A.copy())
        changed[3][i, j] *= 2
        others = np.flatnonzero(A.ravel() != A[i, j])  # exchanging equal ones changes nothing
        k = int(others[np.searchsorted(others, i * shape[1] + j) % len(others)])
        changed.append(A.copy())
        changed[4].flat[[i * shape[1] + j, k]] = A.flat[[k, i * shape[1] + j]]
    marks = [before, *(fingerprint_of(x) for x in changed)]
    if A.size > 1:
        assert len(set(marks)) == len(marks)


def test_patterns_do_not_cancel() -> None:
    """Matrices of signs, permutations, rows and columns turned: all different."""
    rng = np.random.default_rng(0)
    marks, total = set(), 0
    base = rng.choice([-1.0, 1.0], (24, 16)).astype(np.float32)
    for _ in range(60):
        for B in (
            rng.choice([-1.0, 1.0], (24, 16)),
            np.eye(24, 16)[rng.permutation(24)],
            base[rng.permutation(24)],
            base[:, rng.permutation(16)],
            base * rng.choice([-1, 1], 16),
            base * rng.choice([-1, 1], (24, 1)),
        ):
            marks.add(fingerprint_of(B.astype(np.float32)))
            total += 1
    assert len(marks) >= total - 2  # of which two may be drawn twice


# ------------------------------------------------------------------------- one matrix, one start


@given(st.sampled_from([(1, 9), (40, 33), (33, 40), (130, 4100), (4100, 3)]), st.integers(0, 5))
@settings(max_examples=12, deadline=None)
def test_storage_changes_nothing(shape: tuple[int, int], seed: int) -> None:
    """Numbers of bf16 in every wider format, by rows or columns, as tiles, sums and multiples."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape).astype(ml_dtypes.bfloat16)
    A[rng.random(shape) < 0.1] = 0
    expected = fingerprint_of(A)
    m, n = shape[0] // 2, shape[1] // 3
    negative = A.astype(np.float32)
    negative[negative == 0] = -0.0
    wide = np.zeros((shape[0], 2 * shape[1]), np.float32)
    wide[:, ::2] = A
    high = ss.matrix(A)
    same = {
        "f32": A.astype(np.float32),
        "f64": A.astype(np.float64),
        "columns": np.asfortranarray(A),
        "columns of f32": np.asfortranarray(A.astype(np.float32)),
        "zeros of both signs": negative,
        "every other column": ss.matrix(wide)[:, ::2],
        "turned twice": ss.matrix(A).T.T,
        "tiles": ss.block([[A[:m, :n], A[:m, n:]], [A[m:, :n], A[m:, n:].astype(np.float32)]])
        if m and n
        else A,
        "a sum": high + ss.matrix(np.zeros(shape, np.float32)),
        "a multiple": 4.0 * (0.25 * high),
    }
    if shape[0] != shape[1]:
        same["transpose"] = ss.matrix(A).T
    for name, other in same.items():
        assert fingerprint_of(other) == expected, name
    for threads, rows in ((1, 7), (3, None), (2, 64)):
        assert fingerprint_of(A, num_threads=threads, panel_rows=rows) == expected
    narrow, single, double = (ss.matrix(A.astype(kind)) for kind in (A.dtype, "f4", "f8"))
    assert fingerprint_of_pair(narrow, single) == fingerprint_of_pair(double, narrow)


@given(st.sampled_from(["f64", "f32", "bf16", "f16"]), st.data())
@settings(max_examples=40, deadline=None)
def test_a_power_of_two_changes_nothing(dtype: str, data: st.DataObject) -> None:
    low, high, kind = {
        "f64": (-1074, 1015, np.float64),
        "f32": (-149, 119, np.float32),
        "bf16": (-133, 119, ml_dtypes.bfloat16),
        "f16": (-24, 7, np.float16),
    }[dtype]
    exponent = data.draw(st.one_of(st.sampled_from([low, high]), st.integers(low, high)))
    A = np.clip(np.rint(20 * np.random.default_rng(1).standard_normal((30, 21))), -127, 127)
    assert fingerprint_of(np.ldexp(A, exponent).astype(kind)) == fingerprint_of(A)
    assert fingerprint_of(ss.matrix(A) * 2.0**-300) == fingerprint_of(A)


def test_one_start_for_all_ways_to_compute(tmp_path: Path) -> None:
    """Workers, files, memory and the norm handed over: the answers of one start, to the bit."""
    A = spectrum_of(700, 90, 3)
    np.save(tmp_path / "a.npy", A)
    plain = ss.svds(A, 3, method="krylov", tol=1e-3)
    for source in (tmp_path / "a.npy", np.asfortranarray(A), ss.vstack([A[:300], A[300:]])):
        for options in ({}, {"num_threads": 2}, {"panel_rows": 33}, {"memory_limit": "1MiB"}):
            result = ss.svds(source, 3, method="krylov", tol=1e-3, **options)
            assert (result.s.tobytes(), result.errors.tobytes()) == (
                plain.s.tobytes(),
                plain.errors.tobytes(),
            )
    spread = ss.svds(tmp_path / "a.npy", 3, method="krylov", tol=1e-3, executor=Shuffling())
    np.testing.assert_allclose(spread.s, plain.s, rtol=1e-12)
    whole = ss.matrix(tmp_path / "a.npy")
    for a in (whole, whole.T):
        assert fingerprint_by_workers(a, Shuffling()) == fingerprint_of(a)


def test_seeds_differ_and_are_what_the_caller_gave() -> None:
    A = spectrum_of(60, 50, 0)
    results = [ss.randomized_svd(A, 3, passes=1, oversampling=2, seed=seed) for seed in (0, 1, 0)]
    assert [one.seed for one in results] == [0, 1, 0]
    assert results[0].s.tobytes() == results[2].s.tobytes() != results[1].s.tobytes()
    with pytest.raises(ValueError, match="fingerprint must be between"):
        unwrap(ss.randomized_svd)(A, 3, fingerprint=-1)


ORDERED: dict[str, Callable[[Any], Any]] = {
    "svds": lambda a: ss.svds(a, 5).s,
    "randomized_svd": lambda a: ss.randomized_svd(a, 5).s,
    "svdvals": lambda a: ss.svdvals(a).values,
    "low_rank": lambda a: ss.low_rank(a, 4).s,
}


@pytest.mark.parametrize("name", ORDERED)
def test_bits_are_those_of_the_order_of_storage(name: str) -> None:
    """By rows or by columns: the same numbers in other dtypes, views and shards have the bits."""
    A = np.rint(50 * np.random.default_rng(0).standard_normal((300, 200))).astype(np.float32)
    A[:, :3] *= 4
    columns = np.asfortranarray(A)
    view = np.zeros((600, 400), np.float32)
    view[::2, :200] = A
    same = {
        "rows": [A, view[::2, :200], ss.vstack([A[:111], A[111:]]), ss.matrix(A.T.copy().T.copy())],
        "columns": [columns, A.T.copy().T, ss.matrix(A.T.copy()).T],
    }
    value = ORDERED[name]
    first = {order: value(arrays[0]) for order, arrays in same.items()}
    for order, arrays in same.items():
        for other in arrays[1:]:
            np.testing.assert_array_equal(value(other), first[order], err_msg=order)
    np.testing.assert_allclose(first["rows"], first["columns"], rtol=1e-4)
