# SPDX-License-Identifier: BSD-3-Clause
"""The promise of the noise edge: of noise alone, at most one matrix in a hundred is above it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from tests.support.coverings import grid
from tests.support.noises import NOISES, planted

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning


def most_of(trials: int, share: float = 0.01, chance: float = 1e-3) -> int:
    """The count that a binomial variable exceeds with no more than this probability."""
    count, below = 0, 0.0
    while True:
        below += math.comb(trials, count) * share**count * (1 - share) ** (trials - count)
        if 1.0 - below <= chance:
            return count
        count += 1


def significant(A, **options):
    """The number of values above noise at 1 %, 0 where the spectrum has no edge, with its note."""
    return significant_of(ss.spectrum(A, effort="exact", **options))


def significant_of(spectrum):
    """The same of a spectrum that is known."""
    if "mp_outliers" in spectrum:
        return max(int(spectrum["mp_outliers"].value - spectrum["mp_outliers"].error), 0)
    assert not {"mp_edge", "mp_softrank", "effective_rank_above_edge"} & set(spectrum)
    assert any("noise edge" in note for note in spectrum.notes) or "shoulder_200" not in spectrum
    return 0


@grid(name=list(NOISES), shape=[(24, 32), (128, 96), (64, 320)])
def test_noise_has_no_significant_value(name, shape):
    seeds = 40 if min(shape) < 64 else 16
    count = 0
    for seed in range(seeds):
        A = NOISES[name](np.random.default_rng([seed, 41]), *shape)
        count += significant(A) > 0
    assert count <= most_of(seeds)


@pytest.mark.parametrize(
    "shape",
    [
        (24, 24),
        *(
            pytest.param(shape, marks=pytest.mark.slow)
            for shape in ((12, 200), (12, 12), (32, 32), (60, 50))
        ),
    ],
    ids=str,
)
def test_even_noise_is_significant_in_one_matrix_of_a_hundred_at_most(shape):
    """Nearly square shapes too, and where norms of rows and entries are not known."""
    seeds, counts, undefined = 600, [0, 0], 0
    for seed in range(seeds):
        A = np.random.default_rng([seed, 42]).standard_normal(shape)
        for i, elements in enumerate((True, False)):
            spectrum = ss.spectrum(A, effort="exact", elements=elements)
            counts[i] += significant_of(spectrum) > 0
            undefined += elements and "mp_outliers" not in spectrum
    assert max(counts) <= most_of(seeds)
    assert undefined <= most_of(seeds, 1e-3)


EVEN = [
    "Gaussian",
    "signs",
    "uniform",
    "rows by exp(.1 z)",
    "AR(1) .1 along rows",
    "AR(1) .1 along columns",
    "AR(1) .3 along rows",
    "AR(1) .3 along columns",
    "Laplace",
    "Student 5",
    "10 % of the entries",
    "bfloat16 rounding",
    "int4 rounding",
    "4-bit blocks",
    "bfloat16 pair",
    "Adam-like",
]
"""Noises in which directions of three times the edge have to be counted."""


@grid(name=list(NOISES), directions={"four": (4, 3.0), "sixteen": (16, 5.0)})
def test_strong_directions_in_noise_are_counted_or_the_edge_is_absent(name, directions):
    rank, strength = directions
    for seed in range(5):
        rng = np.random.default_rng([seed, 43])
        A = planted(NOISES[name](rng, 120, 160), rank, strength, rng)
        spectrum = ss.spectrum(A, effort="exact")
        outliers = spectrum.get("mp_outliers")
        if outliers is None:
            assert name not in EVEN
            assert significant(A) == 0
        else:
            assert outliers.value - outliers.error <= rank <= outliers.value + outliers.error


@pytest.mark.parametrize("name", NOISES)
def test_an_approximation_to_the_edge_has_the_planted_rank(name):
    rng = np.random.default_rng(44)
    noise = NOISES[name](rng, 120, 160)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert ss.low_rank(noise, "edge").rank == 0
        near = ss.low_rank(planted(noise, 6, 6.0, rng), "edge")
    assert near.rank in ({6} if name in EVEN else {0, 6})
    assert near.met is (near.rank == 6)


def test_a_density_has_the_same_promise():
    """Shapes for which a density costs less than all values."""
    shape, rank = (700, 900), 16
    for seed, name in enumerate(
        ("Gaussian", "rows by exp(.3 z)", "Student 3", "AR(1) .3 along rows")
    ):
        rng = np.random.default_rng([seed, 45])
        noise = NOISES[name](rng, *shape)
        for A, ranks in ((noise, {0}), (planted(noise, rank, 4.0, rng), {0, rank})):
            spectrum = ss.spectrum(A, effort="density")
            outliers = spectrum.get("mp_outliers")
            count = 0 if outliers is None else max(int(outliers.value - outliers.error), 0)
            assert count in ranks
            assert count or name != "Gaussian" or A is noise


def test_a_warning_says_that_the_criterion_does_not_apply():
    decaying = np.diag(np.exp(-0.02 * np.arange(200.0)))
    with pytest.warns(ConvergenceWarning, match="no noise edge.*Give a rank, energy or error"):
        near = ss.low_rank(decaying, "edge")
    assert (near.rank, near.met) == (0, False)


def test_values_far_above_a_noise_that_is_not_resolved_are_counted():
    """Eight directions of 0.3 over the float32 rounding of weights with rows of unlike sizes."""
    rng = np.random.default_rng(46)
    base = (0.05 * NOISES["rows by exp(.3 z)"](rng, 200, 240)).astype(np.float32)
    product = 0.02 * rng.standard_normal((200, 8)) @ rng.standard_normal((8, 240)) * 0.04
    merged = (base + product).astype(np.float32)
    near = ss.low_rank(ss.matrix(merged) - ss.matrix(base), "edge")
    assert (near.rank, near.met) == (8, True)
    assert "8 values far above a remainder" in near.notes[0]


def test_directions_far_above_even_noise_are_among_the_outliers() -> None:
    """Ten decades apart, so that the noise is seen without them alone."""
    rng = np.random.default_rng(48)
    A = rng.standard_normal((200, 8)) @ rng.standard_normal((8, 240))
    near = ss.low_rank(A + 1e-10 * rng.standard_normal(A.shape), "edge")
    assert (near.rank, near.met) == (8, True)
    assert "8 values far above a remainder" in near.notes[0]
    assert near.outliers is not None
    assert 8 <= near.outliers.value <= 8 + 4  # noise may exceed its edge


def test_large_rows_columns_and_entries_do_not_count_as_directions():
    rng = np.random.default_rng(47)
    for change in ("row", "column", "entry"):
        A = rng.standard_normal((100, 120))
        if change == "row":
            A[7] *= 4.0
        elif change == "column":
            A[:, 7] *= 4.0
        else:
            A[7, 7] = 40.0
        assert significant(A) == 0
        assert significant(A, elements=False) == 1  # not to be told from a direction


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in range(1, 6))]
)
def test_bulks_whose_median_is_zero(first: int) -> None:
    """The values above the bulk left out, most of the others of a very sparse matrix are zero."""
    for seed in range(first, 60, 6):
        rng = np.random.default_rng(seed)
        for shape in ((24, 24), (48, 48), (12, 40)):
            for share in (0.01, 0.03, 0.1):
                A = rng.standard_normal(shape) * (rng.random(shape) < share)
                for effort in ("exact", "top", "density"):
                    count = ss.spectrum(A, effort=effort, k=4).get("mp_outliers")
                    assert count is None or count.value >= 0
