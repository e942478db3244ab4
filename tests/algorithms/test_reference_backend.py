# SPDX-License-Identifier: BSD-3-Clause
"""The algorithms over a second, plain backend: they assume nothing about the CPU's."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.algorithms_library import pointer

import sigmascope as ss

CASES: list[tuple[str, Callable[[], ks.Case], int]] = [
    ("polynomial", lambda: ks.polynomial(90, 60), 10),
    ("clustered", lambda: ks.clustered(120, 100, multiplicity=40), 24),
    ("low rank", lambda: ks.low_rank(80, 60, rank=9), 14),
    ("graded", lambda: ks.graded(90, 80), 40),
    ("Gaussian", lambda: ks.gaussian(100, 100), 8),
    ("zero", lambda: ks.zero(40, 30), 4),
    ("everything", lambda: ks.gaussian(50, 30), 30),
]


@pytest.mark.parametrize(("case", "k"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.parametrize("vectors", [False, True], ids=["values", "vectors"])
def test_block_krylov_agrees(
    native: ctypes.CDLL, case: Callable[[], ks.Case], k: int, vectors: bool
) -> None:
    A, sigma = case()
    m, n = A.shape
    s, residuals, errors = np.zeros(k), np.zeros(k), np.zeros(k)
    info = (ctypes.c_int64 * 5)()
    tol, block = 1e-6, 8
    native.plain_krylov(
        pointer(np.ascontiguousarray(A)),
        *map(ctypes.c_int64, (m, n, k)),
        ctypes.c_double(tol),
        *map(ctypes.c_int64, (block, 200, 0)),
        ctypes.c_uint64(3),
        int(vectors),
        pointer(s),
        pointer(residuals),
        pointer(errors),
        info,
    )
    assert info[0] == 1
    assert np.all(np.abs(s - sigma[:k]) <= errors + 2e-14 * sigma[0])
    ours = ss.svds(A, k, tol=tol, block=block, method="krylov", vectors=vectors, seed=3)
    assert np.all(np.abs(s - ours.s) <= errors + ours.errors)
    # the same decisions, up to what another random start may change
    assert abs(info[3] - (ours.passes - (3 if vectors else 2))) <= 3
    assert ours.columns == pytest.approx(info[2], abs=3 * block)


@pytest.mark.parametrize("limit", [34, 37, 40])
def test_restart_agrees(native: ctypes.CDLL, limit: int) -> None:
    """And no basis is longer than the limit when the search ends."""
    A, sigma = ks.spiked(200, 160)
    for seed in range(4):
        k, info = 8, (ctypes.c_int64 * 5)()
        s, residuals, errors = np.zeros(k), np.zeros(k), np.zeros(k)
        native.plain_krylov(
            pointer(A),
            *map(ctypes.c_int64, (200, 160, k)),
            ctypes.c_double(1e-6),
            *map(ctypes.c_int64, (4, 300, limit)),
            ctypes.c_uint64(seed),
            1,
            pointer(s),
            pointer(residuals),
            pointer(errors),
            info,
        )
        assert info[0] == 1
        assert info[2] <= limit
        np.testing.assert_allclose(s, sigma[:k], rtol=1e-9)


def test_randomized_svd_and_gram_spectrum_agree(native: ctypes.CDLL) -> None:
    A, sigma = ks.exponential(120, 90)
    s, errors = np.zeros(12), np.zeros(12)
    native.plain_randomized_svd(
        pointer(A),
        *map(ctypes.c_int64, (120, 90, 12, 20, 3)),
        ctypes.c_uint64(1),
        pointer(s),
        pointer(errors),
    )
    ours = ss.randomized_svd(A, 12, passes=3, oversampling=8, seed=1)
    np.testing.assert_allclose(s, ours.s, rtol=1e-4)
    assert np.all(np.abs(s - sigma[:12]) <= errors)
    every = np.zeros(90)
    native.plain_gram_spectrum(pointer(A), ctypes.c_int64(120), ctypes.c_int64(90), pointer(every))
    np.testing.assert_allclose(every, ss.svdvals(A).values, atol=1e-7 * sigma[0])


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 1.5])
def test_vectors_that_do_not_reach_their_values_are_not_an_answer(
    native: ctypes.CDLL, angle: float
) -> None:
    """A fault in the eigenvectors of a projection once gave values with bounds at rounding."""
    A, sigma = ks.exponential(60, 40)
    k = 6
    s, errors = np.zeros(k), np.zeros(k)
    converged = native.plain_wrong_vectors(
        pointer(A),
        *map(ctypes.c_int64, (60, 40, k, 4)),
        ctypes.c_double(angle),
        pointer(s),
        pointer(errors),
    )
    assert np.all(np.abs(s - sigma[:k]) <= errors)
    assert bool(converged) == (angle < 1e-8)
