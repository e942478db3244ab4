# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the errors of an accumulator, in a case where no other term hides it.

The rows are small integers about an integer mean, so that every number is known exactly.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.streaming import GramAccumulator, PrincipalComponents, Sketch

Array = NDArray[np.float64]

SUMS = 2e-14
"""Relative error that a sum of products of one sign is said to have at most."""


def crossed(*sizes: float, mean: float = 0.0, repeats: int = 8) -> Array:
    """Return rows of two entries +-size in every column, with the given mean."""
    signs = np.kron(np.eye(len(sizes)), [[1.0], [-1.0]])
    return np.tile(signs * np.array(sizes), (repeats, 1)) + mean


def components_of(X: Array, k: int | None = None) -> PrincipalComponents:
    return GramAccumulator(X.shape[1], center=True).update(X).pca(k)


def test_a_variance_may_be_off_by_the_sums_and_by_the_eigenvalue() -> None:
    """Without means, the total has the error of sums alone, each variance twice as much."""
    components = components_of(crossed(2, 1))
    of_total = components.total_variance_error / components.total_variance
    assert SUMS <= of_total <= 1.1 * SUMS
    of_largest = components.explained_variance_errors[0] / components.explained_variance[0]
    assert 1.9 * SUMS <= of_largest <= 2.2 * SUMS


def test_a_residual_has_the_error_of_the_gram_matrix_twice() -> None:
    """It moves A^T A v, and the norm of A v, by which that is divided; the pairs are exact."""
    result = GramAccumulator(3).update(crossed(4, 2, 1)).svd(3)
    of_gram = SUMS * result.s[0] ** 2
    np.testing.assert_allclose(result.residuals * result.s / of_gram, 2.0, rtol=1e-3)


def test_means_enlarge_the_error_of_the_total_by_three_errors_of_their_sum() -> None:
    """Squares of the rows and of the means have nearly the same sum; the former err once."""
    X = crossed(2, 1, mean=1000.0)
    components = components_of(X)
    of_means = len(X) * 2 * 1000.0**2
    error = components.total_variance_error * (len(X) - 1)
    assert 3.9 * SUMS <= error / of_means <= 4.2 * SUMS


def test_a_singular_value_may_be_as_small_as_its_variance() -> None:
    """The side below is the wider one, since the root is steeper there."""
    X = crossed(2, 1, mean=1e6)
    components = components_of(X)
    variances, errors = components.explained_variance, components.explained_variance_errors
    assert np.all((errors / variances > 0.05) & (errors / variances < 0.9))
    lowest = np.maximum(components.singular_values - components.singular_values_errors, 0.0) ** 2
    np.testing.assert_allclose(lowest, (variances - errors) * (len(X) - 1))


def test_the_noise_may_be_off_by_the_total_and_by_every_component() -> None:
    """Its variance is what the components leave of the total, divided among the rest."""
    components = components_of(crossed(4, 3, 2, 1), 2)
    most = components.total_variance_error + components.explained_variance_errors.sum()
    assert components.noise_variance_error == pytest.approx(most / 2, rel=1e-9, abs=0)


def test_a_share_may_be_off_by_the_component_and_by_the_total() -> None:
    """Both errors are relative to the total."""
    components = components_of(crossed(1, 1), 1)
    error, total = components.explained_variance_errors[0], components.total_variance
    most = (
        error + components.explained_variance_ratio[0] * components.total_variance_error
    ) / total
    assert components.explained_variance_ratio_errors[0] == pytest.approx(most, rel=1e-9, abs=0)


def test_a_mean_may_be_off_by_its_sum_and_by_the_shift() -> None:
    """Without a shift the sum decides; with rows that equal the shift, its rounding does."""
    X = crossed(2, 1)
    of_sum = components_of(X).mean_errors
    assert np.all(of_sum >= SUMS * np.sqrt(np.mean(X**2, axis=0)))
    assert np.all(of_sum <= 3 * SUMS)
    shifted = GramAccumulator(2, center=[1e6, 1e6]).update(crossed(2**-20, 2**-21, mean=1e6))
    of_shift = shifted.pca().mean_errors
    assert np.all((of_shift >= 2.0**-52 * 1e6) & (of_shift <= 2.0**-51 * 1e6))


def test_a_component_may_turn_towards_its_nearest_neighbour() -> None:
    """The second of 100, 99 and 1 is nearest to the first; both neighbours may be nearer."""
    X = crossed(10, np.sqrt(99.0), 1, mean=7e5)
    components = components_of(X, 2)
    variances, error = components.explained_variance, components.explained_variance_errors[0]
    gap = variances[0] - variances[1]
    assert 0.1 < error / gap < 0.6
    np.testing.assert_allclose(components.components_errors, error / (gap - error), rtol=1e-6)


def sketch_of(X: Array) -> Sketch:
    """Return the sketch of rows whose rank it exceeds, so that it misses nothing."""
    return Sketch(X.shape[1], 4, center=True).update(X)


def with_zeros(X: Array) -> Array:
    """Append columns of zeros, less the mean, so that a sketch is smaller than the rows."""
    return np.hstack([X, np.zeros((len(X), 38))])


def test_a_sketch_resolves_a_millionth_of_the_norm() -> None:
    """It misses nothing of two columns, so that its own rounding remains."""
    svd = sketch_of(with_zeros(crossed(2, 1))).svd()
    for errors in (svd.residuals, svd.errors):
        assert np.all(errors >= 1e-6 * svd.fro_norm)
    assert np.all(svd.residuals <= 1.5e-6 * svd.fro_norm)
    assert np.all(svd.errors[:2] <= 1.5e-6 * svd.fro_norm)


@pytest.mark.parametrize(("mean", "least"), [(0.0, 1e-12), (1000.0, 4e-14 * 2 * 1000.0**2 / 2.5)])
def test_components_of_a_sketch_err_by_its_rounding_and_by_the_means(
    mean: float, least: float
) -> None:
    """The trace is 2.5 per row; `least` is relative to it."""
    X = with_zeros(crossed(2, 1, mean=mean))
    pca = sketch_of(X).pca(2)
    most = 20 * least
    share = pca.explained_variance_errors / pca.total_variance
    assert np.all((share >= least) & (share <= most)), share


@pytest.mark.parametrize("mean", [1e3, 1e4])
def test_rounding_of_a_sketch_is_that_of_the_rows_with_their_means(mean: float) -> None:
    """Test vectors of some seeds are nearly dependent, and enlarge the rounding of their images."""
    deviations = (6, 5, 4, 3, 2, 1)
    X = crossed(*deviations, mean=mean)
    variances = 2 * 8 * np.square(deviations) / (len(X) - 1)
    for seed in range(100):
        pca = Sketch(6, 6, seed=seed, center=True).update(X).pca()
        off = np.abs(pca.explained_variance - variances)
        assert np.all(off <= pca.explained_variance_errors), seed
