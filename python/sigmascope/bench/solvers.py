# SPDX-License-Identifier: BSD-3-Clause
"""The calls of the backends: a stored matrix in, k triplets out, values descending.

Each library is imported inside the function that calls it. What it cannot take as it is stored is
converted inside, as its user would have to; with ``dtype="float64"`` to that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope import MemoryLimitError, matrix, svds

Array = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """The matrix, in memory and in its file.

    Attributes
    ----------
    array : array (m, n)
        As it is stored.
    path : Path
        A .npy file of the same; of bfloat16 its codes.
    threads : int
        How many are allowed.
    """

    array: Array
    path: Path
    threads: int


@dataclass(frozen=True)
class Answer:
    """U (m, k), s (k,) descending, Vt (k, n); reads of the matrix where the backend tells."""

    U: Array
    s: Array
    Vt: Array
    passes: int | None = None


def _widened(A: Array, dtype: str | None) -> Array:
    """A in a dtype that LAPACK knows: float32, or float64 if A is or if asked."""
    wide = dtype or ("float64" if A.dtype == np.float64 else "float32")
    return A.astype(wide, copy=False)


# ------------------------------------------------------------------------------------------ ours


def ours(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Svds of the array, with no conversion."""
    return _ours(source.array, source, k, seed, setting)


def ours_from_file(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Svds of the file, with a memory limit under which it may not be held.

    A `memory_limit` in the setting takes its place. A matrix so small that even the least basis is
    larger has no limit: it is held.
    """
    bf16 = source.array.dtype.name == "bfloat16"
    stored = matrix(source.path, dtype="bf16" if bf16 else None)
    limit = stored.nbytes  # a file is held if it fits beside what the search needs
    try:
        return _ours(stored, source, k, seed, {"memory_limit": limit, **setting})
    except MemoryLimitError:
        setting.pop("memory_limit", None)
        return _ours(stored, source, k, seed, setting)


def _ours(A: Any, source: Source, k: int, seed: int, setting: dict[str, Any]) -> Answer:
    svd = svds(A, k, seed=seed, num_threads=source.threads, **setting)
    assert svd.U is not None
    assert svd.Vt is not None
    return Answer(svd.U, svd.s, svd.Vt, svd.passes)


def ours_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    return svds(A, k, method="krylov")


# --------------------------------------------------------------------------------- NumPy, SciPy


def numpy_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """LAPACK's gesdd: every triplet."""
    U, s, Vt = np.linalg.svd(_widened(source.array, dtype), full_matrices=False)
    return Answer(U[:, :k], s[:k], Vt[:k])


def numpy_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    return np.linalg.svd(A, full_matrices=False)


def arpack(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Implicitly restarted Lanczos on the smaller Gram matrix."""
    A = _widened(source.array, dtype)
    if "ncv" in setting:
        setting["ncv"] = min(max(setting["ncv"], k + 2), min(A.shape))
    return _scipy(A, k, "arpack", _start(A, min(A.shape), seed), setting)


def propack(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Lanczos bidiagonalisation with partial reorthogonalisation."""
    A = _widened(source.array, dtype)
    return _scipy(A, k, "propack", _start(A, A.shape[0], seed), setting)


def lobpcg(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Locally optimal block conjugate gradients on the smaller Gram matrix."""
    return _scipy(_widened(source.array, dtype), k, "lobpcg", None, setting, seed)


def _start(A: Array, extent: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(extent).astype(A.dtype)


def _scipy(
    A: Array, k: int, solver: str, v0: Array | None, setting: dict[str, Any], seed: int = 0
) -> Answer:
    from scipy.sparse.linalg import svds

    U, s, Vt = svds(A, k, solver=solver, v0=v0, random_state=seed, **setting)
    down = np.argsort(s)[::-1]
    return Answer(U[:, down], s[down], Vt[down])


def scipy_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    from scipy.sparse.linalg import svds

    return svds(A, k)


# ------------------------------------------------------------------------------------ randomized


def sklearn(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Subspace iteration."""
    from sklearn.utils.extmath import randomized_svd

    return Answer(*randomized_svd(_widened(source.array, dtype), k, random_state=seed, **setting))


def sklearn_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(A, k, random_state=0)


def fbpca(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Subspace iteration."""
    from fbpca import pca

    np.random.seed(seed)  # noqa: NPY002 - it draws from the global generator
    setting["l"] = min(setting["l"], *source.array.shape)
    return Answer(*pca(_widened(source.array, None), k, raw=True, **setting))


def fbpca_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    from fbpca import pca

    return pca(A, k, raw=True)


def dask(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Subspace iteration over blocks of rows, in as many threads as are allowed."""
    import dask as scheduler
    from dask.base import compute

    with scheduler.config.set(scheduler="threads", num_workers=source.threads):
        parts = _dask(_widened(source.array, None), k, source.threads, seed=seed, **setting)
        return Answer(*compute(*parts))


def _dask(A: Array, k: int, threads: int, **setting: Any) -> Any:
    import dask.array as da

    # Blocks of rows, four for each thread, that stay taller than they are wide where possible.
    rows = min(max(A.shape[0] // (4 * threads), min(A.shape)), 4096)
    blocks = da.from_array(A, chunks=(min(rows, -(-A.shape[0] // threads)), A.shape[1]))
    return da.linalg.svd_compressed(blocks, k, **setting)


def dask_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    from dask.base import compute

    return compute(*_dask(A, k, 1))


def primme(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Preconditioned iterative eigensolvers, restarted; it draws its own start."""
    import primme as library

    return Answer(*library.svds(_widened(source.array, dtype), k, **setting))


def primme_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    import primme as library

    return library.svds(A, k)


# ----------------------------------------------------------------------------------------- torch


def _tensor(A: Array) -> Any:
    """The same bytes as a torch tensor."""
    import torch

    if A.dtype.name == "bfloat16":
        return torch.from_numpy(A.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(A)


def _torch_wide(A: Array, dtype: str | None) -> Any:
    import torch

    tensor = _tensor(A)
    wide = torch.float64 if "float64" in (dtype, A.dtype.name) else torch.float32
    return tensor.to(wide)


def torch_lowrank(source: Source, k: int, seed: int, *, q: int, niter: int) -> Answer:
    """Subspace iteration."""
    import torch

    torch.manual_seed(seed)
    q = min(q, *source.array.shape)
    U, s, V = torch.svd_lowrank(_torch_wide(source.array, None), q=q, niter=niter)
    return Answer(U[:, :k].numpy(), s[:k].numpy(), V[:, :k].numpy().T)


def torch_lowrank_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    import torch

    return torch.svd_lowrank(_tensor(A), q=k)


def torch_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """LAPACK's gesdd: every triplet."""
    import torch

    U, s, Vt = torch.linalg.svd(_torch_wide(source.array, dtype), full_matrices=False)
    return Answer(U[:, :k].numpy(), s[:k].numpy(), Vt[:k].numpy())


def torch_full_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    import torch

    return torch.linalg.svd(_tensor(A), full_matrices=False)


# ------------------------------------------------------------------------------------------ CuPy


def cupy_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """cuSOLVER: every triplet; the copies to the device and back are in the time."""
    import cupy

    on_device = cupy.asarray(_widened(source.array, dtype))
    U, s, Vt = cupy.linalg.svd(on_device, full_matrices=False)
    return Answer(*(cupy.asnumpy(part) for part in (U[:, :k], s[:k], Vt[:k])))


def cupy_direct(A: Array, k: int) -> Any:
    """As it is stored."""
    import cupy

    return cupy.linalg.svd(cupy.asarray(A), full_matrices=False)
