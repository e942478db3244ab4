# SPDX-License-Identifier: BSD-3-Clause
"""One quadrature rule of a block Lanczos run, calibrated by two exactly known traces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule after the converged run: nodes (d,) descending in lambda, weights (d, b) per probe.

    ``basis`` (d, c) spans the control variates 1 and lambda, orthonormal under the ``mean`` weights
    (d,). ``calibrated`` (d,) are the mean weights, corrected so that both variates have their exact
    trace; sum_j calibrated_j f(node_j) is then the estimate of tr f (the regression estimator of
    survey sampling). A few calibrated weights may be slightly negative. ``slopes`` (c,) are the
    derivatives of the basis functions with respect to lambda.
    """

    nodes: Array
    weights: Array
    basis: Array
    mean: Array
    calibrated: Array
    slopes: Array

    @classmethod
    def fit(
        cls, nodes: Array, weights: Array, count: float, energy: float, resolution: float
    ) -> Rule:
        """Orthonormalise 1 and lambda on the nodes; ``count`` and ``energy`` are their traces.

        If all nodes agree to within ``resolution``, relative to the largest, lambda is not
        an independent variate and is left out.
        """
        scale = np.array([1.0, nodes.max(initial=0.0) or 1.0])
        variates = np.stack([np.ones_like(nodes), nodes], axis=1) / scale
        mean = weights.mean(axis=1)
        _, s, Vt = np.linalg.svd(variates * np.sqrt(mean)[:, None], full_matrices=False)
        keep = s > max(1e-10, resolution) * s.max(initial=0.0)
        back = Vt[keep].T / s[keep]
        basis = variates @ back
        known = (np.array([count, energy]) / scale) @ back
        return cls(nodes, weights, basis, mean, mean * (basis @ known), back[1] / scale[1])

    def residual(self, y: Array) -> Array:
        """Return the part of y (..., d) that the control variates do not explain."""
        return np.asarray(y - ((self.mean * y) @ self.basis) @ self.basis.T)

    def slope(self, y: Array) -> Array:
        """Return the slope in lambda of what the control variates explain of y (..., d)."""
        return np.asarray(((self.mean * y) @ self.basis) @ self.slopes)

    def standard_error(self, residual: Array) -> Array:
        """Return the standard error of the mean over probes: the larger of theory and sample."""
        b = self.weights.shape[1]
        if b < 2 or residual.shape[-1] == 0:
            return np.zeros(residual.shape[:-1])
        theory = 2.0 * np.maximum(residual**2 @ self.calibrated, 0.0)
        seen = np.var(residual @ self.weights, axis=-1, ddof=1)
        # The two control variates are fitted to the same probes: two degrees of freedom less.
        return np.asarray(np.sqrt(np.maximum(theory, seen) / max(b - 2, 1)))
