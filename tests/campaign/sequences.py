# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of singular values: each takes a generator and n, and returns n values <= about 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sequence = Callable[[np.random.Generator, int], Array]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def few(rng: np.random.Generator, n: int, most: int = 40) -> int:
    """A number from 1 to n, small ones as likely as large ones."""
    return int(min(n, round(log_uniform(rng, 1, max(1.0, min(n, most))))))


def polynomial(rng: np.random.Generator, n: int) -> Array:
    return np.arange(1, n + 1) ** -log_uniform(rng, 0.1, 6)


def exponential(rng: np.random.Generator, n: int) -> Array:
    """From hardly any decay to far beyond what a precision resolves."""
    return log_uniform(rng, 0.05, 0.999) ** np.arange(n)


def halves(rng: np.random.Generator, n: int) -> Array:
    return 0.5 ** np.arange(n)


def graded(rng: np.random.Generator, n: int) -> Array:
    return np.geomspace(1.0, log_uniform(rng, 1e-18, 0.5), n)


def arithmetic(rng: np.random.Generator, n: int) -> Array:
    return np.linspace(1.0, rng.choice([0.0, 0.5, 0.99, log_uniform(rng, 1e-16, 1)]), n)


def geometric_edge(rng: np.random.Generator, n: int) -> Array:
    """1 - epsilon g^i: values that approach an edge geometrically, over a bulk."""
    epsilon, g = log_uniform(rng, 1e-15, 1e-3), log_uniform(rng, 1.1, 50)
    top = 1.0 - epsilon * g ** np.minimum(np.arange(n), 300 / np.log10(g))
    top = top[top > 0.5]
    return np.r_[top, np.linspace(0.5, 0.0, n - len(top) + 1)[1:]][:n]


def edge_over_a_level(rng: np.random.Generator, n: int) -> Array:
    """1 - epsilon g^i, perhaps several of each, over copies of one value: a start reaches few."""
    epsilon, g = log_uniform(rng, 1e-14, 0.1), log_uniform(rng, 1.1, 10)
    steps = np.minimum(np.arange(n), 300 / np.log10(g)) // rng.choice([1, 1, 2, 5])
    return np.asarray(1.0 - np.minimum(epsilon * g**steps, rng.uniform(0.2, 0.9)))


def edge_from_above(rng: np.random.Generator, n: int) -> Array:
    """1 + g^-i: values that fall towards an edge geometrically, over a flat rest."""
    return 0.5 * (1.0 + log_uniform(rng, 1.2, 20) ** -np.arange(n, dtype=np.float64))


def bulk(rng: np.random.Generator, n: int) -> Array:
    """Values that differ little, or not at all."""
    spread = rng.choice([0.0, log_uniform(rng, 1e-9, 0.3)])
    return 1.0 + spread * rng.uniform(-1, 1, n)


def cluster(rng: np.random.Generator, n: int) -> Array:
    """Some distinct values, one with many copies, then a rest that is flat, falling or zero."""
    above, copies = int(rng.integers(0, 5)), few(rng, n)
    level = rng.uniform(0.1, 0.6)
    rest = max(n - above - copies, 0)
    tail = [bulk(rng, rest) * 0.2, np.linspace(0.9, 0.1, rest), np.zeros(rest)][rng.integers(3)]
    return np.r_[np.linspace(1.0, 0.7, above), np.full(copies, level), level * tail][:n]


def multiplicities(rng: np.random.Generator, n: int) -> Array:
    """Several values, each with several copies, perhaps not quite equal."""
    distinct = int(rng.integers(1, 9))
    levels = np.sort(rng.uniform(0.05, 1, distinct))[::-1] if rng.random() < 0.7 else None
    levels = 0.5 ** np.arange(distinct) if levels is None else levels
    counts = rng.multinomial(n, rng.dirichlet(np.full(distinct, rng.choice([0.5, 5.0]))))
    values = np.repeat(levels, counts)
    return values * (1.0 + rng.choice([0.0, 1e-15, 1e-12, 1e-8, 1e-6]) * rng.standard_normal(n))


def two_clusters(rng: np.random.Generator, n: int) -> Array:
    low = rng.choice([0.0, 0.5, log_uniform(rng, 1e-8, 0.999)])
    values = np.full(n, low)
    values[: max(1, round(n * rng.uniform(0, 1)))] = 1.0
    return values


def large_over_flat(rng: np.random.Generator, n: int) -> Array:
    """A few large values over a nearly flat bulk."""
    large = few(rng, n, 12)
    level = log_uniform(rng, 1e-7, 0.5)
    flat = level * (1.0 + log_uniform(rng, 1e-8, 1e-1) * rng.uniform(-1, 1, n - large))
    return np.r_[np.arange(1, large + 1) ** -rng.uniform(0, 1), flat]


def nearly_orthogonal(rng: np.random.Generator, n: int) -> Array:
    return 1.0 + log_uniform(rng, 1e-16, 1e-2) * rng.uniform(-1, 1, n)


def projection(rng: np.random.Generator, n: int) -> Array:
    return np.r_[np.ones(few(rng, n, n)), np.zeros(n)][:n]


def low_rank(rng: np.random.Generator, n: int) -> Array:
    """Values of some rank, with noise of any size, or none, in place of zeros."""
    rank = few(rng, n)
    noise = rng.choice([0.0, log_uniform(rng, 1e-17, 1e-2)])
    return np.r_[np.linspace(1.0, rng.uniform(0.01, 1), rank), noise * rng.uniform(0, 1, n)][:n]


def spike(rng: np.random.Generator, n: int) -> Array:
    return np.r_[1.0, log_uniform(rng, 1e-16, 0.9) * rng.uniform(0, 1, n)][:n]


def pairs(rng: np.random.Generator, n: int) -> Array:
    """Values in pairs that are nearly equal."""
    twice = np.repeat(np.linspace(1.0, 0.1, (n + 1) // 2), 2)[:n]
    return twice * (1.0 + log_uniform(rng, 1e-16, 1e-3) * rng.uniform(-1, 1, n))


def any_scale(rng: np.random.Generator, n: int) -> Array:
    return np.exp(rng.uniform(np.log(log_uniform(rng, 1e-20, 0.1)), 0, n))


def staircase(rng: np.random.Generator, n: int) -> Array:
    """Steps of equal values, each a fixed factor below the last."""
    return log_uniform(rng, 0.05, 0.95) ** (np.arange(n) // few(rng, n)).astype(np.float64)


def lapack(rng: np.random.Generator, n: int) -> Array:
    """The modes 1 to 6 of LAPACK's dlatms, with a condition number."""
    condition = log_uniform(rng, 2, 1e17)
    i = np.arange(n) / max(n - 1, 1)
    modes = [
        np.r_[1.0, np.full(n, 1 / condition)][:n],
        np.r_[np.ones(n - 1), 1 / condition],
        condition**-i,
        1.0 - i * (1.0 - 1.0 / condition),
        np.exp(rng.uniform(-np.log(condition), 0, n)),
        np.abs(rng.standard_normal(n)),
    ]
    return np.asarray(modes[rng.integers(6)])


SEQUENCES: dict[str, Sequence] = {
    f.__name__: f
    for f in (
        polynomial,
        exponential,
        halves,
        graded,
        arithmetic,
        geometric_edge,
        edge_over_a_level,
        edge_from_above,
        bulk,
        cluster,
        multiplicities,
        two_clusters,
        large_over_flat,
        nearly_orthogonal,
        projection,
        low_rank,
        spike,
        pairs,
        any_scale,
        staircase,
        lapack,
    )
}
