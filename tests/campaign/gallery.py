# SPDX-License-Identifier: BSD-3-Clause
"""The test matrices of the galleries (Higham 1995 and others), m x n where that makes sense.

Each takes a generator and (m, n), and returns float64 entries of moderate size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .sequences import log_uniform

Array = NDArray[np.float64]
Maker = Callable[[np.random.Generator, int, int], Array]


def places(m: int, n: int) -> tuple[Array, Array]:
    """Rows and columns, counted from 1, as (m, 1) and (1, n)."""
    return np.arange(1.0, m + 1)[:, None], np.arange(1.0, n + 1)[None]


def by_entry(entry: Callable[[Array, Array], Array]) -> Maker:
    def make(rng: np.random.Generator, m: int, n: int) -> Array:
        return np.asarray(np.broadcast_to(entry(*places(m, n)), (m, n)), dtype=np.float64)

    return make


def cauchy(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return (
        1.0 / (i + j + rng.choice([0.0, 1.0, 10.0]))
        if rng.random() < 0.5
        else 1.0 / (rng.uniform(0.01, 2, (m, 1)) + rng.uniform(0.01, 2, (1, n)))
    )


def parter(rng: np.random.Generator, m: int, n: int) -> Array:
    """Most of its values are pi to rounding."""
    i, j = places(m, n)
    return 1.0 / (i - j + rng.choice([0.5, 0.5, 0.25, 0.75]))


def kahan(rng: np.random.Generator, m: int, n: int) -> Array:
    """Upper triangular; the rank is hidden from pivoted factorisations."""
    theta = rng.uniform(0.2, 1.4)
    i, j = places(m, n)
    entries = np.where(i == j, 1.0, np.where(i < j, -np.cos(theta), 0.0))
    return np.asarray(np.sin(theta) ** (i - 1) * entries)


def toeplitz(rng: np.random.Generator, m: int, n: int) -> Array:
    diagonal = rng.standard_normal(m + n - 1) * np.exp(
        -rng.choice([0.0, rng.uniform(0, 1)]) * np.abs(np.arange(m + n - 1) - m + 1)
    )
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    return np.asarray(diagonal[j - i + m - 1])


def banded_toeplitz(rng: np.random.Generator, m: int, n: int) -> Array:
    """tridiag(-1, 2, -1), Grcar's, a Jordan block, pentadiagonal ones."""
    bands = [
        {-1: -1, 0: 2, 1: -1},
        {-1: -1, 0: 1, 1: 1, 2: 1, 3: 1},
        {0: rng.choice([0.0, 1.0, 0.5]), 1: 1},
        {-2: 1, -1: -4, 0: 6, 1: -4, 2: 1},
        {0: 1, 1: -1},
    ][rng.integers(5)]
    i, j = places(m, n)
    return np.asarray(sum(value * ((j - i) == d) for d, value in bands.items()), dtype=np.float64)


