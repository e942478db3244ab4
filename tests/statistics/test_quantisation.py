# SPDX-License-Identifier: BSD-3-Clause
"""Measures of the error of a quantised matrix: closed forms, and matrices of random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from sigmascope.spectra import Measure
from sigmascope.spectra.statistics.quantisation import (
    Profile,
    direction_noise,
    effective_bits,
    error_edge,
    hurt_directions,
)


def profile_of(deviations: np.ndarray) -> Profile:
    return Profile(*(np.linalg.norm(deviations, axis=axis) for axis in (1, 0)))


def test_effective_bits_are_those_of_shannon() -> None:
    result = effective_bits(Measure(0.25, 0.25e-3, "exact"))
    assert (result.value, result.error) == (2, pytest.approx(1e-3 / np.log(2)))
    six_decibels_a_bit = Measure(10 ** (-6.020599913279624 * 3 / 20), 0.0, "exact")
    assert effective_bits(six_decibels_a_bit).value == pytest.approx(3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (192, 256)])
def test_the_edge_of_even_noise_is_that_of_marchenko_and_pastur(shape: tuple[int, int]) -> None:
    m, n = shape
    edge = error_edge(Profile.even(shape), 2 * np.sqrt(m * n))
    assert edge == pytest.approx(2 * (np.sqrt(m) + np.sqrt(n)), rel=1e-9)


@pytest.mark.parametrize("spread", [0.1, 0.2])
def test_the_edge_of_uneven_noise_is_that_of_a_large_matrix(spread: float) -> None:
    rng = np.random.default_rng(0)
    rows, columns = (np.exp(spread * rng.uniform(-3, 3, size)) for size in (600, 800))
    deviations = rows[:, None] * columns
    size = float(np.linalg.norm(deviations))
    largest = np.linalg.norm(deviations * rng.standard_normal(deviations.shape), 2)
    assert error_edge(profile_of(deviations), size) == pytest.approx(largest, rel=0.03)
    assert error_edge(profile_of(deviations), 3 * size) == pytest.approx(3 * largest, rel=0.03)


def test_noise_along_a_direction_is_weighed_by_columns() -> None:
    deviations = np.array([[1.0, 2.0], [3.0, 0.0]])
    V = np.array([[1.0, 0.6], [0.0, 0.8]])
    wanted = np.sqrt([10.0, 0.36 * 10 + 0.64 * 4])
    size = float(np.linalg.norm(deviations))
    assert direction_noise(profile_of(deviations), size, V) == pytest.approx(wanted)
    assert direction_noise(Profile(np.zeros(2), np.zeros(2)), 1.0, V).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("rows", "least"), [(10_000, 1.25), (50, 1.5)])
def test_a_hurt_direction_is_beyond_size_and_chance(rows: int, least: float) -> None:
    profile = Profile.even((rows, 100))
    errors = np.array([least + 0.01, least - 0.01, 0.0, 9.0])
    assert hurt_directions(errors, np.ones(4), profile) == [1, 4]
    uneven = Profile(np.append(100.0, np.ones(rows - 1)), np.ones(100))
    assert hurt_directions(errors, np.ones(4), uneven) == [4]


def test_without_noise_nothing_is_hurt() -> None:
    nothing = Profile(np.zeros(3), np.zeros(4))
    assert error_edge(nothing, 1.0) == 0
    assert hurt_directions(np.zeros(2), np.zeros(2), nothing) == []
    errors, noise = np.array([0.0, 2.0]), np.array([0.0, 1.0])
    assert hurt_directions(errors, noise, Profile.even((10_000, 100))) == [2]
