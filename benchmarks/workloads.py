# SPDX-License-Identifier: BSD-3-Clause
"""The matrices that are timed, all seeded, and their singular values in float64.

A reference is computed once and kept in ``benchmarks/.cache``, named by the content of the matrix.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

CACHE = Path(__file__).parent / ".cache"

TUNED, TIMED = 0, 1
"""Seeds: settings are chosen on one matrix and timed on another."""

TURNS = 7
"""How often each method is timed where methods take turns."""

DTYPES: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}


def orthonormal(m: int, k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """m x k with orthonormal columns, from the QR factorisation of a Gaussian matrix."""
    return np.linalg.qr(rng.standard_normal((m, k)))[0]


def llm(m: int, n: int, seed: int) -> NDArray[np.float32]:
    """Like trained weights: a Marchenko-Pastur bulk, four outliers, a mild power-law tail.

    Slow decay: sigma_64 / sigma_256 is 1.2 at 4096 x 4096. The hard case, and the real one.
    """
    rng = np.random.default_rng(seed)
    bulk = rng.standard_normal((m, n), dtype=np.float32) * np.float32(0.02)
    edge = 0.02 * (np.sqrt(m) + np.sqrt(n))
    rank = min(512, min(m, n) // 4)
    sigma = 3 * edge * np.arange(1, rank + 1) ** -0.3
    sigma[:4] = edge * np.array([20.0, 9.0, 6.0, 4.0])
    low_rank = (orthonormal(m, rank, rng) * sigma) @ orthonormal(n, rank, rng).T
    return np.asarray(bulk + low_rank.astype(np.float32))


def decay(m: int, n: int, seed: int) -> NDArray[np.float32]:
    """sigma_i = 1 / i: polynomial decay, the easy case."""
    rng = np.random.default_rng(seed)
    rank = min(m, n)
    sigma = 1.0 / np.arange(1, rank + 1)
    product = (orthonormal(m, rank, rng) * sigma) @ orthonormal(n, rank, rng).T
    return product.astype(np.float32)


KINDS = {"llm": llm, "decay": decay}


@lru_cache(maxsize=2)
def dense(kind: str, m: int, n: int, seed: int) -> NDArray[np.float32]:
    """The matrix of this kind; the last two are held."""
    return KINDS[kind](m, n, seed)


@lru_cache(maxsize=1)
def stored(dtype: str, m: int, n: int) -> NDArray[Any]:
    """Gaussian entries of standard deviation 0.02, rounded to a storage dtype; the last is held."""
    entries = np.random.default_rng(0).standard_normal((m, n), dtype=np.float32)
    entries *= np.float32(0.02)
    return entries.astype(DTYPES[dtype])


def reference(A: NDArray[Any]) -> NDArray[np.float64]:
    """Every singular value of A, descending, in float64.

    LAPACK's SVD up to order 2048; above, the eigenvalues of the Gram matrix, which are as good for
    the large values and resolve nothing below 1e-8 sigma_1.
    """
    kept = CACHE / f"{hashlib.blake2b(A.tobytes(), digest_size=12).hexdigest()}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    wide = A.astype(np.float64)
    if min(A.shape) <= 2048:
        values = np.linalg.svd(wide, compute_uv=False)
    else:
        gram = wide @ wide.T if A.shape[0] < A.shape[1] else wide.T @ wide
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
    CACHE.mkdir(exist_ok=True)
    np.save(kept, values)
    return np.asarray(values)


def worst_relative_error(s: NDArray[Any], exact: NDArray[np.float64]) -> float:
    """max |s_i - sigma_i| / sigma_i over the values in s; infinite if one is not finite."""
    error = np.abs(np.asarray(s, dtype=np.float64) - exact[: len(s)]) / exact[: len(s)]
    return float(np.max(error)) if np.isfinite(error).all() else float("inf")


def worst_residual(A: NDArray[Any], U: NDArray[Any], s: NDArray[Any], Vt: NDArray[Any]) -> float:
    """The largest ||A v - sigma u|| or ||A^T u - sigma v||, in units of sigma_1."""
    right = np.linalg.norm(A @ Vt.T - U * s, axis=0)
    left = np.linalg.norm(A.T @ U - Vt.T * s, axis=0)
    return float(max(right.max(), left.max()) / s[0])
