# SPDX-License-Identifier: BSD-3-Clause
"""The calls of the backends, from a stored matrix to k triplets with descending values.

Each library is imported inside the function that calls it. A dtype that the library does not take
is converted inside, as its user would have to do: to float32, or to float64 with
``dtype="float64"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope import matrix, svds
from sigmascope.errors import MemoryLimitError

from .cuda.libraries import host_tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """The matrix, in memory and in its file.

    Attributes
    ----------
    array : array (m, n)
        The matrix in the dtype in which it is stored; of NumPy, or placed on a device by a
        `DeviceLibrary`.
    path : Path
        A .npy file of the matrix; for bfloat16 it has the codes.
    threads : int
        Number of threads that are allowed.
    """

    array: Any
    path: Path
    threads: int


@dataclass(frozen=True)
class Answer:
    """The k largest singular values, or triplets.

    Attributes
    ----------
    U, s, Vt : arrays (m, k), (k,) and (k, n)
        Values are descending; U and Vt are None for a backend that computes only values.
    passes : int, optional
        Reads of the matrix, if the backend reports them.
    """

    U: Array | None
    s: Array
    Vt: Array | None
    passes: int | None = None


def _widened(A: Array, dtype: str | None) -> Array:
    """Return A in float32, or in float64 if A is float64 or `dtype` says so."""
    wide = dtype or ("float64" if A.dtype == np.float64 else "float32")
    return A.astype(wide, copy=False)


# ------------------------------------------------------------------------------------------ ours


def ours(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Run sigmascope's svds on the array, without conversion."""
    return _ours(source.array, source, k, seed, setting)


def ours_from_file(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Run sigmascope's svds on the file, with a memory limit that its bytes exceed.

    A `memory_limit` in the setting replaces this limit. There is no limit for a matrix that is
    smaller than the smallest basis.
    """
    bf16 = source.array.dtype.name == "bfloat16"
    stored = matrix(source.path, dtype="bf16" if bf16 else None)
    limit = stored.nbytes  # too little for the stored bytes and the search together
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
    """Run sigmascope's svds without conversion."""
    return svds(A, k, method="krylov")


# --------------------------------------------------------------------------------- NumPy, SciPy


def numpy_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """Compute every triplet by LAPACK's gesdd."""
    U, s, Vt = np.linalg.svd(_widened(source.array, dtype), full_matrices=False)
    return Answer(U[:, :k], s[:k], Vt[:k])


def numpy_direct(A: Array, k: int) -> Any:
    """Run NumPy's svd without conversion."""
    return np.linalg.svd(A, full_matrices=False)


def arpack(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run implicitly restarted Lanczos iteration on the smaller Gram matrix."""
    A = _widened(source.array, dtype)
    if "ncv" in setting:
        setting["ncv"] = min(max(setting["ncv"], k + 2), min(A.shape))
    return _scipy(A, k, "arpack", _start(A, min(A.shape), seed), setting)


def propack(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run Lanczos bidiagonalisation with partial reorthogonalisation."""
    A = _widened(source.array, dtype)
    return _scipy(A, k, "propack", _start(A, A.shape[0], seed), setting)


def lobpcg(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run locally optimal block conjugate gradients on the smaller Gram matrix."""
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
    """Run SciPy's svds without conversion."""
    from scipy.sparse.linalg import svds

    return svds(A, k)


# ------------------------------------------------------------------------------------ randomized


def sklearn(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run scikit-learn's subspace iteration."""
    from sklearn.utils.extmath import randomized_svd

    return Answer(*randomized_svd(_widened(source.array, dtype), k, random_state=seed, **setting))


def sklearn_direct(A: Array, k: int) -> Any:
    """Run scikit-learn's randomized_svd without conversion."""
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(A, k, random_state=0)


def fbpca(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Run fbpca's subspace iteration."""
    from fbpca import pca

    np.random.seed(seed)  # noqa: NPY002 - fbpca uses the global generator
    setting["l"] = min(setting["l"], *source.array.shape)
    return Answer(*pca(_widened(source.array, None), k, raw=True, **setting))


def fbpca_direct(A: Array, k: int) -> Any:
    """Run fbpca's pca without conversion."""
    from fbpca import pca

    return pca(A, k, raw=True)


def dask(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Run Dask's subspace iteration over blocks of rows, with the allowed number of threads."""
    import dask as scheduler
    from dask.base import compute

    with scheduler.config.set(scheduler="threads", num_workers=source.threads):
        parts = _dask(_widened(source.array, None), k, source.threads, seed=seed, **setting)
        return Answer(*compute(*parts))


def _dask(A: Array, k: int, threads: int, **setting: Any) -> Any:
    import dask.array as da

    # Four blocks of rows per thread, each with more rows than columns if possible.
    rows = min(max(A.shape[0] // (4 * threads), min(A.shape)), 4096)
    blocks = da.from_array(A, chunks=(min(rows, -(-A.shape[0] // threads)), A.shape[1]))
    return da.linalg.svd_compressed(blocks, k, **setting)


def dask_direct(A: Array, k: int) -> Any:
    """Run Dask's svd_compressed without conversion."""
    from dask.base import compute

    return compute(*_dask(A, k, 1))


def primme(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run PRIMME's restarted eigensolvers, which choose their own start vectors."""
    import primme as library

    return Answer(*library.svds(_widened(source.array, dtype), k, **setting))


def primme_direct(A: Array, k: int) -> Any:
    """Run PRIMME's svds without conversion."""
    import primme as library

    return library.svds(A, k)


# ----------------------------------------------------------------------------------------- torch


def _torch_wide(A: Array, dtype: str | None) -> Any:
    import torch

    tensor = host_tensor(A)
    wide = torch.float64 if "float64" in (dtype, A.dtype.name) else torch.float32
    return tensor.to(wide)


def torch_lowrank(source: Source, k: int, seed: int, *, q: int, niter: int) -> Answer:
    """Run PyTorch's subspace iteration."""
    import torch

    torch.manual_seed(seed)
    q = min(q, *source.array.shape)
    U, s, V = torch.svd_lowrank(_torch_wide(source.array, None), q=q, niter=niter)
    return Answer(U[:, :k].numpy(), s[:k].numpy(), V[:, :k].numpy().T)


def torch_lowrank_direct(A: Array, k: int) -> Any:
    """Run PyTorch's svd_lowrank without conversion."""
    import torch

    return torch.svd_lowrank(host_tensor(A), q=k)


def torch_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """Compute every triplet by LAPACK's gesdd, called by PyTorch."""
    import torch

    U, s, Vt = torch.linalg.svd(_torch_wide(source.array, dtype), full_matrices=False)
    return Answer(U[:, :k].numpy(), s[:k].numpy(), Vt[:k].numpy())


def torch_full_direct(A: Array, k: int) -> Any:
    """Run PyTorch's svd without conversion."""
    import torch

    return torch.linalg.svd(host_tensor(A), full_matrices=False)
