# SPDX-License-Identifier: BSD-3-Clause
"""The calls of the backends on a CUDA device, from a matrix on the host or on the device.

A matrix on the host is copied in its stored dtype and converted on the device, which moves the
fewest bytes. Every call ends with NumPy arrays, so that the device has finished when it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sigmascope import spectral_density, svds, svdvals
from sigmascope.bench.solvers import Answer, Array, Source

from . import cusolver
from .libraries import TORCH, fetched, host_tensor

# ------------------------------------------------------------------------------------------ ours


def ours(source: Source, k: int, seed: int, **setting: Any) -> Answer:
    """Run sigmascope's svds on the device, without conversion."""
    svd = svds(source.array, k, seed=seed, num_threads=source.threads, device="cuda", **setting)
    return Answer(fetched(svd.U), svd.s, fetched(svd.Vt), svd.passes)


def ours_direct(A: Array, k: int) -> Any:
    """Run sigmascope's svds on the device without conversion."""
    return svds(A, k, method="krylov", device="cuda")


def our_values(source: Source, k: int, seed: int) -> Answer:
    """Compute every singular value by sigmascope's svdvals, and return the k largest."""
    values = svdvals(source.array, num_threads=source.threads, device="cuda")
    return Answer(None, values.values[:k], None, values.passes)


def our_values_direct(A: Array, k: int) -> Any:
    """Run sigmascope's svdvals on the device without conversion."""
    return (svdvals(A, device="cuda").values,)


def our_density(source: Source, k: int, seed: int, *, probes: int, passes: int) -> Answer:
    """Estimate the k largest values by the largest nodes of sigmascope's spectral_density."""
    density = spectral_density(
        source.array,
        probes=probes,
        passes=passes,
        seed=seed,
        num_threads=source.threads,
        device="cuda",
    )
    return Answer(None, np.sqrt(density.nodes[:k]), None, density.passes)


def our_density_direct(A: Array, k: int) -> Any:
    """Run sigmascope's spectral_density on the device without conversion."""
    return (spectral_density(A, device="cuda").nodes,)


# ------------------------------------------------------------------------------------------ CuPy


def _cupy_wide(A: Any, dtype: str | None) -> Any:
    """Return A on the device in float32, or in float64 if A is float64 or `dtype` says so."""
    import cupy

    on_device = cupy.asarray(A.view(np.uint16) if A.dtype.name == "bfloat16" else A)
    wide = "float64" if "float64" in (dtype, on_device.dtype.name) else "float32"
    if on_device.dtype.name == "uint16":  # codes of bfloat16, the upper half of float32
        on_device = (on_device.astype(np.uint32) << 16).view(np.float32)
    return on_device.astype(wide, copy=False)


def _answer(U: Any, s: Any, Vt: Any) -> Answer:
    return Answer(fetched(U), fetched(s), fetched(Vt))


