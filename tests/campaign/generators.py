# SPDX-License-Identifier: BSD-3-Clause
"""Every class of matrices by name, random compositions of them included: :func:`make`."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from .gallery import GALLERY, Array, Maker, hadamard
from .sequences import SEQUENCES, Sequence, few, log_uniform
from .structures import STRUCTURES, haar


def basis(rng: np.random.Generator, m: int, k: int) -> Array:
    """m x k with orthonormal columns: mostly of Haar's measure, else sparse or of +-1."""
    kind = rng.random()
    if kind < 0.8:
        return haar(rng, m, k)
    if kind < 0.9 or m & (m - 1):
        return np.asarray(np.eye(m)[:, rng.permutation(m)[:k]])
    return np.asarray(hadamard(np.random.default_rng(1), m, m)[:, rng.permutation(m)[:k]] / m**0.5)


def with_values(sequence: Sequence) -> Maker:
    """Matrices with these singular values, in random bases."""

    def make(rng: np.random.Generator, m: int, n: int) -> Array:
        p = min(m, n)
        values = sequence(rng, p)
        return np.asarray((basis(rng, m, p) * values) @ basis(rng, n, p).T)

    return make


SIMPLE: dict[str, Maker] = {
    **{name: with_values(sequence) for name, sequence in SEQUENCES.items()},
    **GALLERY,
    **STRUCTURES,
}


def simple(rng: np.random.Generator, m: int, n: int) -> Array:
    """A matrix of any simple class, of largest entry about 1."""
    name = list(SIMPLE)[rng.integers(len(SIMPLE))]
    A = SIMPLE[name](rng, m, n)
    return np.asarray(A / (np.abs(A).max(initial=0.0) or 1.0))


def sum_of_two(rng: np.random.Generator, m: int, n: int) -> Array:
    return simple(rng, m, n) + log_uniform(rng, 1e-12, 1) * simple(rng, m, n)


def product_of_two(rng: np.random.Generator, m: int, n: int) -> Array:
    inner = few(rng, 2 * max(m, n), 2 * max(m, n))
    return simple(rng, m, inner) @ simple(rng, inner, n)


def rotated(rng: np.random.Generator, m: int, n: int) -> Array:
    return haar(rng, m, m) @ simple(rng, m, n) @ haar(rng, n, n)


def rows_scaled(rng: np.random.Generator, m: int, n: int) -> Array:
    reach = rng.uniform(0, 30)
    return np.asarray(np.exp(rng.uniform(-reach, 0, (m, 1))) * simple(rng, m, n))


def stacked(rng: np.random.Generator, m: int, n: int) -> Array:
    top = int(rng.integers(0, m + 1))
    parts = [simple(rng, rows, n) for rows in (top, m - top) if rows]
    return np.vstack([log_uniform(rng, 1e-6, 1) * part for part in parts])


def padded(rng: np.random.Generator, m: int, n: int) -> Array:
    """Rows and columns of zeros between those of a smaller matrix."""
    p, q = int(rng.integers(1, m + 1)), int(rng.integers(1, n + 1))
    A = np.zeros((m, n))
    rows, columns = rng.permutation(m)[:p], rng.permutation(n)[:q]
    A[np.ix_(np.sort(rows), np.sort(columns))] = simple(rng, p, q)
    return A


def transposed(rng: np.random.Generator, m: int, n: int) -> Array:
    return simple(rng, n, m).T.copy()


