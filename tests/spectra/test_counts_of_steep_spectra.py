# SPDX-License-Identifier: BSD-3-Clause
"""Counts and quantiles of spectra that a quadrature does not resolve, and of those that it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tests.support.coverings import grid

import sigmascope as ss

N = 200
_i = np.arange(1.0, N + 1)
STEEP = {
    "i^-1": 1 / _i,
    "i^-1.5": _i**-1.5,
    "i^-2": _i**-2,
    "exponential": np.exp(-_i / 12),
    "geometric": np.geomspace(1.0, 1e-6, N),
    "cluster at the edge": np.r_[
        np.ones(30), np.linspace(0.999, 0.99, 30), np.linspace(0.5, 0, 140)
    ],
    "copies at the edge": np.r_[np.ones(40), np.linspace(0.99, 0, 160)],
    "cluster inside": np.r_[np.linspace(1, 0.6, 60), np.full(60, 0.55), np.linspace(0.5, 0.1, 80)],
    "two values": np.r_[np.ones(80), np.full(120, 0.1)],
    "rank 30": np.r_[np.linspace(1, 0.3, 30), np.zeros(170)],
}
FLAT = {
    "linear": np.linspace(1, 0, N),
    "narrow": np.linspace(1, 0.5, N),
    "Gaussian": np.linalg.svd(np.random.default_rng(3).standard_normal((N, N)), compute_uv=False),
}
SETTINGS = ((12, 16), (6, 16), (4, 8), (15, 8))


class Estimate(NamedTuple):
    """A count or a quantile, its error and the truth."""

    value: float
    error: float
    true: float

    @property
    def errors(self) -> float:
        """Distance from the truth, in errors."""
        return abs(self.value - self.true) / max(self.error, 1e-12)


def matrix_of(sigma: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(12)
    U, V = (np.linalg.qr(rng.standard_normal((N, N)))[0] for _ in range(2))
    return np.asarray((U * sigma) @ V.T, np.float32)


def estimates(A: np.ndarray, kind: str, passes: int, probes: int) -> Iterator[Estimate]:
    """Yield counts above, or quantiles, at places all over the spectrum, for three seeds."""
    true = np.linalg.svd(A.astype(float), compute_uv=False)
    middle = float(np.median(true))
    cuts = [x * middle for x in (0.1, 0.5, 1.0, 3.0)] + [x * true[0] for x in (1e-5, 1e-3, 0.1)]
    cuts += [(true[i - 1] + true[i]) / 2 for i in (5, 20, 39, 40, 60, 100, 140, 180)]
    shares = np.array([0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
    for seed in range(3):
        density = ss.spectral_density(A, passes=passes, probes=probes, seed=seed)
        if kind == "counts":
            values, errors = density.counts_above(np.array(cuts))
            truths = [float(np.sum(true > cut)) for cut in cuts]
        else:
            values, errors = density.quantiles(shares)
            truths = np.quantile(true, shares).tolist()
        yield from map(Estimate, values.tolist(), errors.tolist(), truths)


@grid(kind=["counts", "quantiles"], name=list(STEEP))
def test_no_truth_is_beyond_four_errors(name: str, kind: str) -> None:
    """Among nodes that are not resolved, in clusters and below what float32 sees, too."""
    A = matrix_of(STEEP[name])
    every = [e for setting in SETTINGS for e in estimates(A, kind, *setting)]
    worst = max(every, key=lambda e: e.errors)
    assert worst.errors <= 4.0, worst
    assert np.mean([e.errors <= 2.0 for e in every]) >= 0.93


@grid(setting=SETTINGS, name=list(FLAT))
def test_errors_of_flat_spectra_are_a_quarter_of_a_stair(
    name: str, setting: tuple[int, int]
) -> None:
    """A stair stands for N / passes values. Chance adds up to a fifth of N / probes."""
    passes, probes = setting
    every = list(estimates(matrix_of(FLAT[name]), "counts", passes, probes))
    inside = [e.error for e in every if 10 < e.true < N - 10]
    assert np.median(inside) <= max(N / passes / 4, N / probes / 5)


def test_values_below_the_resolution_may_lie_anywhere_below_it() -> None:
    """float32 resolves 4e-4 of the largest value: a rank and a steep decay are not told apart."""
    for name in ("rank 30", "i^-2"):
        density = ss.spectral_density(matrix_of(STEEP[name]), passes=12, probes=16)
        count = density.count_above(1e-6)
        assert count.value - 2 * count.error <= 30
        assert count.value + 2 * count.error >= N
    clear = ss.spectral_density(matrix_of(STEEP["rank 30"]), passes=12, probes=16).count_above(0.1)
    assert clear.value == 30
    assert clear.error < 5
