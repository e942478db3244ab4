# SPDX-License-Identifier: BSD-3-Clause
"""The matrices of benchmarks: synthetic ones, made from seeds, or the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope import matrix, open_checkpoint

from .foreign_files import KINDS, read_dense

TUNED, TIMED = 0, 1
"""Offsets of the seeds of two synthetic matrices: for the choice of settings, and for timing."""

DTYPES = {
    "float64": "float64",
    "f64": "float64",
    "float32": "float32",
    "f32": "float32",
    "float16": "float16",
    "f16": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}
"""Dtypes in which a matrix may be stored, by all their names."""


@dataclass(frozen=True)
class Workload:
    """One matrix, or one for every seed.

    Attributes
    ----------
    title : str
        Description in words.
    make : callable (seed) -> array
        Function that returns the matrix in its stored dtype, one of `DTYPES`.
    synthetic : bool
        True if another seed gives another matrix.
    """

    title: str
    make: Callable[[int], NDArray[Any]]
    synthetic: bool


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of a name in `DTYPES`.

    Raises
    ------
    ValueError
        If the name is not known.
    ImportError
        If it is bfloat16 and ml_dtypes is not installed.
    """
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}; known: {', '.join(DTYPES)}")
    if DTYPES[name] != "bfloat16":
        return np.dtype(DTYPES[name])
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError("bfloat16 in NumPy needs ml_dtypes: pip install ml_dtypes") from None
    kind: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return kind


# -------------------------------------------------------------------------------- the user's own


def given(path: Path, tensor: str | None = None, dtype: str | None = None) -> Workload:
    """Return the workload of a file of one matrix, or of a tensor of a checkpoint.

    Parameters
    ----------
    path : Path
        A .npy file; a .mtx, .mat or .npz file, which SciPy reads and which becomes dense; a
        .safetensors file or a folder of them.
    tensor : str, optional
        Name of the tensor in the checkpoint, or of the variable in a .mat or .npz file.
    dtype : str, optional
        Stored dtype for the benchmark; by default that of the file, or float32 if NumPy has no such
        dtype (fp8 with scales).
    """
    if path.suffix == ".npy":
        if tensor is not None:
            raise ValueError(f"{path} is one array; --tensor is for checkpoints")
        stored = matrix(path)
    elif path.suffix in KINDS:
        stored = matrix(read_dense(path, tensor))
    elif tensor is None:
        raise ValueError(f"{path}: name a tensor with --tensor; `sigmascope info` lists them")
    else:
        checkpoint = open_checkpoint(path)
        if tensor not in checkpoint:
            why = checkpoint.unreadable.get(tensor, "`sigmascope info` lists what is there")
            raise ValueError(f"{path} holds no matrix {tensor!r}: {why}")
        stored = checkpoint[tensor]
    kind = numpy_dtype(dtype or (stored.storage if stored.storage in DTYPES else "float32"))
    title = f"{path.name if tensor is None else tensor}, {stored.shape[0]} x {stored.shape[1]}"

    def make(seed: int) -> NDArray[Any]:
        numbers = np.asarray(stored)
        if not np.isfinite(numbers).all():
            raise ValueError(f"{title} holds NaN or infinity")
        return numbers.astype(kind, copy=False)

    return Workload(f"{title}, {kind.name}", make, synthetic=False)


# ------------------------------------------------------------------------------------- synthetic


def synthetic(spectrum: str, m: int, n: int, dtype: str = "float32") -> Workload:
    """Return the workload of an m x n matrix with a spectrum of `SPECTRA`, rounded to a dtype."""
    if spectrum not in SPECTRA:
        raise ValueError(f"unknown spectrum {spectrum!r}; known: {', '.join(SPECTRA)}")
    kind, make = numpy_dtype(dtype), SPECTRA[spectrum]
    title = f"{spectrum}, {m} x {n}, {kind.name}"
    return Workload(title, lambda seed: make(m, n, seed).astype(kind, copy=False), synthetic=True)


def llm(m: int, n: int, seed: int) -> NDArray[Any]:
    """Make a matrix like trained weights: Marchenko-Pastur bulk, four outliers, power-law tail.

    The values decay slowly: sigma_64 / sigma_256 is 1.2 at 4096 x 4096. This makes it a hard case.
    """
    rng = np.random.default_rng(seed)
    bulk = rng.standard_normal((m, n), dtype=np.float32) * np.float32(0.02)
    edge = 0.02 * (np.sqrt(m) + np.sqrt(n))
    rank = max(min(512, min(m, n) // 4), 1)
    sigma = 3 * edge * np.arange(1, rank + 1) ** -0.3
    sigma[:4] = (edge * np.array([20.0, 9.0, 6.0, 4.0]))[:rank]
    left, right = (_orthonormal(extent, rank, rng) for extent in (m, n))
    return np.asarray(bulk + ((left * sigma) @ right.T).astype(np.float32))


def decay(m: int, n: int, seed: int) -> NDArray[Any]:
    """Make a matrix with sigma_i = 1 / i, whose polynomial decay makes it an easy case."""
    return _with_values(m, n, 1.0 / np.arange(1, min(m, n) + 1), seed)


def clustered(m: int, n: int, seed: int) -> NDArray[Any]:
    """Make a matrix with sigma = j^(-1/2), eight equal values for each j, up to rounding."""
    plateau = 1 + np.arange(min(m, n)) // 8
    return _with_values(m, n, plateau**-0.5, seed)


def flat(m: int, n: int, seed: int) -> NDArray[Any]:
    """Make Gaussian noise, whose values are dense below the edge, without a gap after the k-th."""
    return np.random.default_rng(seed).standard_normal((m, n), dtype=np.float32)


SPECTRA: dict[str, Callable[[int, int, int], NDArray[Any]]] = {
    "llm": llm,
    "decay": decay,
    "clustered": clustered,
    "flat": flat,
}


def _orthonormal(m: int, k: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an m x k matrix with orthonormal columns, the Q factor of a Gaussian matrix."""
    return np.linalg.qr(rng.standard_normal((m, k)))[0]


def _with_values(m: int, n: int, sigma: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Return an m x n matrix with these singular values and dense singular vectors."""
    rng = np.random.default_rng(seed)
    A = np.zeros((m, n))
    np.fill_diagonal(A, sigma)
    return _mixed(_mixed(A, rng).T, rng).T.astype(np.float32)


def _mixed(A: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Multiply A from the right by a random orthogonal matrix, in O(m n log n).

    The matrix is a product of random signs and a Hartley transform, (Re - Im) of the discrete
    Fourier transform over sqrt(n), applied twice; it is orthogonal for every n. A QR factorisation
    would cost O(n^3). For methods with a random start all orthogonal matrices are equivalent.
    """
    n = A.shape[1]
    for _ in range(2):
        signs = rng.choice([-1.0, 1.0], n)
        for i in range(0, A.shape[0], 256):  # 256 rows at a time, for a small complex copy
            image = np.fft.fft(A[i : i + 256] * signs, axis=1)
            A[i : i + 256] = (image.real - image.imag) / np.sqrt(n)
    return A
