# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of values and triplets, where no other hides it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.known_products import inexact

import sigmascope as ss
from sigmascope.matrices.products.operators import OperatorProducts

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

Array = NDArray[np.float64]


def test_values_near_the_floor_of_a_gram_matrix_may_be_smaller_by_more_than_larger() -> None:
    """The root of sigma^2 - d is further from sigma than that of sigma^2 + d."""
    rng = np.random.default_rng(0)
    s = np.concatenate([np.geomspace(1.0, 1e-6, 20), np.linspace(4e-7, 1.5e-7, 20)])
    U, V = (np.linalg.qr(rng.standard_normal((n, 40)))[0] for n in (80, 40))
    computed = ss.svdvals((U * s) @ V.T, accuracy="fast")
    sigma, e = computed.values, computed.errors
    d = sigma[10] ** 2 - (sigma[10] - e[10]) ** 2
    near = (sigma**2 > 1.01 * d) & (sigma**2 < 3 * d)
    assert near.sum() > 5
    low = sigma[near] - np.sqrt(sigma[near] ** 2 - d)
    assert np.all(e[near] >= 0.99 * low)
    assert np.all(e[near] <= 1.01 * low)


def test_triplets_of_a_sparse_matrix_have_the_rounding_of_its_longest_sums() -> None:
    """A sum of 400 ones is said to lose 400 units: nine times what a dense search would say."""
    n = 400
    ones = np.ones((n, n))
    rounding = n * 2.0**-53 * n
    result = ss.svds(sparse.csr_array(ones), 1, method="krylov")
    dense = ss.svds(ones, 1, method="krylov")
    for term, own in (
        (result.residuals[0], dense.residuals[0]),
        (result.errors[0], dense.errors[0]),
    ):
        assert own < 0.6 * rounding
        assert rounding <= term <= 2 * rounding


@pytest.mark.filterwarnings("ignore::sigmascope.errors.ConvergenceWarning")
def test_triplets_of_an_operator_have_the_relative_error_of_its_products() -> None:
    """Products in float32 are off by 2^-24, and the errors by 96 times that."""
    array = np.outer(np.arange(1.0, 13), np.arange(1.0, 13)) / 7
    result = ss.svds(inexact("products in float32", array), 1, tol=1e-9)
    for term in (result.residuals[0], result.errors[0]):
        assert 96 * 2.0**-24 <= term / result.s[0] <= 1.1 * 96 * 2.0**-23


def test_the_norm_of_an_operator_is_above_what_its_products_lose() -> None:
    """Products that are cut to float32 lose nearly a unit of every entry."""
    array = np.full((12, 12), 1.0 + 0.9 * 2.0**-23)

    def cut(x: Array) -> Array:
        rounded = x.astype(np.float32)
        above = np.abs(rounded) > np.abs(x)
        return np.where(above, np.nextafter(rounded, np.float32(0)), rounded).astype(np.float64)

    operator = linalg.LinearOperator(
        array.shape,
        matvec=lambda x: cut(array @ x),
        rmatvec=lambda y: cut(array.T @ y),
        dtype=np.float64,
    )
    evidence = OperatorProducts(operator).evidence("float64")
    assert evidence.norm_is_bound
    true = float(np.sum(array**2)) / 4.0**evidence.exponent
    assert (evidence.fro_norm / 2.0**evidence.exponent) ** 2 < true * (1 - 2.0**-23)
    assert true <= evidence.fro2 <= true * (1 + 2.0**-19)