def shuffled(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.asarray(simple(rng, m, n)[rng.permutation(m)][:, rng.permutation(n)])


def planted(rng: np.random.Generator, m: int, n: int) -> Array:
    """A direction or two, of any strength, in a matrix of any class."""
    A = simple(rng, m, n)
    r = min(m, n, int(rng.integers(1, 4)))
    size = float(np.linalg.norm(A, 2)) or 1.0
    return A + size * log_uniform(rng, 0.01, 100) * haar(rng, m, r) @ haar(rng, n, r).T


def between_classes(rng: np.random.Generator, m: int, n: int) -> Array:
    """Singular values of two sequences, one after the other."""
    p = min(m, n)
    first, second = (list(SEQUENCES.values())[rng.integers(len(SEQUENCES))] for _ in range(2))
    cut = int(rng.integers(0, p + 1))
    values = np.r_[first(rng, p)[:cut], log_uniform(rng, 1e-8, 1) * second(rng, p)][:p]
    return np.asarray((haar(rng, m, p) * values) @ haar(rng, n, p).T)


COMPOSITIONS: dict[str, Maker] = {
    f.__name__: f
    for f in (
        sum_of_two,
        product_of_two,
        rotated,
        rows_scaled,
        stacked,
        padded,
        transposed,
        shuffled,
        planted,
        between_classes,
    )
}
CLASSES: dict[str, Maker] = SIMPLE | COMPOSITIONS
"""Those that ordinary cases are drawn from; a case is another one where they are others."""


def lengthened(make: Callable[[np.random.Generator, int, int], Array]) -> Maker:
    """Matrices of any shape, whose longer side is that of the rows that are made."""

    def either(rng: np.random.Generator, m: int, n: int) -> Array:
        return make(rng, m, n) if m >= n else make(rng, n, m).T.copy()

    return either


def core(rng: np.random.Generator, m: int, n: int) -> Array:
    """A matrix of any simple class, of few rows."""
    return simple(rng, min(m, int(rng.integers(n, 4 * n + 64))), n)


def tall_repeated(rng: np.random.Generator, m: int, n: int) -> Array:
    """Few rows again and again: every rounding of a long sum has the same sign."""
    rows = core(rng, m, n)
    return np.tile(rows, (-(-m // len(rows)), 1))[:m]


def tall_constant(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.ones((m, 1)) * rng.choice([1 / 3, -0.7, 1.0], (1, n))


def tall_counts(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.arange(1.0, m + 1)[:, None] * np.ones(n) + rng.integers(0, 2) * np.arange(n)


def tall_noise(rng: np.random.Generator, m: int, n: int) -> Array:
    """Noise on columns of any size, about any mean."""
    sizes = np.exp(rng.uniform(-rng.uniform(0, 20), 0, n))
    return (rng.standard_normal((m, n)) + rng.choice([0.0, 1.0, 1e4])) * sizes


def tall_signs(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.choice([-1.0, 1.0], (m, n))


def tall_padded(rng: np.random.Generator, m: int, n: int) -> Array:
    """Few rows among zeros."""
    A, rows = np.zeros((m, n)), core(rng, m, n)
    A[np.sort(rng.permutation(m)[: len(rows)])] = rows
    return A


def tall_outliers(rng: np.random.Generator, m: int, n: int) -> Array:
    """Noise, and few rows that are far larger."""
    A = rng.standard_normal((m, n))
    A[rng.integers(m, size=3)] *= log_uniform(rng, 10, 1e6)
    return A


TALL: dict[str, Maker] = {
    f.__name__: lengthened(f)
    for f in (
        tall_repeated,
        tall_constant,
        tall_counts,
        tall_noise,
        tall_signs,
        tall_padded,
        tall_outliers,
    )
}
"""Classes of matrices with a side above 46,340, made in little time and memory."""


def thinned(rng: np.random.Generator, m: int, n: int) -> Array:
    """Zeros nearly everywhere, in a matrix of any class."""
    return simple(rng, m, n) * (rng.random((m, n)) < log_uniform(rng, 1e-3, 1))


def scattered(rng: np.random.Generator, m: int, n: int) -> Array:
    """One number in each row and column: these are the singular values."""
    A, p = np.zeros((m, n)), min(m, n)
    rows, columns = rng.permutation(m)[:p], rng.permutation(n)[:p]
    A[rows, columns] = list(SEQUENCES.values())[rng.integers(len(SEQUENCES))](rng, p)
    return A


def arrow(rng: np.random.Generator, m: int, n: int) -> Array:
    """A full row and a full column of equal signs, whose sums round alike, and a diagonal."""
    A = np.zeros((m, n))
    A[rng.integers(m)], A[:, rng.integers(n)] = rng.choice([0.1, 1.0], 2)
    np.fill_diagonal(A, log_uniform(rng, 1e-3, 1e3) * rng.standard_normal(min(m, n)))
    return A


def links(rng: np.random.Generator, m: int, n: int) -> Array:
    """Counts of a graph: few rows and columns hold most of them."""
    count = 4 * max(m, n)
    rows, columns = (np.minimum(rng.zipf(1.5, count) - 1, side - 1) for side in (m, n))
    A = np.zeros((m, n))
    np.add.at(A, (rows, columns), 1.0)
    return A


SPARSE: dict[str, Maker] = {f.__name__: f for f in (thinned, scattered, arrow, links)}
"""Classes of matrices that are mostly zeros, for the cases of products."""
EVERY: dict[str, Maker] = CLASSES | TALL | SPARSE


def make(name: str, seed: int, m: int, n: int) -> Array:
    """A matrix of a class: float64, largest entry 1 (or all 0). Same arguments, same numbers."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    with np.errstate(all="ignore"):
        A = np.asarray(EVERY[name](rng, m, n), dtype=np.float64)
    assert A.shape == (m, n), (name, A.shape, (m, n))
    assert np.isfinite(A).all(), (name, seed, m, n)
    return A / (np.abs(A).max(initial=0.0) or 1.0)
