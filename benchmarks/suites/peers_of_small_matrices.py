# SPDX-License-Identifier: BSD-3-Clause
"""Triplets, values and spectra of small float64 matrices, by sigmascope and by others."""

from __future__ import annotations

from typing import Any

import floors
import numpy as np
import pytest
import workloads
from numpy.typing import NDArray
from peers_of_kernels import OURS, Peer

import sigmascope as ss
from sigmascope.spectra import statistics

Array = NDArray[Any]

TOL = 1e-6
"""Tolerance of searches, in units of sigma_1; LAPACK is exact to rounding."""

ORDERS = pytest.mark.parametrize("order", [8, 16, 32, 64, 128, 256, 512, 1024, 2048])


def timed(table: str, order: int, peer: Peer, smoke: bool, measure: Any) -> tuple[Array, Any]:
    """Time a peer on the matrix of an order; return the matrix and the answer."""
    by_values = peer.name == OURS and table != "small_svds"
    n = max(order // 32, 8) if smoke else order
    A = workloads.dense("llm", n, n, workloads.TIMED, "f64")
    answer = measure(
        lambda: peer.run(A),
        table=table,
        case={"matrix": f"llm {n} x {n}"},
        peer=peer,
        rounds=5 if n <= 512 else 1,  # after a warm-up: a call of a millisecond would time that
        least_work=(lambda _: floors.every_value(A)) if by_values else None,
    )
    return A, answer


def wanted(A: Array) -> int:
    """Return the number of triplets."""
    return min(8, len(A) // 2)


def ours_svds(A: Array) -> tuple[Array, Array, Array]:
    U, s, Vt = ss.svds(A, wanted(A), tol=TOL)
    return U, s, Vt


def propack(A: Array) -> tuple[Array, Array, Array]:
    return _scipy(A, "propack")


def arpack(A: Array) -> tuple[Array, Array, Array]:
    return _scipy(A, "arpack")


def _scipy(A: Array, solver: str) -> tuple[Array, Array, Array]:
    from scipy.sparse.linalg import svds

    # At order 8 PROPACK fails for some of the random starts that are its default.
    U, s, Vt = svds(A, wanted(A), solver=solver, tol=TOL, v0=np.ones(len(A)))
    order = np.argsort(-s)
    return U[:, order], s[order], Vt[order]


def lapack(A: Array) -> tuple[Array, Array, Array]:
    k = wanted(A)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    return U[:, :k], s[:k], Vt[:k]


def torch_svd(A: Array) -> tuple[Array, Array, Array]:
    import torch

    k = wanted(A)
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


def measures_by_numpy(A: Array) -> float:
    """Find what `spectrum` finds: NumPy's values and statistics of the elements, our measures."""
    elements = elements_by_numpy(A)
    sigma = np.linalg.svd(A, compute_uv=False)
    rounding = 1e-14 * sigma[0]
    fro_norm = float(np.linalg.norm(elements["row_norms"]))
    measures = statistics.measures_from_values(
        sigma,
        np.full(len(sigma), rounding),
        statistics.MatrixNorms(A.shape, fro_norm),
        floor=rounding,
    )
    return float(measures["effective_rank"])


def elements_by_numpy(A: Array) -> dict[str, Any]:
    if not np.isfinite(A).all():
        raise ValueError("an entry is not finite")
    mean = A.mean()
    centred = A - mean
    squares, centred_squares = A * A, centred * centred
    variance = centred_squares.mean()
    return {
        "zeros": A.size - np.count_nonzero(A),
        "min": A.min(),
        "max": A.max(),
        "mean": mean,
        "std": np.sqrt(variance),
        "skewness": (centred_squares * centred).mean() / variance**1.5,
        "kurtosis": (centred_squares * centred_squares).mean() / variance**2,
        "row_norms": np.sqrt(squares.sum(axis=1)),
        "column_norms": np.sqrt(squares.sum(axis=0)),
    }


DENSITY = "sigmascope, density"

SPECTRA = (
    Peer(OURS, "sigmascope", exact_rank),
    Peer(DENSITY, "sigmascope", estimated_rank),
    Peer("numpy svd and elements, our measures", "numpy", measures_by_numpy),
    Peer("numpy svd, effective rank alone", "numpy", rank_by_numpy),
)