def kms(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return np.asarray(rng.choice([0.5, 0.9, 0.99, -0.5]) ** np.abs(i - j))


def prolate(rng: np.random.Generator, m: int, n: int) -> Array:
    """Values in two clusters, 0 and 1, with a few between."""
    i, j = places(m, n)
    width = rng.uniform(0.05, 0.45)
    return np.asarray(2 * width * np.sinc(2 * width * (i - j)))


def smooth_kernel(rng: np.random.Generator, m: int, n: int) -> Array:
    """Gaussian and exponential kernels of points on a line: values fall fast."""
    x, y = np.sort(rng.uniform(0, 1, m))[:, None], np.sort(rng.uniform(0, 1, n))[None]
    width = log_uniform(rng, 0.01, 2)
    return np.asarray(np.exp(-(np.abs(x - y) ** rng.choice([1, 2])) / width))


def hankel(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    return np.asarray(rng.standard_normal(m + n - 1)[i + j])


def circulant(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    return np.asarray(rng.standard_normal(max(m, n))[(j - i) % max(m, n)])


def vandermonde(rng: np.random.Generator, m: int, n: int) -> Array:
    x = [np.linspace(0, 1, m), np.linspace(-1, 1, m), rng.uniform(-1, 1, m)][rng.integers(3)]
    return np.asarray(x[:, None] ** np.arange(n)[None])


def chebyshev_vandermonde(rng: np.random.Generator, m: int, n: int) -> Array:
    x = np.linspace(-1, 1, m)[:, None]
    return np.asarray(np.cos(np.arange(n)[None] * np.arccos(x)))


def lotkin(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return np.where(i == 1, 1.0, 1.0 / (i + j - 1))


def pascal(rng: np.random.Generator, m: int, n: int) -> Array:
    """Binomials, rows and columns scaled by powers of 4 that keep them in range."""
    i, j = np.arange(m), np.arange(n)
    logs = np.r_[0.0, np.cumsum(np.log(np.arange(1.0, m + n)))]
    return np.asarray(
        np.exp(
            logs[i[:, None] + j[None]]
            - logs[i][:, None]
            - logs[j][None]
            - np.log(4.0) * max(min(m, n) - 1, 0)
        )
    )


def hadamard(rng: np.random.Generator, m: int, n: int) -> Array:
    """A block of Sylvester's matrix: few distinct values, many copies of each."""
    order = 1 << (max(m, n) - 1).bit_length()
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    if rng.random() < 0.5:
        i = np.sort(rng.choice(order, m, replace=False))[:, None]
    both = i & j
    for shift in (8, 4, 2, 1):
        both = both ^ (both >> shift)
    return 1.0 - 2.0 * (both & 1)


def dct(rng: np.random.Generator, m: int, n: int) -> Array:
    order = max(m, n) if rng.random() < 0.5 else 2 * max(m, n)
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    return np.asarray(np.sqrt(2 / order) * np.cos(np.pi * (2 * j + 1) * i / (2 * order)))


def magic(rng: np.random.Generator, m: int, n: int) -> Array:
    """Odd order, cut to shape: of full rank, with one value far above the others."""
    order = max(m, n) | 1
    i, j = np.arange(m)[:, None], np.arange(n)[None]
    square = order * ((i + j + 1 + order // 2) % order) + (i + 2 * j + order - 3 + 5) % order + 1
    return np.asarray(square, dtype=np.float64)


def pei(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return 1.0 + (i == j) * log_uniform(rng, 1e-12, 10)


def lauchli(rng: np.random.Generator, m: int, n: int) -> Array:
    """A row of ones over a small multiple of the identity."""
    i, j = places(m, n)
    return np.where(i == 1, 1.0, (i == j + 1) * log_uniform(rng, 1e-15, 1e-1))


def frank(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return np.where(j >= i - 1, max(m, n) + 1 - np.maximum(i, j), 0.0)


def triw(rng: np.random.Generator, m: int, n: int) -> Array:
    i, j = places(m, n)
    return np.where(i == j, 1.0, np.where(i < j, rng.choice([-1.0, -0.5, -0.1]), 0.0))


def cycol(rng: np.random.Generator, m: int, n: int) -> Array:
    distinct = max(n // 4, 1)
    return np.asarray(rng.standard_normal((m, distinct))[:, np.arange(n) % distinct])


GALLERY: dict[str, Maker] = {
    "hilbert": by_entry(lambda i, j: 1.0 / (i + j - 1)),
    "ris": by_entry(lambda i, j: 0.5 / (np.max(i) - i - j + 1.5)),
    "lehmer": by_entry(lambda i, j: np.minimum(i, j) / np.maximum(i, j)),
    "minij": by_entry(np.minimum),
    "moler": by_entry(lambda i, j: np.where(i == j, i, np.minimum(i, j) - 2.0)),
    "fiedler": by_entry(lambda i, j: np.abs(i - j)),
    "wilkinson": by_entry(
        lambda i, j: np.where(i == j, np.abs(i - (np.max(i) + 1) / 2), (np.abs(i - j) == 1) * 1.0)
    ),
    "clement": by_entry(
        lambda i, j: np.where(i - j == 1, j, np.where(j - i == 1, np.max(i) - i, 0.0))
    ),
    "gcd": by_entry(lambda i, j: np.gcd(i.astype(int), j.astype(int)) * 1.0),
    "redheffer": by_entry(lambda i, j: ((j % i == 0) | (j == 1)) * 1.0),
    "sines": by_entry(lambda i, j: np.sin(np.pi * i * j / (np.max(i) + 1))),
    "grid": by_entry(lambda i, j: np.sqrt(i * i + j * j)),
}
GALLERY |= {
    f.__name__: f
    for f in (
        cauchy,
        parter,
        kahan,
        toeplitz,
        banded_toeplitz,
        kms,
        prolate,
        smooth_kernel,
        hankel,
        circulant,
        vandermonde,
        chebyshev_vandermonde,
        lotkin,
        pascal,
        hadamard,
        dct,
        magic,
        pei,
        lauchli,
        frank,
        triw,
        cycol,
    )
}
