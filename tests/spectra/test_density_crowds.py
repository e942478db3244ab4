# SPDX-License-Identifier: BSD-3-Clause
"""Densities of spectra that crowd: more copies of a value, or values closer together, than probes.

A Krylov space of b probes holds b copies of a value at most, and rounding ends it before it is the
whole space. How many values a node stands for is then known from weights and traces alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.cuda_module import seeds
from tests.support.tiers import short

import sigmascope as ss
from sigmascope.spectra import Density
from sigmascope.spectra.statistics import MatrixNorms, measures_from_values

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

Array = NDArray[np.float64]
Spectra = Callable[[np.random.Generator, int, int], Array]

NAMES = (
    "nuclear_norm", "effective_rank", "effective_rank_energy", "participation_ratio",
)  # fmt: skip


def _near_the_block(rng: np.random.Generator, n: int, b: int) -> int:
    """A number of copies about as large as the block."""
    return int(np.clip(b + rng.integers(-3, 9), 1, n // 2))


def two_values(rng: np.random.Generator, n: int, b: int) -> Array:
    m = _near_the_block(rng, n, b)
    return np.r_[np.full(m, 2.0), np.full(n - m, rng.choice([1.9, 1.0, 0.5, 0.0]))]


def several_values(rng: np.random.Generator, n: int, b: int) -> Array:
    count = int(rng.integers(2, 9))
    copies = rng.multinomial(n, rng.dirichlet(np.ones(count)))
    return np.repeat(rng.uniform(0.1, 3.0, count), copies)


def nearly_flat(rng: np.random.Generator, n: int, b: int) -> Array:
    return np.asarray(1.0 + 10.0 ** rng.uniform(-9, -2) * rng.uniform(-0.5, 0.5, n))


def crowd_over_a_tail(rng: np.random.Generator, n: int, b: int) -> Array:
    m, width = _near_the_block(rng, n, b), 10.0 ** rng.uniform(-12, -2)
    tail = 0.9 * np.arange(1, n - m + 1) ** -rng.choice([0.3, 0.5, 1.0])
    return np.r_[1.0 + width * rng.uniform(-0.5, 0.5, m), tail]


def crowd_between(rng: np.random.Generator, n: int, b: int) -> Array:
    m, spikes = _near_the_block(rng, n, b), int(rng.integers(1, 5))
    return np.r_[np.linspace(4.0, 3.0, spikes), np.ones(m), np.zeros(n - m - spikes)]


def projection(rng: np.random.Generator, n: int, b: int) -> Array:
    m = int(rng.integers(1, n))
    return np.r_[np.ones(m), np.zeros(n - m)]


def equal_blocks(rng: np.random.Generator, n: int, b: int) -> Array:
    of_one = np.linalg.svd(rng.standard_normal((4, 4)), compute_uv=False)
    return np.r_[np.repeat(of_one, n // 4), np.zeros(n % 4)]


CROWDS: dict[str, Spectra] = {
    "two values": two_values,
    "several values": several_values,
    "nearly flat": nearly_flat,
    "crowd over a tail": crowd_over_a_tail,
    "crowd between": crowd_between,
    "projection": projection,
    "equal blocks": equal_blocks,
}


def missed(density: Density, A: Array) -> list[float]:
    """Return the distance of each measure from the truth, in its errors."""
    s = np.linalg.svd(A, compute_uv=False)
    truth = measures_from_values(
        s, np.zeros(len(s)), MatrixNorms(A.shape, float(np.linalg.norm(A))), k=1
    )
    results = [(getattr(density, name)(), truth[name].value) for name in NAMES]
    # LAPACK's own rounding.
    return [abs(m.value - value) / (m.error + 1e-12 * value) for m, value in results]


def hadamard(order: int) -> Array:
    H = np.ones((1, 1))
    while len(H) < order:
        H = np.block([[H, H], [H, -H]])
    return H


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(range(24), id="24 seeds"),
        pytest.param(range(80), id="80 seeds", marks=pytest.mark.slow),
    ],
)
@grid(family=list(CROWDS), dtype=[np.float32, np.float64])
def test_errors_hold_where_values_crowd(
    family: str, dtype: type[np.floating], drawn: range, device: str
) -> None:
    ratios = []
    for seed in drawn[: len(seeds(device, len(drawn)))]:
        rng = np.random.default_rng(seed)
        b, steps = int(rng.choice([4, 8, 16, 32])), int(rng.integers(2, 13))
        n = max(int(rng.choice([30, 60, 100, 150])), b + 4)
        sigma = CROWDS[family](rng, n, b)
        A = ks.prescribed(n + int(rng.choice([0, 20])), n, sigma, seed)[0].astype(dtype)
        density = ss.spectral_density(A, probes=b, passes=steps, seed=seed, device=device)
        ratios += missed(density, A.astype(np.float64))
    assert max(ratios) <= 4
    assert np.mean(np.array(ratios) <= 2) >= 0.95


@grid(n=[60, 313], width=[1e-8, 1e-6, 4e-6, 1e-5, 1e-4, 1e-2])
def test_a_space_that_rounding_ends_is_not_the_whole(n: int, width: float) -> None:
    """Blocks of noise converge like any other; a few directions of n are never found."""
    rng = np.random.default_rng(n)
    sigma = 1.0 + width * rng.uniform(-0.5, 0.5, n)
    A = ks.prescribed(n, n, sigma, 3)[0].astype(np.float32)
    for seed in range(3):
        density = ss.spectral_density(A, seed=seed)
        assert max(missed(density, A.astype(np.float64))) <= 4
        assert density.nuclear_norm().error < 1e-4 * n
        assert_allclose(density.weights.sum(), n, rtol=1e-6)


@pytest.mark.parametrize("copies", [1, 5, 16, 17, 20, 40])
@pytest.mark.parametrize("other", [1.0, 0.0])
def test_two_values_are_known_from_the_traces(copies: int, other: float, device: str) -> None:
    """n and the norm leave two multiplicities no choice, however many copies the probes miss."""
    sigma = np.r_[np.full(copies, 2.0), np.full(60 - copies, other)]
    A, _ = ks.prescribed(70, 60, sigma, copies)
    density = ss.spectral_density(A, probes=16, passes=5, device=device)
    for name in NAMES:
        result = getattr(density, name)()
        assert result.error < (1e-5 if other else 1e-3) * result.value, name
    assert max(missed(density, A)) <= 4
    assert abs(density.count_above(1.5).value - copies) <= 1e-6
    assert density.nuclear_norm().value == pytest.approx(sigma.sum(), rel=1e-6)


def test_a_step_where_rounding_has_moved_the_values() -> None:
    """The energy of a node that has moved is shared by the others: their weights are off."""
    A = ks.prescribed(200, 200, two_values(np.random.default_rng(0), 200, 60), 1)[0]
    A = A.astype(np.float32)
    s = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    middle = (s[0] ** 2 + s[-1] ** 2) / 2
    for seed in range(5):
        count = ss.spectral_density(A, seed=seed).moment(lambda x: 1.0 * (x > middle))
        assert abs(count.value - np.sum(s**2 > middle)) <= 2 * count.error < 1e-2


@pytest.mark.parametrize("shape", [(150, 150), (200, 256), (190, 200)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_a_hadamard_matrix(shape: tuple[int, int], dtype: type[np.floating]) -> None:
    A = hadamard(256)[: shape[0], : shape[1]]
    for seed in range(5):
        density = ss.spectral_density(A.astype(dtype), probes=16, passes=6, seed=seed)
        assert max(missed(density, A)) <= 4


@pytest.mark.parametrize(
    "family", short(["two values", "crowd between", "equal blocks"], list(CROWDS))
)
def test_counts_and_quantiles_hold_where_values_crowd(family: str, device: str) -> None:
    """A quantile at a gap belongs to one side or the other: its error spans the gap."""
    counts, quantiles = [], []
    for seed in seeds(device, 12):
        rng = np.random.default_rng(100 + seed)
        b, n = int(rng.choice([8, 16])), int(rng.choice([60, 120]))
        A, s = ks.prescribed(n + 10, n, CROWDS[family](rng, n, b), seed)
        density = ss.spectral_density(A, probes=b, passes=6, seed=seed, device=device)
        for fraction in (0.1, 0.5, 0.8):
            x = 1.02 * float(np.quantile(s, fraction)) + 1e-3
            count, place = density.count_above(x), density.quantile(fraction)
            counts.append(abs(count.value - np.sum(s > x)) / max(count.error, 1e-9))
            nearest = np.quantile(s, np.clip([fraction - 0.5 / n, fraction + 0.5 / n], 0, 1))
            off = max(nearest[0] - place.value, place.value - nearest[1], 0.0)
            quantiles.append(off / (place.error + 1e-7))
    for ratios in (counts, quantiles):
        assert max(ratios) <= 4
        assert np.mean(np.array(ratios) <= 2) >= 0.9


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(x, marks=pytest.mark.slow) for x in (2, 3))])
def test_every_measure_of_a_spectrum_of_few_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 520
    sigma = several_values(rng, n, 32) if seed % 2 else two_values(rng, n, 40)
    A = ks.prescribed(n, n, sigma, seed)[0].astype(np.float32)
    s = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    # Every value is cheaper, where there is memory for it.
    spectrum = ss.spectrum(A, effort="density", k=4, seed=seed, memory_limit="2MiB")
    assert spectrum["effective_rank"].basis == "density"
    truth = measures_from_values(
        s,
        np.zeros(n),
        MatrixNorms(A.shape, float(np.linalg.norm(A.astype(np.float64)))),
        k=4,
        floor=1e-6,
    )
    for name in spectrum.measures.keys() & truth.keys() - {"numerical_rank"}:
        m, value = spectrum[name], truth[name].value
        assert abs(m.value - value) <= 4 * m.error + 1e-9 * abs(value), name


def test_the_rank_above_a_gap_is_that_of_the_values_above_it() -> None:
    """A step where the count has one: 44 equal values have a rank of 44 above any gap below."""
    for seed in range(6):
        values = np.r_[np.full(44, 10.0), np.full(266, 1.2)]
        A, _ = ks.prescribed(350, 310, values, seed)
        density = ss.spectral_density(A, passes=4, probes=32, seed=seed)
        for x in (1.5, 2.8, 5.0, 9.0):
            rank, count = density.effective_rank_above(x), density.count_above(x)
            assert abs(rank.value - 44) <= rank.error < 2
            assert abs(count.value - 44) <= count.error < 2


def test_quantiles_of_equal_values_of_any_size() -> None:
    """Adding 1 to 2^119 gives the same number, so a window must not be made that way."""
    for exponent in (-300, 0, 119, 300):
        A = np.ldexp(np.eye(10)[np.random.default_rng(0).permutation(10)], exponent)
        density = ss.spectral_density(A, probes=8)
        for q in (0.25, 0.5, 0.75):
            quantile = density.quantile(q)
            assert abs(quantile.value - 2.0**exponent) <= quantile.error + 1e-12 * 2.0**exponent


def test_what_nodes_lack_of_their_values_is_in_the_errors() -> None:
    """Values next to each other, which two probes tell apart slowly, hold nearly all the energy."""
    sigma = np.r_[1.0, 0.9998, 0.9987, 0.98, 0.84, 0.44, 0.1 * 0.3 ** np.arange(29.0)]
    true = np.sum(sigma**2) ** 2 / np.sum(sigma**4)
    for seed in range(12):
        A, _ = ks.prescribed(35, 35, sigma, seed)
        for probes, passes in ((2, 5), (3, 4), (4, 3)):
            density = ss.spectral_density(A, passes=passes, probes=probes, seed=seed)
            result = density.participation_ratio()
            assert abs(result.value - true) <= 4 * result.error + 1e-12


def test_a_quantile_is_on_its_side_of_a_gap() -> None:
    """Few levels, each with more values than probes: the median is among the 180 of the first."""
    sigma = np.repeat([22.6, 16.0, 11.3, 8.0, 5.7, 2.8], [180, 76, 52, 12, 20, 6])
    for seed in range(6):
        A, _ = ks.prescribed(346, 346, sigma, seed)
        density = ss.spectral_density(A, passes=5, probes=32, seed=seed)
        for q, true in ((0.25, 11.3), (0.5, 22.6), (0.75, 22.6)):
            quantile = density.quantile(q)
            assert abs(quantile.value - true) <= 4 * quantile.error


def test_counts_in_a_nearly_flat_bulk_say_that_a_node_may_stand_for_two() -> None:
    """Values that approach an edge: 36 steps of 38 leave two directions out, and counts show it."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(20, 60))
        sigma = 0.5 * (1 + rng.uniform(0.5, 1) ** np.arange(1, n + 1)) + 1e-3 * rng.random(n)
        A = ks.prescribed(n, n, np.sort(sigma)[::-1], seed)[0].astype(np.float32)
        truth = np.linalg.svd(A.astype(np.float64), compute_uv=False)
        probes = int(rng.integers(2, 9))
        density = ss.spectral_density(A, probes=probes, passes=n // probes, seed=seed)
        between = np.sqrt(truth[1:] * truth[:-1])
        counts, errors = density.counts_above(between)
        above = np.sum(truth > between[:, None], axis=1)
        assert np.all(np.abs(counts - above) <= 4 * np.maximum(errors, 1e-9)), seed


def close_pairs(rng: np.random.Generator) -> tuple[Array, int, int]:
    """Values of which one or two pairs near the top nearly agree; few probes, and few steps."""
    ends = ((8, 40), (2, 5), (3, 7), (1, 3))
    n, probes, steps, pairs = (int(rng.integers(*each)) for each in ends)
    sigma = np.sort(rng.uniform(0, 1, n))[::-1] * np.geomspace(1, 10.0 ** -rng.uniform(0, 4), n)
    for _ in range(pairs):
        i = int(rng.integers(0, 4))
        sigma[i + 1] = sigma[i] * (1 - 10.0 ** -rng.uniform(3, 7))
    return np.sort(sigma)[::-1], probes, steps


def has_fewer_nodes_than_values(seed: int) -> bool:
    """Whether the probes of `close_pairs` of this seed cannot give one node to each value."""
    sigma, probes, steps = close_pairs(np.random.default_rng(seed))
    return probes * steps < len(sigma)


@pytest.mark.parametrize(
    "seed",
    [
        *[1026, 5078, 6573, 8174, 9550, 20382, 20428, 20886],
        *filter(has_fewer_nodes_than_values, range(30)),
        *(
            pytest.param(seed, marks=pytest.mark.slow)
            for seed in filter(has_fewer_nodes_than_values, range(30, 150))
        ),
    ],
)
def test_a_value_that_a_node_hides_is_in_the_errors(seed: int) -> None:
    """Two probes may hold so little of the second value of a pair that one node stands for both.

    The counts were then off by one with no error, and the other measures by 60 to 1600 errors.
    """
    rng = np.random.default_rng(seed)
    sigma, probes, steps = close_pairs(rng)
    n = len(sigma)
    left, right = (np.linalg.qr(rng.standard_normal(shape))[0] for shape in ((n + 5, n), (n, n)))
    A = left * sigma @ right
    truth = np.linalg.svd(A, compute_uv=False)
    density = ss.spectral_density(A, probes=probes, passes=steps, seed=seed)
    true = measures_from_values(
        truth, np.zeros(n), MatrixNorms(A.shape, float(np.linalg.norm(truth)))
    )
    measured = {
        "nuclear_norm": density.nuclear_norm(),
        "effective_rank": density.effective_rank(),
        "effective_rank_energy": density.effective_rank_energy(),
        "participation_ratio": density.participation_ratio(),
    }
    for name, measure in measured.items():
        assert abs(measure.value - true[name].value) <= 8 * measure.error, name
    cuts = np.sqrt(truth[:6] * truth[1:7])
    counts, errors = density.counts_above(cuts)
    for i in np.flatnonzero(truth[:6] > 1.01 * truth[1:7]):
        assert abs(counts[i] - (i + 1)) <= 8 * errors[i]