def cupy_full(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """Compute every triplet by cuSOLVER's gesvd, called by CuPy."""
    import cupy

    U, s, Vt = cupy.linalg.svd(_cupy_wide(source.array, dtype), full_matrices=False)
    return _answer(U[:, :k], s[:k], Vt[:k])


def cupy_full_direct(A: Array, k: int) -> Any:
    """Run CuPy's svd without conversion of the dtype."""
    import cupy

    return cupy.linalg.svd(cupy.asarray(A), full_matrices=False)


def cupy_svds(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run CuPy's restarted Lanczos iteration on the smaller Gram matrix."""
    import cupy
    from cupyx.scipy.sparse.linalg import svds as library

    A = _cupy_wide(source.array, dtype)
    if "ncv" in setting:
        setting["ncv"] = min(max(setting["ncv"], k + 2), min(A.shape) - 1)
    cupy.random.seed(seed)
    U, s, Vt = (fetched(part) for part in library(A, k, **setting))
    down = np.argsort(s)[::-1]
    return Answer(U[:, down], s[down], Vt[down])


def cupy_svds_direct(A: Array, k: int) -> Any:
    """Run CuPy's svds without conversion of the dtype."""
    import cupy
    from cupyx.scipy.sparse.linalg import svds as library

    return library(cupy.asarray(A), k)


# -------------------------------------------------------------------------------------- cuSOLVER


def _by_tall(A: Any, solve: Callable[[Any], tuple[Any, Any, Any]]) -> Answer:
    """Solve for A, or for its transpose if it is wide; `solve` returns U, s and V."""
    if A.shape[0] >= A.shape[1]:
        U, s, V = solve(A)
        return _answer(U, s, V.T)
    V, s, U = solve(A.T)
    return _answer(U, s, V.T)


def gesvdr(
    source: Source,
    k: int,
    seed: int,
    *,
    oversampling: int,
    n_iter: int,
    dtype: str | None = None,
) -> Answer:
    """Run cuSOLVER's subspace iteration, which takes no seed."""
    A = _cupy_wide(source.array, dtype)
    return _by_tall(A, lambda tall: cusolver.gesvdr(tall, k, oversampling, n_iter))


def gesvdr_direct(A: Array, k: int) -> Any:
    """Run cuSOLVER's gesvdr without conversion of the dtype."""
    import cupy

    return cusolver.gesvdr(cupy.asarray(A), k, k, 2)


def gesvdp(source: Source, k: int, seed: int, *, dtype: str | None = None) -> Answer:
    """Compute every triplet by cuSOLVER's polar decomposition."""

    def solve(tall: Any) -> tuple[Any, Any, Any]:
        U, s, V = cusolver.gesvdp(tall)
        return U[:, :k], s[:k], V[:, :k]

    return _by_tall(_cupy_wide(source.array, dtype), solve)


def gesvdp_direct(A: Array, k: int) -> Any:
    """Run cuSOLVER's gesvdp without conversion of the dtype."""
    import cupy

    return cusolver.gesvdp(cupy.asarray(A))


# ------------------------------------------------------------------------------------------ cuML


def cuml_truncated(
    source: Source, k: int, seed: int, *, dtype: str | None = None, **setting: Any
) -> Answer:
    """Run cuML's TruncatedSVD, which decomposes the Gram matrix of the columns."""
    from cuml.decomposition import TruncatedSVD

    model = TruncatedSVD(n_components=k, output_type="cupy", **setting)
    scaled = model.fit_transform(_cupy_wide(source.array, dtype))
    s = model.singular_values_
    return _answer(scaled / s, s, model.components_)


def cuml_truncated_direct(A: Array, k: int) -> Any:
    """Run cuML's TruncatedSVD without conversion of the dtype."""
    import cupy
    from cuml.decomposition import TruncatedSVD

    return (TruncatedSVD(n_components=k, output_type="cupy").fit_transform(cupy.asarray(A)),)


# ----------------------------------------------------------------------------------------- torch


def _torch_wide(A: Any, dtype: str | None) -> Any:
    """Return A on the device in float32, or in float64 if A is float64 or `dtype` says so."""
    import torch

    tensor = (A if isinstance(A, torch.Tensor) else host_tensor(A)).to(TORCH.device)
    double = dtype == "float64" or tensor.dtype == torch.float64
    return tensor.to(torch.float64 if double else torch.float32)


def torch_lowrank(source: Source, k: int, seed: int, *, q: int, niter: int) -> Answer:
    """Run PyTorch's subspace iteration on the device."""
    import torch

    torch.manual_seed(seed)
    q = min(q, *source.array.shape)
    U, s, V = torch.svd_lowrank(_torch_wide(source.array, None), q=q, niter=niter)
    return _answer(U[:, :k], s[:k], V[:, :k].T)


def torch_lowrank_direct(A: Array, k: int) -> Any:
    """Run PyTorch's svd_lowrank on the device without conversion."""
    import torch

    return torch.svd_lowrank(host_tensor(A).to(TORCH.device), q=k)


def torch_values(
    source: Source, k: int, seed: int, *, driver: str, dtype: str | None = None
) -> Answer:
    """Compute every singular value by a driver of cuSOLVER, and return the k largest."""
    import torch

    s = torch.linalg.svdvals(_torch_wide(source.array, dtype), driver=driver)
    return Answer(None, fetched(s[:k]), None)


def torch_values_direct(A: Array, k: int) -> Any:
    """Run PyTorch's svdvals on the device without conversion."""
    import torch

    return (torch.linalg.svdvals(host_tensor(A).to(TORCH.device)),)
