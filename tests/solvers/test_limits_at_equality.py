# SPDX-License-Identifier: BSD-3-Clause
"""Limits at which solvers choose another route, exactly at their values and next to them."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

import sigmascope as ss

FULL, GRAM = "full decomposition", "Gram matrix"


@pytest.mark.parametrize(
    ("n", "k", "method"),
    [
        pytest.param(200, 50, GRAM, id="a quarter of a small order"),
        pytest.param(200, 51, FULL, id="more than a quarter of a small order"),
        pytest.param(255, 64, FULL, id="the largest small order"),
        pytest.param(256, 65, GRAM, id="the least large order"),
        pytest.param(258, 85, GRAM, id="less than a third of a large order"),
        pytest.param(258, 86, FULL, id="a third of a large order"),
    ],
)
def test_many_values_are_those_of_a_decomposition_of_the_matrix(
    n: int, k: int, method: str
) -> None:
    A = np.random.default_rng(n).standard_normal((n + 20, n))
    assert ss.svds(A, k, method="gram").method == method


@pytest.mark.parametrize(("largest", "method"), [(40, FULL), (39, GRAM)])
def test_an_order_that_lapack_cannot_count_is_not_decomposed(
    largest: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest order, 8 GiB of numbers in fact, is here that of the matrix, or one less."""
    monkeypatch.setattr("sigmascope.solvers.gram._core.LARGEST_SVD", largest)
    A = np.random.default_rng(1).standard_normal((60, 40))
    assert ss.svds(A, 30, method="gram").method == method


@pytest.mark.parametrize(("k", "passes"), [(29, 5), (30, 3)])
def test_a_tenth_of_the_values_are_many(k: int, passes: int) -> None:
    """From there on, three passes are the default for as much accuracy as five have for fewer."""
    A = np.random.default_rng(2).standard_normal((300, 300))
    default = ss.randomized_svd(A, k)
    for others in (3, 5):
        same = np.array_equal(default.s, ss.randomized_svd(A, k, passes=others).s)
        assert same == (others == passes)


@pytest.mark.parametrize(
    ("dtype", "floor"), [(np.float64, 192 * 2.0**-53), (np.float32, 96 * 2.0**-24)]
)
def test_a_tolerance_at_the_floor_is_not_below_it(dtype: type, floor: float) -> None:
    A = np.random.default_rng(3).standard_normal((60, 40)).astype(dtype)
    for tol, below in ((floor, False), (math.nextafter(floor, 0.0), True)):
        notes = " ".join(ss.svds(A, 3, tol=tol, method="krylov").notes)
        assert ("is below the floor" in notes) == below


@pytest.mark.parametrize("k", [8, 24])
def test_a_tolerance_that_the_space_just_meets_takes_no_further_steps(k: int) -> None:
    """The products of the read-out must not add what makes a residual miss the tolerance."""
    rng = np.random.default_rng(0)
    m, n, spikes = 1500, 1200, 30
    left, right = (np.linalg.qr(rng.standard_normal((rows, spikes)))[0] for rows in (m, n))
    sizes = np.linspace(4.0, 1.2, spikes) * (math.sqrt(m) + math.sqrt(n))
    A = (rng.standard_normal((m, n)) + (left * sizes) @ right.T).astype(ml_dtypes.bfloat16)
    first = ss.svds(A, k, tol=1e-3, precision="split")
    residual = float(first.residuals.max() / first.s[0])
    results = [
        ss.svds(A, k, tol=residual * share, precision="split")
        for share in np.linspace(0.9, 1.02, 13)
    ]
    assert all(result.converged for result in results)
    passes = [result.passes for result in results]
    assert passes == sorted(passes, reverse=True)
    assert passes[-1] <= first.passes + 1
