# SPDX-License-Identifier: BSD-3-Clause
"""Errors of an answer against singular values in float64, which are cached on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.extension import cache_folder

_ROWS = 1024
"""Number of rows that are converted to float64 at a time."""

GRAM_FLOOR = 1e-7
"""Smallest value that the Gram matrix in float64 resolves, in units of sigma_1."""

_LAPACK_ORDER = 2048
"""Largest order for which LAPACK's SVD makes the reference."""


def reference(A: NDArray[Any], folder: Path | None = None) -> NDArray[np.float64]:
    """Return every singular value of A, descending, in float64.

    Values of the same matrix are computed once and cached in `folder`. Up to order 2048 they come
    from LAPACK's SVD, above that from the eigenvalues of the Gram matrix, which are as accurate for
    the large values and resolve nothing below 1e-8 sigma_1.
    """
    content = hashlib.blake2b(np.ascontiguousarray(A).view(np.uint8).data, digest_size=16)
    content.update(f"{A.shape} {A.dtype.name}".encode())
    folder = cache_folder() / "bench" if folder is None else folder
    cached = folder / f"{content.hexdigest()}.npy"
    if cached.exists():
        return np.asarray(np.load(cached))
    if min(A.shape) <= _LAPACK_ORDER:
        values = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    else:
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(_gram(A))[::-1], 0.0))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
        np.save(part, values)
    os.replace(part.name, cached)
    return np.asarray(values)


def _gram(A: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Gram matrix of the smaller side, in float64."""
    tall = A if A.shape[0] >= A.shape[1] else A.T
    total = np.zeros((tall.shape[1], tall.shape[1]))
    for i in range(0, tall.shape[0], _ROWS):
        rows = tall[i : i + _ROWS].astype(np.float64)
        total += rows.T @ rows
    return total


def worst_relative_error(s: NDArray[Any], exact: NDArray[np.float64]) -> float:
    """Return the largest |s_i - sigma_i| / sigma_i over the values in s; infinite for NaN.

    The reference does not resolve values below `GRAM_FLOOR`; their errors are relative to that
    floor.
    """
    truth = exact[: len(s)]
    scale = np.maximum(truth, GRAM_FLOOR * exact[0])
    error = np.abs(np.asarray(s, dtype=np.float64) - truth) / np.where(scale > 0, scale, 1.0)
    return float(np.max(error)) if np.isfinite(error).all() else float("inf")


def worst_residual(A: NDArray[Any], U: NDArray[Any], s: NDArray[Any], Vt: NDArray[Any]) -> float:
    """Return the largest ||A v - sigma u|| or ||A^T u - sigma v|| over sigma_1, in float64."""
    U, s, Vt = (np.asarray(part, dtype=np.float64) for part in (U, s, Vt))
    right = np.zeros(len(s))
    left = -(Vt.T * s)
    for i in range(0, A.shape[0], _ROWS):
        rows = A[i : i + _ROWS].astype(np.float64)
        right += np.sum((rows @ Vt.T - U[i : i + _ROWS] * s) ** 2, axis=0)
        left += rows.T @ U[i : i + _ROWS]
    norms = np.concatenate([np.sqrt(right), np.linalg.norm(left, axis=0)])
    return float(norms.max() / s[0]) if s[0] > 0 else float(norms.max())
