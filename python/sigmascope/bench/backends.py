# SPDX-License-Identifier: BSD-3-Clause
"""The SVD backends that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sigmascope.extension import iter_registered

from . import ladders, solvers
from .backend import Backend
from .cuda.backends import CUDA_BACKENDS

BACKENDS = (
    Backend(
        "ours", "sigmascope svds", "ours", "sigmascope", "sigmascope",
        solvers.ours, ladders.ours, solvers.ours_direct,
        hopeless={"tol": 1e-12, "max_passes": 4, "method": "krylov"},
        out_of_core=True, error_bound="every value",
    ),
    Backend(
        "ours-file", "sigmascope svds, out of core", "ours", "sigmascope", "sigmascope",
        solvers.ours_from_file, ladders.ours, solvers.ours_direct,
        hopeless={"tol": 1e-12, "max_passes": 4, "method": "krylov"},
        out_of_core=True, error_bound="every value",
    ),
    Backend(
        "numpy", "numpy.linalg.svd", "numpy", "numpy", "numpy",
        solvers.numpy_full, ladders.once, solvers.numpy_direct, random=False,
    ),
    Backend(
        "scipy-arpack", "scipy svds, ARPACK", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.arpack, ladders.arpack, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 1},
    ),
    Backend(
        "scipy-propack", "scipy svds, PROPACK", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.propack, ladders.propack, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 1},
    ),
    Backend(
        "scipy-lobpcg", "scipy svds, LOBPCG", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.lobpcg, ladders.lobpcg, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 2},
    ),
    Backend(
        "sklearn", "sklearn randomized_svd", "sklearn", "sklearn.utils.extmath", "scikit-learn",
        solvers.sklearn, ladders.sklearn, solvers.sklearn_direct,
    ),
    Backend(
        "torch-lowrank", "torch.svd_lowrank", "torch", "torch", "torch",
        solvers.torch_lowrank, ladders.torch, solvers.torch_lowrank_direct,
    ),
    Backend(
        "torch-svd", "torch.linalg.svd", "torch", "torch", "torch",
        solvers.torch_full, ladders.once, solvers.torch_full_direct, random=False,
    ),
    Backend(
        "fbpca", "fbpca.pca", "fbpca", "fbpca", "fbpca",
        solvers.fbpca, ladders.fbpca, solvers.fbpca_direct,
    ),
    Backend(
        "primme", "primme.svds", "primme", "primme", "primme",
        solvers.primme, ladders.primme, solvers.primme_direct,
        hopeless={"tol": 1e-12, "maxiter": 2}, random=False, error_bound="residuals",
    ),
    Backend(
        "dask", "dask svd_compressed", "dask", "dask.array", "dask",
        solvers.dask, ladders.dask, solvers.dask_direct,
        out_of_core=True, blas_threads=1, pip="'dask[array]'",
    ),
    *CUDA_BACKENDS,
)  # fmt: skip


GROUP = "sigmascope.backends"
"""Group of entry points by which other packages add backends."""


@cache
def known_backends() -> tuple[Backend, ...]:
    """Return all backends: first the own ones, then those that other packages register.

    Raises
    ------
    ImportError
        If one of them cannot be imported, is not a Backend, or has the name of another.
    """
    every = list(BACKENDS)
    for registered in iter_registered(GROUP, "backend"):
        label, backend = registered.label, registered.load()
        if not isinstance(backend, Backend):
            raise ImportError(f"{label} is a {type(backend).__name__}, not a Backend")
        if backend.name in {each.name for each in every}:
            raise ImportError(f"{label}: there is already a backend named {backend.name!r}")
        every.append(backend)
    return tuple(every)


def select(names: Iterable[str] | None = None) -> list[Backend]:
    """Return the backends of these names or groups, in the order of `known_backends`.

    "all", and None, stand for every backend on the processor, and every backend on a CUDA device
    whose library finds a device. A backend that is named, or whose group is named, is returned in
    any case.

    Raises
    ------
    ValueError
        If a name is not known, or no name is given.
    ImportError
        As for :func:`known_backends`.
    """
    backends = known_backends()
    if names is None:
        names = ["all"]
    wanted = [name.strip() for name in names if name.strip()]
    known = {backend.name for backend in backends} | {backend.group for backend in backends}
    for name in wanted:
        if name not in known | {"all"}:
            raise ValueError(f"unknown backend {name!r}; known: {', '.join(sorted(known))}, all")
    if not wanted:
        raise ValueError("give the name of at least one backend")
    every = "all" in wanted
    return [
        b
        for b in backends
        if b.name in wanted
        or b.group in wanted
        or (every and (b.library is None or not any(b.absence)))
    ]
