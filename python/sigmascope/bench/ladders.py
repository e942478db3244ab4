# SPDX-License-Identifier: BSD-3-Clause
"""The settings of backends: lists from cheap to accurate, as functions of k."""

from __future__ import annotations

from .backend import Ladder

_STEPS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 28)
_TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5, 0.0)
_DOUBLE = {"dtype": "float64"}


def once(k: int) -> list[Ladder]:
    """Return one ladder without parameters: in the stored precision, then in float64."""
    return [[{}, _DOUBLE]]


def torch(k: int) -> list[Ladder]:
    """Return ladders over the iterations of torch.svd_lowrank, one for each width of its block."""
    return [[{"q": width * k, "niter": n} for n in _STEPS] for width in (2, 3)]


def sklearn(k: int) -> list[Ladder]:
    """Return ladders over the iterations of randomized_svd, one for each oversampling."""
    # "auto" means no normaliser for n_iter <= 2; without one, float32 loses the values.
    return [
        [
            {"n_oversamples": more * k, "n_iter": n, "power_iteration_normalizer": "LU"}
            for n in _STEPS
        ]
        for more in (1, 2)
    ]


def fbpca(k: int) -> list[Ladder]:
    """Return ladders over the iterations of fbpca.pca, one for each width of its block."""
    return [[{"l": width * k, "n_iter": n} for n in _STEPS] for width in (2, 3)]


def dask(k: int) -> list[Ladder]:
    """Return ladders over the power iterations of svd_compressed, one for each oversampling."""
    # The default, power iterations without a normaliser, diverges.
    steps = _STEPS[1:]
    return [
        [{"n_oversamples": more * k, "n_power_iter": n, "iterator": "QR"} for n in steps]
        for more in (1, 2)
    ]


def arpack(k: int) -> list[Ladder]:
    """Return ladders over the tolerance of ARPACK, for three sizes of its basis and in float64."""
    # ncv is the size of the basis; `solvers.arpack` limits it to the smaller side of the matrix.
    single = [
        [{"tol": tol, "ncv": ncv} for tol in _TOLERANCES] for ncv in (2 * k + 1, 3 * k, 3 * k // 2)
    ]
    return [*single, [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-6, 0.0)]]


def propack(k: int) -> list[Ladder]:
    """Return ladders over the tolerance of PROPACK, in the stored precision and in float64."""
    return [
        [*({"tol": tol} for tol in _TOLERANCES)],
        [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-8)],
    ]


def lobpcg(k: int) -> list[Ladder]:
    """Return one ladder over the iterations of LOBPCG."""
    return [[{"tol": 1e-6, "maxiter": n} for n in (10, 20, 40, 80, 160)]]


def primme(k: int) -> list[Ladder]:
    """Return ladders over the tolerance of PRIMME, in the stored precision and in float64."""
    return [
        [{"tol": tol} for tol in _TOLERANCES[:-2]],
        [{"tol": tol, **_DOUBLE} for tol in (1e-4, 1e-6)],
    ]


def ours(k: int) -> list[Ladder]:
    """Return ladders over the tolerance of svds, in the stored precision and in float64."""
    single = [
        {"tol": tol}
        for tol in (1e-1, 3e-2, 1e-2, 5e-3, 3e-3, 2e-3, 1e-3, 3e-4, 1e-4, 6e-5, 3e-5, 1e-5)
    ]
    return [single, [{"tol": tol, "precision": "float64"} for tol in (1e-4, 1e-6)]]


# --------------------------------------------------------------------------- on a CUDA device


def default(k: int) -> list[Ladder]:
    """Return one ladder with one setting, the defaults."""
    return [[{}]]


def density(k: int) -> list[Ladder]:
    """Return ladders over the passes of spectral_density, one for each number of probes."""
    return [[{"probes": b, "passes": n} for n in (4, 6, 8, 12, 20, 32)] for b in (k, 2 * k, 3 * k)]


def gesvdr(k: int) -> list[Ladder]:
    """Return ladders over the iterations of gesvdr, and one in float64."""
    steps = [n for n in _STEPS if n > 0]
    single = [[{"oversampling": more * k, "n_iter": n} for n in steps] for more in (1, 2)]
    return [*single, [{"oversampling": k, "n_iter": n, **_DOUBLE} for n in (4, 12, 28)]]


def cuml(k: int) -> list[Ladder]:
    """Return a ladder for each of cuML's algorithms, in the stored precision and in float64."""
    return [[{"algorithm": name}, {"algorithm": name, **_DOUBLE}] for name in ("full", "jacobi")]


def drivers(k: int) -> list[Ladder]:
    """Return a ladder for each driver of torch.linalg.svdvals, in float32 and in float64."""
    return [
        [{"driver": name}, {"driver": name, **_DOUBLE}] for name in ("gesvd", "gesvdj", "gesvda")
    ]
