# SPDX-License-Identifier: BSD-3-Clause
"""Triplets, values and spectra of small float64 matrices, by sigmascope and by others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_of_kernels import OURS, Peer

import sigmascope as ss

Array = NDArray[Any]

TOL = 1e-6
"""Tolerance of searches, in units of sigma_1; LAPACK is exact to rounding."""


def ours_svds(A: Array, k: int) -> tuple[Array, Array, Array]:
    U, s, Vt = ss.svds(A, k, tol=TOL)
    return U, s, Vt


def propack(A: Array, k: int) -> tuple[Array, Array, Array]:
    return _scipy(A, k, "propack")


def arpack(A: Array, k: int) -> tuple[Array, Array, Array]:
    return _scipy(A, k, "arpack")


def _scipy(A: Array, k: int, solver: str) -> tuple[Array, Array, Array]:
    from scipy.sparse.linalg import svds

    U, s, Vt = svds(A, k, solver=solver, tol=TOL)
    order = np.argsort(-s)
    return U[:, order], s[order], Vt[order]


def lapack(A: Array, k: int) -> tuple[Array, Array, Array]:
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    return U[:, :k], s[:k], Vt[:k]


def torch_svd(A: Array, k: int) -> tuple[Array, Array, Array]:
    import torch

    U, s, Vt = torch.linalg.svd(torch.from_numpy(A), full_matrices=False)
    return U[:, :k].numpy(), s[:k].numpy(), Vt[:k].numpy()


SVDS = (
    Peer(OURS, "sigmascope", ours_svds),
    Peer("scipy svds, PROPACK", "scipy", propack),
    Peer("scipy svds, ARPACK", "scipy", arpack),
    Peer("numpy svd", "numpy", lapack),
    Peer("torch.linalg.svd", "torch", torch_svd),
)


def ours_svdvals(A: Array) -> Array:
    return ss.svdvals(A).values


def numpy_svdvals(A: Array) -> Array:
    return np.linalg.svd(A, compute_uv=False)


def torch_svdvals(A: Array) -> Array:
    import torch

    return torch.linalg.svdvals(torch.from_numpy(A)).numpy()


SVDVALS = (
    Peer(OURS, "sigmascope", ours_svdvals),
    Peer("numpy svd, values alone", "numpy", numpy_svdvals),
    Peer("torch.linalg.svdvals", "torch", torch_svdvals),
)


def exact_rank(A: Array) -> float:
    return float(ss.spectrum(A, effort="exact")["effective_rank"])


def estimated_rank(A: Array) -> float:
    return float(ss.spectrum(A, effort="density")["effective_rank"])


def rank_by_numpy(A: Array) -> float:
    sigma = np.linalg.svd(A, compute_uv=False)
    share = sigma[sigma > 0] / sigma.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


DENSITY = "sigmascope, density"

SPECTRA = (
    Peer(OURS, "sigmascope", exact_rank),
    Peer(DENSITY, "sigmascope", estimated_rank),
    Peer("numpy svd, effective rank alone", "numpy", rank_by_numpy),
)
