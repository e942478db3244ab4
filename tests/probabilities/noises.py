# SPDX-License-Identifier: BSD-3-Clause
"""Noise of which the probabilities are asked: what each premise allows, and what breaks it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.support.noise_rows import KINDS
from tests.support.noises import NOISES, Noise, autoregressive, scaled_lines

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Array]
Shaped = Callable[[np.random.Generator, tuple[int, int]], Array]


def correlated(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> Array:
    """Draw AR(1) noise along the last axis, of variance 1."""
    noise = rng.standard_normal(shape)
    for t in range(1, shape[-1]):
        noise[..., t] = rho * noise[..., t - 1] + math.sqrt(1 - rho**2) * noise[..., t]
    return noise


def _of_noise(noise: Noise) -> Shaped:
    return lambda rng, shape: noise(rng, *shape)


def _rounded_to_int4(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    x = rng.standard_normal(shape)
    step = np.abs(x).max() / 7
    return np.asarray(np.round(x / step) * step)


def _product(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    m, n = shape
    return rng.standard_normal((m, min(shape))) @ rng.standard_normal((min(shape), n))


MATRICES: dict[str, Shaped] = {
    **{name: _of_noise(noise) for name, noise in NOISES.items()},
    "weights in bfloat16": KINDS["bf16"],
    "weights in 4 bits": _rounded_to_int4,
}
"""Matrices of noise in which nothing stands out."""

STRUCTURED: dict[str, Shaped] = {
    "rows by exp(z)": _of_noise(scaled_lines(1.0, 0.0)),
    "both by exp(z)": _of_noise(scaled_lines(1.0, 1.0)),
    "AR(1) .9 along rows": _of_noise(autoregressive(0.9, along_rows=True)),
    "Student 1.5": lambda rng, shape: rng.standard_t(1.5, shape),
    "product of two Gaussian": _product,
}
"""Matrices without a planted direction whose values spread further than any noise above."""


def series(blocks: int, count: int) -> dict[str, Draw]:
    """Draw the spreads of blocks (blocks, count) in increments of a run that does not change."""
    both, sizes = (blocks, count), np.geomspace(0.1, 3, blocks)[:, None]

    def shock(rng: np.random.Generator, size: float) -> Array:
        return rng.standard_normal(both) + size * rng.standard_normal(count)

    return {
        "independent": lambda rng: rng.standard_normal(both),
        "increments share 0.2": lambda rng: shock(rng, 0.2),
        "increments share 1": lambda rng: shock(rng, 1.0),
        "Student 3": lambda rng: rng.standard_t(3, both),
        "uneven blocks": lambda rng: rng.standard_normal(both) * sizes,
        "each block AR(1) 0.6": lambda rng: correlated(rng, both, 0.6),
        "all blocks AR(1) 0.3": lambda rng: (
            rng.standard_normal(both) + correlated(rng, (count,), 0.3)
        ),
        "all blocks AR(1) 0.6": lambda rng: (
            rng.standard_normal(both) + correlated(rng, (count,), 0.6)
        ),
        "all blocks drift": lambda rng: rng.standard_normal(both) + np.linspace(-1, 1, count),
    }


def _skewed(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return np.exp(rng.standard_normal(shape))


SCORES: dict[str, Shaped] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "groups differ": lambda rng, shape: (
        rng.standard_normal(shape) + rng.standard_normal((shape[0], 1))
    ),
    "Student 3": lambda rng, shape: rng.standard_t(3, shape),
    "log-normal": _skewed,
    "two clusters": lambda rng, shape: rng.standard_normal(shape) + 6 * (rng.random(shape) < 0.3),
    "some groups uneven": lambda rng, shape: (
        rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1)))
    ),
    "runs of a group AR(1) 0.6": lambda rng, shape: correlated(rng, shape, 0.6),
}
"""Scores or logarithms (groups, runs) of one class: roles by layers, or bases by runs."""

SPECTRA: dict[str, Callable[[int], Array]] = {
    "linear": lambda n: np.linspace(1, 0, n),
    "quarter circle": lambda n: np.sort(np.sqrt(2 - 2 * np.cos(np.linspace(0.001, 3.14, n))))[::-1],
    "i^-0.5": lambda n: np.arange(1.0, n + 1) ** -0.5,
    "i^-1": lambda n: 1 / np.arange(1.0, n + 1),
    "i^-2": lambda n: np.arange(1.0, n + 1) ** -2,
    "geometric": lambda n: np.geomspace(1, 1e-6, n),
    "spikes and noise": lambda n: np.r_[np.linspace(40, 20, 6), np.linspace(1.5, 0.5, n - 6)],
    "cluster at the edge": lambda n: np.r_[np.ones(n // 5), np.linspace(0.99, 0, n - n // 5)],
    "low rank": lambda n: np.r_[np.linspace(1, 0.3, n // 5), np.zeros(n - n // 5)],
}
"""Singular values, descending, of matrices whose densities are estimated."""
