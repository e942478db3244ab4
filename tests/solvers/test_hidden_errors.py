# SPDX-License-Identifier: BSD-3-Clause
"""Errors that averages, norms and bases hide: of one direction, of a norm, and of a value of 0."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.known_products import assert_true, inexact

import sigmascope as ss

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")


def by_name(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize(
    "shape",
    [(65, 65), (131, 31), pytest.param((305, 305), marks=pytest.mark.unsanitized)],
    ids=by_name,
)
@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_every_value_of_a_singular_matrix_is_right_to_rounding(
    shape: tuple[int, int], block: int
) -> None:
    """A basis of all columns hides a value of 0 in a product whose columns have similar norms."""
    m, n = shape
    array, j = np.zeros(shape), np.arange(n)
    array[j[:-1], j[1:]] = m - j[1:]
    below = j[: min(m - 1, n)]
    array[below + 1, below] = below + 1.0  # an odd order: the last value is 0
    truth = np.linalg.svd(array, compute_uv=False)
    for source in (sparse.csr_array(array), array):
        for seed in (0, 1):
            result = ss.svds(
                source, n, block=block, seed=seed, method="krylov", max_passes=400, tol=1e-9
            )
            assert result.converged
            assert np.abs(result.s - truth).max() <= 192 * 2.0**-53 * truth[0]
            assert_true(result, array)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 400), (300, 400), (400, 300)], ids=by_name)
@pytest.mark.parametrize(
    ("size", "unit"), [(1e-11, 1.0), (1e-7, 2.0**60)], ids=["ordinary", "times 2^60"]
)
@pytest.mark.filterwarnings("ignore::sigmascope.errors.ConvergenceWarning")
def test_an_adjoint_that_is_wrong_in_one_direction_is_noticed(
    shape: tuple[int, int], size: float, unit: float
) -> None:
    """Averages over random vectors hide an error that one singular vector alone has."""
    rng = np.random.default_rng(3)
    array = rng.standard_normal(shape) * unit
    U, s, Vt = np.linalg.svd(array, full_matrices=False)
    k = min(3, *shape)
    outside = rng.standard_normal(shape[1])
    outside -= Vt.T @ (Vt @ outside) * (shape[1] > shape[0])
    for hidden in (outside, Vt[-1]):
        wrong = np.outer(hidden / np.linalg.norm(hidden), U[:, k - 1]) * (size * s[0])
        operator = linalg.LinearOperator(
            shape,
            matvec=lambda x: array @ x,
            rmatvec=lambda y, wrong=wrong: array.T @ y + wrong @ y,
            dtype=np.float64,
        )
        for result in (ss.svds(operator, k, tol=1e-9), ss.randomized_svd(operator, k)):
            assert_true(result, array)


@pytest.mark.parametrize("shape", [(60, 50), (50, 60), (1, 9)])
def test_errors_of_products_do_not_contradict_the_norm(shape: tuple[int, int]) -> None:
    """The norm that they raise is a bound: nothing that a space lacks follows from it."""
    array = np.outer(np.arange(1.0, shape[0] + 1), np.arange(1.0, shape[1] + 1)) / 7
    for kind, size in (("products in float32", 0.0), ("another adjoint", 1e-6)):
        single = array.astype(np.float32) if kind == "products in float32" else array
        result = ss.randomized_svd(inexact(kind, array, size), 1)
        assert not any("contradicts" in note for note in result.notes)
        assert result.errors[0] <= 1e-3 * result.s[0]
        np.testing.assert_allclose(result.fro_norm, np.linalg.norm(single), rtol=1e-6)
