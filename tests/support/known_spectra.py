# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of known spectrum: each returns (A float64 (m, n), its exact values, descending).

Where the spectrum is prescribed, A = U diag(sigma) V^T with Haar-like U and V, and the values are
exact to the rounding of that product (about 1e-15 sigma_1). Where it is not (Gaussian, repeated
rows, 'llm'), the values come from LAPACK in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Case = tuple[Array, Array]


def orthonormal(m: int, k: int, rng: np.random.Generator) -> Array:
    """m x k with orthonormal columns, from the QR factorisation of a Gaussian matrix."""
    return np.linalg.qr(rng.standard_normal((m, k)))[0]


def prescribed(m: int, n: int, sigma: ArrayLike, seed: int = 0) -> Case:
    """A matrix with the given singular values (at most min(m, n) of them; zeros fill the rest)."""
    values = np.sort(np.asarray(sigma, dtype=np.float64))[::-1]
    rng = np.random.default_rng(seed)
    A = (orthonormal(m, len(values), rng) * values) @ orthonormal(n, len(values), rng).T
    return A, np.concatenate([values, np.zeros(min(m, n) - len(values))])


def measured(A: Array) -> Case:
    """A with the singular values that LAPACK finds in float64."""
    return A, np.asarray(np.linalg.svd(A, compute_uv=False), dtype=np.float64)


def polynomial(m: int, n: int, seed: int = 0, power: float = 1.0) -> Case:
    """sigma_i = i^-power."""
    return prescribed(m, n, np.arange(1, min(m, n) + 1) ** -power, seed)


def exponential(m: int, n: int, seed: int = 0, rate: float = 0.05) -> Case:
    """sigma_i = exp(-rate i)."""
    return prescribed(m, n, np.exp(-rate * np.arange(min(m, n))), seed)


def clustered(m: int, n: int, seed: int = 0, multiplicity: int = 100) -> Case:
    """sigma = 1 repeated ``multiplicity`` times (above the block), then 0.9 i^-1/2."""
    multiplicity = min(multiplicity, min(m, n) // 2)
    rest = min(m, n) - multiplicity
    return prescribed(
        m, n, np.r_[np.ones(multiplicity), 0.9 * np.arange(1, rest + 1) ** -0.5], seed
    )


def low_rank(m: int, n: int, seed: int = 0, rank: int = 16) -> Case:
    """Exactly ``rank`` nonzero values, evenly from 2 down to 1."""
    return prescribed(m, n, np.linspace(2.0, 1.0, min(rank, m, n)), seed)


def graded(m: int, n: int, seed: int = 0, smallest: float = 1e-8) -> Case:
    """Evenly in the logarithm from 1 down to ``smallest``."""
    return prescribed(m, n, np.geomspace(1.0, smallest, min(m, n)), seed)


def gaussian(m: int, n: int, seed: int = 0) -> Case:
    """Standard normal over sqrt(max(m, n)): A^T A is Wishart; a square one has a hard edge at 0."""
    return measured(np.random.default_rng(seed).standard_normal((m, n)) / np.sqrt(max(m, n)))


def spiked(m: int, n: int, seed: int = 0, spikes: int = 40, power: float = 0.5) -> Case:
    """A Gaussian bulk with edge 1, plus ``spikes`` directions of strength 4 i^-power."""
    rng = np.random.default_rng(seed)
    bulk = rng.standard_normal((m, n)) / (np.sqrt(m) + np.sqrt(n))
    spikes = min(spikes, min(m, n) // 2)
    strength = 4.0 * np.arange(1, spikes + 1) ** -power
    return measured(bulk + (orthonormal(m, spikes, rng) * strength) @ orthonormal(n, spikes, rng).T)


def planted(m: int, n: int, seed: int = 0, rank: int = 16, strength: float = 3.0) -> Case:
    """Noise with edge 1, plus ``rank`` equal directions well above it."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((m, n)) / (np.sqrt(m) + np.sqrt(n))
    rank = min(rank, min(m, n) // 2)
    return measured(noise + strength * orthonormal(m, rank, rng) @ orthonormal(n, rank, rng).T)


def llm(m: int, n: int, seed: int = 0) -> Case:
    """Like trained weights: a bulk, four outliers and a mild power-law tail 3 edge i^-0.3."""
    rng = np.random.default_rng(seed)
    A = 0.02 * rng.standard_normal((m, n))
    edge = 0.02 * (np.sqrt(m) + np.sqrt(n))
    rank = max(4, min(512, min(m, n) // 4))
    values = 3 * edge * np.arange(1, rank + 1) ** -0.3
    values[:4] = edge * np.array([20.0, 9.0, 6.0, 4.0])
    return measured(A + (orthonormal(m, rank, rng) * values) @ orthonormal(n, rank, rng).T)


def zero(m: int, n: int, seed: int = 0) -> Case:
    """All zeros."""
    del seed
    return np.zeros((m, n)), np.zeros(min(m, n))


def row(m: int, n: int, seed: int = 0) -> Case:
    """1 x n, whatever m is: one singular value, the norm."""
    del m
    return measured(np.random.default_rng(seed).standard_normal((1, n)))


def column(m: int, n: int, seed: int = 0) -> Case:
    """m x 1, whatever n is."""
    del n
    return measured(np.random.default_rng(seed).standard_normal((m, 1)))


def repeated_rows(m: int, n: int, seed: int = 0, distinct: int = 20) -> Case:
    """``distinct`` Gaussian rows, each many times over: of that rank without being told."""
    rows = np.random.default_rng(seed).standard_normal((min(distinct, m), n))
    return measured(rows[np.arange(m) % len(rows)])


FAMILIES: dict[str, Callable[..., Case]] = {
    "polynomial": polynomial,
    "exponential": exponential,
    "clustered": clustered,
    "low_rank": low_rank,
    "graded": graded,
    "gaussian": gaussian,
    "spiked": spiked,
    "planted": planted,
    "llm": llm,
    "zero": zero,
    "row": row,
    "column": column,
    "repeated_rows": repeated_rows,
}
