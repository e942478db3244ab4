# SPDX-License-Identifier: BSD-3-Clause
"""Fast Gram matrices of structured matrices, where the same products repeat and round alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

Array = NDArray[np.float64]
Structure = Callable[[np.random.Generator, Array, Array], Array]

ROWS, COLUMNS = 700, 560


def toeplitz(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray((1.0 + np.abs(i - j)) ** -rng.choice([0.5, 1.0, 2.0]))


def toeplitz_of_noise(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.standard_normal(ROWS + COLUMNS)[(i - j + COLUMNS).astype(int)])


def exponential(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(np.exp(-np.abs(i - j) * rng.choice([0.05, 0.1, 0.5])))


def hankel(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.standard_normal(ROWS + COLUMNS)[(i + j).astype(int)])


def circulant(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.standard_normal(COLUMNS)[((j - i) % COLUMNS).astype(int)])


def few_values(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.choice(rng.uniform(-1, 1, 4), (ROWS, COLUMNS)))


def two_values(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.uniform(0.1, 1.0) * rng.integers(0, 2, (ROWS, COLUMNS)))


def cosines(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(np.cos(np.pi * (i + 0.5) * j / ROWS))


def repeated_rows(rng: np.random.Generator, i: Array, j: Array) -> Array:
    rows = rng.standard_normal((16, COLUMNS))[rng.integers(0, 16, ROWS)]
    return np.asarray(rows * rng.choice([1.0, -1.0, 2.0], (ROWS, 1)))


def integers(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.asarray(rng.integers(-128, 128, (ROWS, COLUMNS)).astype(np.float64))


def an_outlier(rng: np.random.Generator, i: Array, j: Array) -> Array:
    A = rng.standard_normal((ROWS, COLUMNS))
    A[3, 5] = 1e4
    return A


def kronecker(rng: np.random.Generator, i: Array, j: Array) -> Array:
    return np.kron(rng.standard_normal((7, 7)), rng.standard_normal((100, 80)))


STRUCTURES: dict[str, Structure] = {
    f.__name__: f
    for f in (
        toeplitz, toeplitz_of_noise, exponential, hankel, circulant, few_values, two_values,
        cosines, repeated_rows, integers, an_outlier, kronecker,
    )
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_fast_values_of_structured_matrices_are_within_their_errors(name: str, seed: int) -> None:
    i, j = np.arange(ROWS)[:, None], np.arange(COLUMNS)[None, :]
    A = STRUCTURES[name](np.random.default_rng(seed), i, j).astype(np.float32)
    exact = A.astype(np.float64)
    lambdas = np.linalg.eigvalsh(exact.T @ exact)[::-1]
    sigma = np.sqrt(np.maximum(lambdas, 0.0))
    result = ss.svdvals(A, accuracy="fast")
    # The reference has the errors of a Gram matrix too.
    slack = np.minimum(1e-14 * lambdas[0] / np.maximum(sigma, 1e-300), 1.5e-7 * sigma[0])
    assert np.all(np.abs(result.values - sigma) <= result.errors + slack)


def test_what_errs_alike_is_charged_and_noise_is_not() -> None:
    """The error of an eigenvalue near that of one element, where errors are independent."""
    i, j = np.arange(ROWS)[:, None], np.arange(COLUMNS)[None, :]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((ROWS, COLUMNS))
    alike = 1.0 / (1.0 + np.abs(i - j)) ** 2
    bounds = []
    for A in (noise, alike):
        result = ss.svdvals(A.astype(np.float32), accuracy="fast")
        assert (result.precision, result.passes) == ("float32", 3)
        bounds.append(result.errors[:9] * result.values[:9] / float(np.sum(A**2)) * COLUMNS)
    assert np.all(bounds[0] < 3e-6)
    assert np.all(bounds[1] > bounds[0] / 4)


def test_rows_of_one_norm_are_charged_together() -> None:
    """Twenty rows may be copies that round alike; a thousandth apart, each has its own error."""
    rng = np.random.default_rng(0)
    few = rng.standard_normal((ROWS // 20, COLUMNS))
    few /= np.linalg.norm(few, axis=1)[:, None]
    copies = np.repeat(few, 20, axis=0)
    apart = copies * (1.0 + 1e-3 * rng.random((ROWS, 1)))
    ones, many = (ss.svdvals(A.astype(np.float32), accuracy="fast") for A in (copies, apart))
    assert ones.precision == many.precision == "float32"
    assert np.all(ones.errors[:30] > np.sqrt(20) * many.errors[:30])
