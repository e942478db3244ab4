# SPDX-License-Identifier: BSD-3-Clause
"""The SVD backends: their calls, their settings from cheap to accurate, and their abilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import solvers
from .machine import installed, version_of
from .solvers import Answer

Setting = dict[str, Any]
Ladder = list[Setting]

_STEPS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 28)
_TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 0.0)
_DOUBLE = {"dtype": "float64"}


@dataclass(frozen=True)
class Backend:
    """A library's function that computes the k largest singular triplets.

    Attributes
    ----------
    name, title : str
        Name for the command line, and the function that is called.
    group : str
        Name that selects all backends of one library.
    module, distribution : str
        The imported module, and the package that pip installs.
    solve : callable (source, k, seed, **setting) -> Answer
        The call. It takes every stored dtype and converts the matrix if necessary.
    ladders : callable (k) -> list of ladders
        Lists of settings, each from cheap to accurate.
    direct : callable (array), optional
        The library's call without any conversion, which shows the dtypes that it takes.
    hopeless : dict, optional
        A setting that cannot converge, for backends with a stopping rule. It shows whether the
        backend reports the failure.
    random : bool
        True if a seed changes the answer.
    out_of_core : bool
        True if it reads a matrix from its file without having all of it in memory.
    error_bound : str
        The error bound that is returned with the values; empty if there is none.
    blas_threads : int, optional
        Threads of the BLAS, if the backend has threads of its own above it.
    pip : str
        The package as pip needs it, if it is not `distribution`.
    """

    name: str
    title: str
    group: str
    module: str
    distribution: str
    solve: Callable[..., Answer]
    ladders: Callable[[int], list[Ladder]]
    direct: Callable[[Any, int], Any] | None = None
    hopeless: Setting | None = None
    random: bool = True
    out_of_core: bool = False
    error_bound: str = ""
    blas_threads: int | None = None
    pip: str = field(default="")

    @property
    def installed(self) -> bool:
        """True if its library can be imported."""
        return installed(self.module.partition(".")[0])

    @property
    def version(self) -> str | None:
        """Version of its library; None if it is not installed."""
        return version_of(self.distribution)

    @property
    def stops_itself(self) -> bool:
        """True if it has a stopping rule, and not only a number of iterations."""
        return self.hopeless is not None

    @property
    def install(self) -> str:
        """Command that installs its library."""
        return f"pip install {self.pip or self.distribution}"


def _once(k: int) -> list[Ladder]:
    return [[{}, _DOUBLE]]


def _torch_ladders(k: int) -> list[Ladder]:
    return [[{"q": width * k, "niter": n} for n in _STEPS] for width in (2, 3)]


def _sklearn_ladders(k: int) -> list[Ladder]:
    # "auto" means no normaliser for n_iter <= 2; without one, float32 loses the values.
    return [
        [
            {"n_oversamples": more * k, "n_iter": n, "power_iteration_normalizer": "LU"}
            for n in _STEPS
        ]
        for more in (1, 2)
    ]


def _fbpca_ladders(k: int) -> list[Ladder]:
    return [[{"l": width * k, "n_iter": n} for n in _STEPS] for width in (2, 3)]


def _dask_ladders(k: int) -> list[Ladder]:
    # The default, power iterations without a normaliser, diverges.
    steps = _STEPS[1:]
    return [
        [{"n_oversamples": more * k, "n_power_iter": n, "iterator": "QR"} for n in steps]
        for more in (1, 2)
    ]


def _arpack_ladders(k: int) -> list[Ladder]:
    # ncv is the size of the basis; `solvers.arpack` limits it to the smaller side of the matrix.
    single = [
        [{"tol": tol, "ncv": ncv} for tol in _TOLERANCES] for ncv in (2 * k + 1, 3 * k, 3 * k // 2)
    ]
    return [*single, [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-6, 0.0)]]


def _propack_ladders(k: int) -> list[Ladder]:
    return [
        [*({"tol": tol} for tol in _TOLERANCES)],
        [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-8)],
    ]


def _lobpcg_ladders(k: int) -> list[Ladder]:
    return [[{"tol": 1e-6, "maxiter": n} for n in (10, 20, 40, 80, 160)]]


def _primme_ladders(k: int) -> list[Ladder]:
    return [
        [{"tol": tol} for tol in _TOLERANCES[:-2]],
        [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-6)],
    ]


def _our_ladders(k: int) -> list[Ladder]:
    single = [
        {"tol": tol}
        for tol in (1e-1, 3e-2, 1e-2, 5e-3, 3e-3, 2e-3, 1e-3, 3e-4, 1e-4, 6e-5, 3e-5, 1e-5)
    ]
    return [single, [{"tol": tol, "precision": "float64"} for tol in (1e-4, 1e-6)]]


BACKENDS = (
    Backend(
        "ours", "sigmascope svds", "ours", "sigmascope", "sigmascope",
        solvers.ours, _our_ladders, solvers.ours_direct,
        hopeless={"tol": 1e-12, "max_passes": 4, "method": "krylov"},
        out_of_core=True, error_bound="every value",
    ),
    Backend(
        "ours-file", "sigmascope svds, out of core", "ours", "sigmascope", "sigmascope",
        solvers.ours_from_file, _our_ladders, solvers.ours_direct,
        hopeless={"tol": 1e-12, "max_passes": 4, "method": "krylov"},
        out_of_core=True, error_bound="every value",
    ),
    Backend(
        "numpy", "numpy.linalg.svd", "numpy", "numpy", "numpy",
        solvers.numpy_full, _once, solvers.numpy_direct, random=False,
    ),
    Backend(
        "scipy-arpack", "scipy svds, ARPACK", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.arpack, _arpack_ladders, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 1},
    ),
    Backend(
        "scipy-propack", "scipy svds, PROPACK", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.propack, _propack_ladders, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 1},
    ),
    Backend(
        "scipy-lobpcg", "scipy svds, LOBPCG", "scipy", "scipy.sparse.linalg", "scipy",
        solvers.lobpcg, _lobpcg_ladders, solvers.scipy_direct,
        hopeless={"tol": 1e-12, "maxiter": 2},
    ),
    Backend(
        "sklearn", "sklearn randomized_svd", "sklearn", "sklearn.utils.extmath", "scikit-learn",
        solvers.sklearn, _sklearn_ladders, solvers.sklearn_direct,
    ),
    Backend(
        "torch-lowrank", "torch.svd_lowrank", "torch", "torch", "torch",
        solvers.torch_lowrank, _torch_ladders, solvers.torch_lowrank_direct,
    ),
    Backend(
        "torch-svd", "torch.linalg.svd", "torch", "torch", "torch",
        solvers.torch_full, _once, solvers.torch_full_direct, random=False,
    ),
    Backend(
        "fbpca", "fbpca.pca", "fbpca", "fbpca", "fbpca",
        solvers.fbpca, _fbpca_ladders, solvers.fbpca_direct,
    ),
    Backend(
        "primme", "primme.svds", "primme", "primme", "primme",
        solvers.primme, _primme_ladders, solvers.primme_direct,
        hopeless={"tol": 1e-12, "maxiter": 2}, random=False, error_bound="residuals",
    ),
    Backend(
        "dask", "dask svd_compressed", "dask", "dask.array", "dask",
        solvers.dask, _dask_ladders, solvers.dask_direct,
        out_of_core=True, blas_threads=1, pip="'dask[array]'",
    ),
    Backend(
        "cupy", "cupy.linalg.svd", "cupy", "cupy", "cupy-cuda12x",
        solvers.cupy_full, _once, solvers.cupy_direct, random=False,
    ),
)  # fmt: skip


def select(names: Iterable[str] | None = None) -> list[Backend]:
    """Return the backends of these names or groups, in the order of `BACKENDS`; all for None.

    Raises
    ------
    ValueError
        If a name is not known, or no name is given.
    """
    if names is None:
        return list(BACKENDS)
    wanted = [name.strip() for name in names if name.strip()]
    known = {backend.name for backend in BACKENDS} | {backend.group for backend in BACKENDS}
    for name in wanted:
        if name not in known | {"all"}:
            raise ValueError(f"unknown backend {name!r}; known: {', '.join(sorted(known))}, all")
    if not wanted:
        raise ValueError("no backend is named")
    every = "all" in wanted
    return [b for b in BACKENDS if every or b.name in wanted or b.group in wanted]
