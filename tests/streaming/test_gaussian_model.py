# SPDX-License-Identifier: BSD-3-Clause
"""Probabilistic PCA of rows that are seen once: closed forms, and models that are not known."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.errors import ConvergenceWarning
from sigmascope.streaming import GramAccumulator, PrincipalComponents, Sketch

Array = NDArray[np.float64]


def rows(m: int = 400, n: int = 6, mean: float = 2.0, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, n)) * 2.0 ** -np.arange(n) + mean


def streamed(X: Array, k: int) -> PrincipalComponents:
    return GramAccumulator(X.shape[1], center=True).update(X).pca(k)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_likelihood_from_the_covariance(k: int) -> None:
    X, Y = rows(), rows(seed=1)
    result = streamed(X, k)
    C = result.covariance()
    np.testing.assert_allclose(result.precision() @ C, np.eye(6), atol=1e-11)
    centred = Y - X.mean(axis=0)
    distances = np.sum(centred * np.linalg.solve(C, centred.T).T, axis=1)
    expected = -0.5 * (6 * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + distances)
    np.testing.assert_allclose(result.log_likelihood(Y), expected, rtol=1e-11, atol=1e-11)


def test_eigenvalues_of_the_covariance() -> None:
    X = rows()
    variances = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    noise = variances[2:].mean()
    values = np.linalg.eigvalsh(streamed(X, 2).covariance())[::-1]
    np.testing.assert_allclose(values, [*variances[:2], *[noise] * 4], rtol=1e-11)
    np.testing.assert_allclose(streamed(X, 6).covariance(), np.cov(X.T), atol=1e-13)


def test_mean_likelihood_of_the_rows_themselves() -> None:
    """Tipping & Bishop 1999, equation 8: the trace of C^-1 S is n (rows - 1) / rows."""
    X = rows()
    for k in (1, 4, 6):
        result = streamed(X, k)
        _, log_determinant = np.linalg.slogdet(result.covariance())
        expected = -0.5 * (6 * np.log(2 * np.pi) + log_determinant + 6 * 399 / 400)
        assert result.log_likelihood(X).mean() == pytest.approx(expected, rel=1e-11)


def test_parameters_have_the_greatest_likelihood() -> None:
    """No other noise, scale of variances or direction is more likely."""
    X = rows()
    result = streamed(X, 2)
    V, variances, noise = result.components, result.explained_variance, result.noise_variance
    scale = 399 / 400  # their divisor is rows

    def mean(V: Array, along: float, orthogonal: float) -> float:
        model = replace(
            result,
            components=V,
            explained_variance=scale * variances * along,
            noise_variance=scale * noise * orthogonal,
        )
        return float(model.log_likelihood(X).mean())

    best = mean(V, 1.0, 1.0)
    third = np.linalg.svd(X - X.mean(axis=0))[2][2]
    rotated = np.array([V[0], np.cos(0.01) * V[1] + np.sin(0.01) * third])
    for other in (mean(V, 1.01, 1), mean(V, 0.99, 1), mean(V, 1, 1.01), mean(V, 1, 0.99)):
        assert other < best
    assert mean(rotated, 1.0, 1.0) < best


def test_digits_outside_the_components_are_kept() -> None:
    """The squared distance is not a difference of squares, whose error would be 1e-4 here."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3)) * [1e6, 1.0, 1.0]
    result = streamed(X, 1)
    v = result.components[0]
    with pytest.warns(ConvergenceWarning, match=r"the noise variance is .* ± .*: the precision"):
        likelihoods = result.log_likelihood(X)
    outside = np.linalg.norm(np.cross(X - result.mean, v), axis=1) ** 2
    along = ((X - result.mean) @ v) ** 2 / result.explained_variance[0]
    constant = 3 * np.log(2 * np.pi) + np.log(result.explained_variance[0])
    expected = (
        constant + 2 * np.log(result.noise_variance) + along + outside / result.noise_variance
    )
    np.testing.assert_allclose(likelihoods, -0.5 * expected, rtol=1e-8)


def test_a_noise_variance_of_five_digits_is_told() -> None:
    """The rounding of the Gram matrix is 4e-14 of the largest variance."""
    result = streamed(np.random.default_rng(0).standard_normal((300, 3)) * [1.6e4, 1.0, 1.0], 1)
    assert 2e-6 < result.noise_variance_error / result.noise_variance < 5e-5
    with pytest.warns(ConvergenceWarning, match="the noise variance is"):
        result.precision()


def test_a_sketch_tells_that_its_noise_variance_is_loose() -> None:
    X = np.random.default_rng(0).standard_normal((2000, 40)) / np.arange(1, 41)
    sketch = Sketch(40, 4, width=30, center=True).update(X).pca(4)
    exact = streamed(X, 4)
    assert 1e-6 < sketch.noise_variance_error / sketch.noise_variance < 1
    with pytest.warns(ConvergenceWarning, match="the noise variance is"):
        result = sketch.log_likelihood(X)
    off = np.abs(result.mean() - exact.log_likelihood(X).mean())
    assert off <= 36 / 2 * sketch.noise_variance_error / sketch.noise_variance
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact.precision()
        sketch.covariance()


def flat_sketch() -> PrincipalComponents:
    X = np.random.default_rng(0).standard_normal((500, 60))
    return Sketch(60, 20, width=20, center=True).update(X).pca()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: streamed(rows(4, 6), 4).precision(), r"the noise variance is 0 ± .*keep fewer"),
        (lambda: flat_sketch().precision(), "the noise variance is .*may be singular"),
        (
            lambda: streamed(np.c_[rows(), rows()[:, :1]], 7).log_likelihood(np.ones((1, 7))),
            "the variance of component 6 is .*may be singular; keep fewer components",
        ),
        (lambda: streamed(rows(mean=1e9), 2).precision(), "may be singular"),
        (lambda: streamed(rows(), 2).log_likelihood(np.ones((2, 5))), r"\(any, 6\), not \(2, 5\)"),
    ],
    ids=["few rows", "flat", "a column twice", "a large mean", "another width"],
)
def test_refusals(act: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()
