# SPDX-License-Identifier: BSD-3-Clause
"""The SVD backends on a CUDA device."""

from __future__ import annotations

from sigmascope.bench import ladders
from sigmascope.bench.backend import Backend

from . import solvers
from .libraries import CUML, CUPY, CUPY_PACKAGE, OURS, TORCH

GROUP = "cuda"

CUDA_BACKENDS = (
    Backend(
        "ours-cuda", "sigmascope svds, cuda", GROUP, "sigmascope", "sigmascope",
        solvers.ours, ladders.ours, solvers.ours_direct, library=OURS,
        hopeless={"tol": 1e-12, "max_passes": 4, "method": "krylov"},
        out_of_core=True, error_bound="every value",
    ),
    Backend(
        "ours-cuda-svdvals", "sigmascope svdvals, cuda", GROUP, "sigmascope", "sigmascope",
        solvers.our_values, ladders.default, solvers.our_values_direct, library=OURS,
        random=False, vectors=False, out_of_core=True, error_bound="every value",
    ),
    Backend(
        "ours-cuda-density", "sigmascope spectral_density, cuda", GROUP, "sigmascope", "sigmascope",
        solvers.our_density, ladders.density, solvers.our_density_direct, library=OURS,
        vectors=False, out_of_core=True,
    ),
    Backend(
        "cupy", "cupy.linalg.svd", GROUP, "cupy", "cupy-cuda13x",
        solvers.cupy_full, ladders.once, solvers.cupy_full_direct, library=CUPY,
        random=False, pip=CUPY_PACKAGE,
    ),
    Backend(
        "cupy-svds", "cupyx svds", GROUP, "cupy", "cupy-cuda13x",
        solvers.cupy_svds, ladders.arpack, solvers.cupy_svds_direct, library=CUPY,
        hopeless={"tol": 1e-12, "maxiter": 1}, pip=CUPY_PACKAGE,
    ),
    Backend(
        "cusolver-gesvdr", "cuSOLVER gesvdr", GROUP, "cupy", "cupy-cuda13x",
        solvers.gesvdr, ladders.gesvdr, solvers.gesvdr_direct, library=CUPY,
        random=False, pip=CUPY_PACKAGE,
    ),
    Backend(
        "cusolver-gesvdp", "cuSOLVER gesvdp", GROUP, "cupy", "cupy-cuda13x",
        solvers.gesvdp, ladders.once, solvers.gesvdp_direct, library=CUPY,
        random=False, pip=CUPY_PACKAGE,
    ),
    Backend(
        "cuml", "cuML TruncatedSVD", GROUP, "cuml", "cuml-cu13",
        solvers.cuml_truncated, ladders.cuml, solvers.cuml_truncated_direct, library=CUML,
        random=False,
    ),
    Backend(
        "torch-cuda-lowrank", "torch.svd_lowrank, cuda", GROUP, "torch", "torch",
        solvers.torch_lowrank, ladders.torch, solvers.torch_lowrank_direct, library=TORCH,
    ),
    Backend(
        "torch-cuda-svdvals", "torch.linalg.svdvals, cuda", GROUP, "torch", "torch",
        solvers.torch_values, ladders.drivers, solvers.torch_values_direct, library=TORCH,
        random=False, vectors=False,
    ),
)  # fmt: skip
"""Backends of the first CUDA device, which are compared where their library finds one."""
