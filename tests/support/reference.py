# SPDX-License-Identifier: BSD-3-Clause
"""Randomized block Krylov on A^T A in plain float64 NumPy: the oracle for the native engine.

Written to be read. Every block is orthogonalised twice against all earlier ones, and
directions that carry nothing are dropped, so an invariant subspace ends the run instead of spoiling
it. Sources: Golub & Meurant 2010 (Gauss and Gauss-Radau rules from a Jacobi matrix; here block
tridiagonal), Musco & Musco 2015 (block Krylov), Ubaru, Chen & Saad 2017 (stochastic quadrature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A direction shorter than this, relative to ||A^T A||, is rounding noise and is dropped.
NEGLIGIBLE = 1e-13


class Rule(NamedTuple):
    """A quadrature rule for b probes: nodes (D,) in lambda, weights (D, b)."""

    nodes: Array
    weights: Array


@dataclass(frozen=True)
class Krylov:
    """State after q steps, for A with n = min(m, n) columns.

    V (n, D) orthonormal; W = A V (m, D); T = V^T A^T A V (D, D), block tridiagonal; R0 (b, b) with
    first block times R0 = the Gaussian start; beta (c, w): the next block's coefficients against
    the last block of width w (c = 0 when the Krylov space is exhausted).
    """

    V: Array
    W: Array
    T: Array
    R0: Array
    beta: Array

    @property
    def residuals(self) -> Array:
        """||A^T A v_i - theta_i v_i|| of the Ritz pairs, ascending in theta (lambda units)."""
        _, X = np.linalg.eigh(self.T)
        last = X[X.shape[0] - self.beta.shape[1] :]
        return np.asarray(np.linalg.norm(self.beta @ last, axis=0))

    def gauss(self) -> Rule:
        """The block Gauss rule: Ritz values, and the first block's share in their vectors."""
        return _rule(self.T, self.R0)

    def radau(self) -> Rule:
        """The block Gauss-Radau rule with a node prescribed at 0, the lower end of A^T A.

        T is bordered by the next block, whose diagonal alpha = beta (T^-1)_qq beta^T makes the
        bordered matrix singular with as many zero nodes as the new block is wide.
        """
        if self.beta.shape[0] == 0:
            return self.gauss()
        D, (c, w) = self.T.shape[0], self.beta.shape
        theta, X = np.linalg.eigh(self.T)
        theta = np.maximum(theta, 1e-14 * theta[-1])
        corner = (X[D - w :] / theta) @ X[D - w :].T
        bordered = np.zeros((D + c, D + c))
        bordered[:D, :D] = self.T
        bordered[D:, D - w : D] = self.beta
        bordered[D - w : D, D:] = self.beta.T
        bordered[D:, D:] = self.beta @ corner @ self.beta.T
        return _rule((bordered + bordered.T) / 2, self.R0)

    def singular_values(self, k: int) -> tuple[Array, Array]:
        """Top k Ritz values sigma (from A V, not from T), and residuals / (2 sigma), in sigma."""
        sigma = np.linalg.svd(self.W, compute_uv=False)[:k]
        rho = self.residuals[::-1][:k]
        return np.asarray(sigma), rho / np.maximum(2 * sigma, np.finfo(float).tiny)


def _rule(T: Array, R0: Array) -> Rule:
    theta, X = np.linalg.eigh(T)
    return Rule(np.maximum(theta, 0.0), (X[: R0.shape[0]].T @ R0) ** 2)


def block_krylov(A: Array, block: int, steps: int, seed: int = 0) -> Krylov:
    """Run ``steps`` steps of width ``block`` on the smaller side of A (m, n); steps reads of A."""
    A = A if A.shape[0] >= A.shape[1] else A.T
    n = A.shape[1]
    start = np.random.default_rng(seed).standard_normal((n, min(block, n)))
    X, R0 = np.linalg.qr(start)
    V, AtAV = X, np.empty((n, 0))
    scale = 0.0
    beta = np.empty((0, X.shape[1]))
    for step in range(1, steps + 1):
        Z = A.T @ (A @ X)
        AtAV = np.hstack([AtAV, Z])
        scale = max(scale, float(np.linalg.norm(Z, 2)))
        new, beta = _next_block(Z, V, NEGLIGIBLE * scale)
        if beta.shape[0] == 0 or step == steps:
            break
        V, X = np.hstack([V, new]), new
    T = V.T @ AtAV
    return Krylov(V, A @ V, (T + T.T) / 2, R0, beta)


def _next_block(Z: Array, V: Array, negligible: float) -> tuple[Array, Array]:
    """Split Z into its part in span(V) and new @ beta, with new (n, c) orthonormal to V."""
    rest = Z - V @ (V.T @ Z)
    rest -= V @ (V.T @ rest)
    U, s, _ = np.linalg.svd(rest, full_matrices=False)
    new = U[:, : min(int(np.sum(s > negligible)), V.shape[0] - V.shape[1])]
    new = np.linalg.qr(new - V @ (V.T @ new))[0]
    return new, new.T @ rest
