# SPDX-License-Identifier: BSD-3-Clause
"""Matrices by how they are made: products, blocks, copies, outliers, grading, noise."""

from __future__ import annotations

import numpy as np

from sigmascope import _core
from tests.support.known_spectra import orthonormal

from .gallery import Array, Maker
from .sequences import few, log_uniform


def haar(rng: np.random.Generator, m: int, k: int) -> Array:
    """m x k with orthonormal columns, k <= m."""
    return orthonormal(m, k, rng)


def gaussian(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.standard_normal((m, n)) / np.sqrt(max(m, n))


def lora(rng: np.random.Generator, m: int, n: int) -> Array:
    """A product of thin matrices in float32, as training adds it: low rank but for rounding."""
    rank = few(rng, min(m, n))
    B, A = rng.standard_normal((m, rank)), rng.standard_normal((rank, n))
    if rng.random() < 0.5:
        return np.asarray(B.astype(np.float32) @ A.astype(np.float32), dtype=np.float64)
    return B @ A


def bell_and_tail(rng: np.random.Generator, m: int, n: int) -> Array:
    """scikit-learn's make_low_rank_matrix: a bell of values, and a fat tail of a given strength."""
    p, rank = min(m, n), few(rng, min(m, n))
    tail = rng.choice([0.0, 0.01, 0.5, 1.0])
    i = np.arange(p) / rank
    sigma = (1 - tail) * np.exp(-(i**2)) + tail * np.exp(-0.1 * i)
    return (haar(rng, m, p) * sigma) @ haar(rng, n, p).T


def rank_one(rng: np.random.Generator, m: int, n: int) -> Array:
    noise = rng.choice([0.0, log_uniform(rng, 1e-18, 1e-2)])
    u, v = rng.standard_normal((m, 1)), rng.standard_normal((1, n))
    if rng.random() < 0.3:
        u, v = np.ones((m, 1)), np.ones((1, n))
    return u * v + noise * rng.standard_normal((m, n))


def graded_rows(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.standard_normal((m, n)) * log_uniform(rng, 0.01, 0.99) ** np.arange(m)[:, None]


def graded_columns(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.standard_normal((m, n)) * log_uniform(rng, 0.01, 0.99) ** np.arange(n)


def graded_both(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.asarray(graded_rows(rng, m, n) * log_uniform(rng, 0.1, 0.99) ** np.arange(n))


def equal_blocks(rng: np.random.Generator, m: int, n: int) -> Array:
    """A block diagonal of equal blocks, cut to shape."""
    p, q = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    count = max(-(-m // p), -(-n // q))
    return np.kron(np.eye(count), rng.standard_normal((p, q)))[:m, :n]


def different_blocks(rng: np.random.Generator, m: int, n: int) -> Array:
    A, i, j = np.zeros((m, n)), 0, 0
    while i < m and j < n:
        p, q = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        block = A[i : i + p, j : j + q]
        block[:] = log_uniform(rng, 1e-8, 1) * rng.standard_normal(block.shape)
        i, j = i + p, j + q
    return A


def kronecker(rng: np.random.Generator, m: int, n: int) -> Array:
    p, q = int(rng.integers(1, 8)), int(rng.integers(1, 8))
    outer = rng.standard_normal((-(-m // p), -(-n // q)))
    return np.kron(outer, rng.standard_normal((p, q)))[:m, :n]


def permutation(rng: np.random.Generator, m: int, n: int) -> Array:
    A = np.zeros((m, n))
    p = min(m, n)
    A[rng.permutation(m)[:p], rng.permutation(n)[:p]] = rng.choice([-1.0, 1.0], p)
    return A


def diagonal(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.asarray(permutation(rng, m, n) * np.exp(rng.uniform(-rng.uniform(0, 40), 0, (m, 1))))


def zero(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.zeros((m, n))


def constant(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.full((m, n), rng.choice([1.0, -0.37, 1e-3]))


def one_entry(rng: np.random.Generator, m: int, n: int) -> Array:
    A = np.zeros((m, n))
    A[rng.integers(m), rng.integers(n)] = rng.standard_normal()
    return A


def duplicated_rows(rng: np.random.Generator, m: int, n: int) -> Array:
    rows = rng.standard_normal((few(rng, m), n))
    return np.asarray(rows[rng.integers(len(rows), size=m)])


def signed_copies(rng: np.random.Generator, m: int, n: int) -> Array:
    """Columns that are copies of few, with signs and scales."""
    columns = rng.standard_normal((m, few(rng, n)))
    copies = columns[:, rng.integers(columns.shape[1], size=n)]
    return np.asarray(copies * rng.choice([1.0, -1.0, 2.0, 1e-4], n))


def outlier_entries(rng: np.random.Generator, m: int, n: int) -> Array:
    A = rng.standard_normal((m, n))
    for _ in range(int(rng.integers(1, 8))):
        A[rng.integers(m), rng.integers(n)] *= log_uniform(rng, 10, 1e9)
    return A


def outlier_rows(rng: np.random.Generator, m: int, n: int) -> Array:
    A = rng.standard_normal((m, n))
    A[rng.integers(m, size=int(rng.integers(1, 4)))] *= log_uniform(rng, 2, 1e9)
    if rng.random() < 0.5:
        A[:, rng.integers(n, size=int(rng.integers(1, 4)))] *= log_uniform(rng, 2, 1e6)
    return A


def repeated_numbers(rng: np.random.Generator, m: int, n: int) -> Array:
    """Rows of one number after a larger first: each rounding of a running sum has the same sign."""
    A = log_uniform(rng, 1e-7, 0.1) * rng.standard_normal((m, n)) / max(m, n) ** 0.5
    for _ in range(int(rng.integers(1, 5))):
        row = np.full(n, log_uniform(rng, 1e-5, 1))
        row[rng.integers(n) if rng.random() < 0.5 else 0] = rng.uniform(0.5, 1)
        A[rng.integers(m)] += row
    return A


def heavy_tailed(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.standard_t(rng.choice([0.5, 1.0, 2.0, 3.0]), (m, n))


def sparse(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.standard_normal((m, n)) * (rng.random((m, n)) < log_uniform(rng, 1e-3, 0.5))


def signs(rng: np.random.Generator, m: int, n: int) -> Array:
    return (
        rng.choice([-1.0, 1.0], (m, n)) if rng.random() < 0.5 else rng.integers(0, 2, (m, n)) * 1.0
    )


def integers(rng: np.random.Generator, m: int, n: int) -> Array:
    return rng.integers(-3, 4, (m, n)).astype(np.float64)


def shifted(rng: np.random.Generator, m: int, n: int) -> Array:
    """Entries about a mean that is far larger than they spread."""
    return log_uniform(rng, 1, 1e8) + rng.standard_normal((m, n))


def near_identity(rng: np.random.Generator, m: int, n: int) -> Array:
    return np.eye(m, n) + log_uniform(rng, 1e-17, 1e-1) * rng.standard_normal((m, n))


def normalised_rows(rng: np.random.Generator, m: int, n: int) -> Array:
    A = rng.standard_normal((m, n))
    return np.asarray(A / np.linalg.norm(A, axis=1, keepdims=True))


def trained(rng: np.random.Generator, m: int, n: int) -> Array:
    """A bulk of noise, some outliers, a mild power law: like the weights of a model."""
    p = min(m, n)
    rank = few(rng, p)
    strength = rng.uniform(1, 20) * np.arange(1, rank + 1) ** -rng.uniform(0, 1)
    noise = rng.standard_normal((m, n)) / (np.sqrt(m) + np.sqrt(n))
    return noise + (haar(rng, m, rank) * strength) @ haar(rng, n, rank).T


def hidden_direction(rng: np.random.Generator, m: int, n: int) -> Array:
    """The largest right vector is orthogonal to Gaussian blocks that seed 0 gives to everybody."""
    if m < n:
        return hidden_direction(rng, n, m).T.copy()
    start = _core.gaussian(n, min(64, n // 2 or 1), 0, 0, 1).astype(np.float64)
    h = rng.standard_normal(n)
    for _ in range(3):
        h -= start @ np.linalg.lstsq(start, h, rcond=None)[0]
    h /= np.linalg.norm(h) or 1.0
    rest = np.linalg.qr(np.c_[h, rng.standard_normal((n, n - 1))])[0][:, 1:]
    U = haar(rng, m, n)
    values = np.r_[np.linspace(1, 0.8, min(6, n - 1)), np.linspace(0.3, 0.01, n)][: n - 1]
    return np.outer(U[:, 0] * rng.uniform(0.9, 2), h) + (U[:, 1:] * values) @ rest.T


STRUCTURES: dict[str, Maker] = {
    f.__name__: f
    for f in (
        gaussian,
        lora,
        bell_and_tail,
        rank_one,
        graded_rows,
        graded_columns,
        graded_both,
        equal_blocks,
        different_blocks,
        kronecker,
        permutation,
        diagonal,
        zero,
        constant,
        one_entry,
        duplicated_rows,
        signed_copies,
        outlier_entries,
        outlier_rows,
        repeated_numbers,
        heavy_tailed,
        sparse,
        signs,
        integers,
        shifted,
        near_identity,
        normalised_rows,
        trained,
        hidden_direction,
    )
}
