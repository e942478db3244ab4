# SPDX-License-Identifier: BSD-3-Clause
"""Traces tr f(A^T A) from a block Gauss and a block Gauss-Radau rule, each with its error.

The two rules come from one randomized block Lanczos run on A^T A; b Gaussian probes share its
nodes. Four things make the estimate and its error good:

- deflation: a leading run of converged nodes outside clusters counts as singular values, each with
  weight exactly 1 (Persson, Cortinovis & Kressner 2022; Chen & Hallman 2023). If a value has more
  copies than the block can hold, or values are too close, the weights give their number;
- control variates: the part of f that 1 and lambda explain is replaced by its exact trace, known
  from n and ||A||_F^2; together with deflation this cuts the variance 100 to 200 times;
- Gauss with Radau at 0: on square matrices sigma reaches down to 0, where sqrt(lambda) is not
  smooth, and both rules are biased, with opposite signs and sizes of about 1 : 2. So the value is
  (2 Gauss + Radau)/3 and the quadrature error |Gauss - Radau|/4 (weights found by experiment);
- the variance of a Gaussian probe, var(g^T r g) = 2 tr r^2, comes from the same rules, with r the
  part of f that the control variates leave. It is steady down to b = 4, where the sample variance
  over the probes is erratic (errors of 22 of its standard errors occurred; of 6 with b = 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .deflation import (
    converged_run,
    convergence_bounds,
    errors_of_one,
    hidden_chances,
    reach,
)
from .estimate import Estimate
from .rule import Array, Rule

Function = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Trace:
    """tr f by both rules, and the residual of f on the nodes of each; (...,) for several f.

    When a node moves as far as its uncertainty allows, ``drift`` (..., c + d) is the change of its
    own term. ``pull`` is the change of the others' terms, whose weights then share a different
    energy. ``convergence`` (..., c) is the sum of both when a converged node moves as far as its
    eigenvalue may be. ``hidden`` (..., c) is the error of a value that a converged node may hide:
    the others' terms then contain the part of its own that the control variates explain.
    """

    gauss: Array
    radau: Array
    gauss_residual: Array
    radau_residual: Array
    drift: Array
    pull: Array
    convergence: Array
    hidden: Array


class Difference(NamedTuple):
    """Norms (sigma) of B - A, for the matrix A of a quadrature that is used for B."""

    spectral: float
    frobenius: float


SAME = Difference(0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Quadrature:
    """The converged lambdas (c,) and the two rules for the n - c others.

    ``residuals`` belong to the nodes of the Gauss rule. The next three are in lambda.
    ``convergence_bounds`` (c,) bounds the distance of converged nodes below their eigenvalues,
    ``reach`` (c,) the distance from them of a value without a node so far, and ``resolution`` the
    distance by which rounding may have moved any node. ``hidden`` (c,) is the probability that a
    converged node hides such a value.

    ``distance`` is the difference between the matrix that the quadrature describes and the matrix
    of its rules. By Weyl's inequality, no sigma moves by more than its spectral norm. The root mean
    square of all movements is at most its Frobenius norm over sqrt(n) (Hoffman & Wielandt 1953);
    this is assumed for every sigma that has not converged.
    """

    n: int
    fro2: float
    converged: Array
    gauss: Rule
    radau: Rule
    residuals: Array
    convergence_bounds: Array
    reach: Array
    hidden: Array
    resolution: float
    distance: Difference = SAME

    def scaled_to(self, fro2: float, distance: Difference) -> Quadrature:
        """Scale to a matrix B with ||B||_F^2 = fro2; ``distance`` holds the norms of B - A."""
        scale = fro2 / self.fro2
        per_node = 1.0 / scale if scale > 0.0 else 1.0  # slopes are per lambda
        gauss, radau = (
            replace(r, nodes=scale * r.nodes, slopes=per_node * r.slopes)
            for r in (self.gauss, self.radau)
        )
        return replace(
            self,
            fro2=fro2,
            converged=scale * self.converged,
            gauss=gauss,
            radau=radau,
            residuals=scale * self.residuals,
            convergence_bounds=scale * self.convergence_bounds,
            reach=scale * self.reach,
            resolution=scale * self.resolution,
            distance=distance,
        )

    @property
    def exhausted(self) -> bool:
        """True if the Krylov space was the whole space; then nothing is estimated."""
        return len(self.converged) == self.n

    def trace(self, f: Function) -> Trace:
        """Estimate tr f(A^T A) for a vectorised f of lambda, finite on [0, lambda_1]."""
        base = np.sum(finite(f, self.converged), axis=-1)
        g, r = finite(f, self.gauss.nodes), finite(f, self.radau.nodes)
        nodes = np.concatenate([self.converged, self.gauss.nodes])
        counts = np.concatenate([np.ones(len(self.converged)), self.gauss.calibrated])
        above, below = self.moved(nodes, 1.0), self.moved(nodes, -1.0)
        slope = self.gauss.slope(g)[..., None]
        raised = finite(f, self.converged + self.convergence_bounds) - finite(f, self.converged)
        return Trace(
            gauss=base + g @ self.gauss.calibrated,
            radau=base + r @ self.radau.calibrated,
            gauss_residual=self.gauss.residual(g),
            radau_residual=self.radau.residual(r),
            drift=counts * (finite(f, above) - finite(f, below)) / 2.0,
            pull=counts * slope * (above - below) / 2.0,
            convergence=raised - slope * self.convergence_bounds,
            hidden=errors_of_one(self.hidden) * self._unexplained(f, g),
        )

    def _unexplained(self, f: Function, y: Array) -> Array:
        """Return the part of f that the control variates, fitted on the Gauss nodes, leave."""
        if not self.hidden.any():
            return np.zeros((*y.shape[:-1], len(self.converged)))
        line = (y - self.gauss.residual(y))[..., :1]
        slope = self.gauss.slope(y)[..., None]
        explained = line + slope * (self.converged - self.gauss.nodes[0])
        return np.asarray(finite(f, self.converged) - explained)

    def moved(self, nodes: Array, sign: float) -> Array:
        """Move nodes, the converged ones first, up or down as far as their uncertainty allows.

        In sums of terms with one sign, rounding errors add up and move a node by a fraction of
        itself. The largest observed movement was 12 times the resolution, for the largest node.
        """
        if self.distance.frobenius > 0:
            most = np.full(nodes.shape, self.distance.spectral)
            rest = slice(len(self.converged), None)
            most[rest] = np.minimum(most[rest], self.distance.frobenius / math.sqrt(self.n))
            nodes = np.maximum(np.sqrt(nodes) + sign * most, 0.0) ** 2
        share = nodes / max(float(nodes.max(initial=0.0)), np.finfo(float).tiny)
        return np.asarray(
            np.maximum(nodes + sign * self.resolution * (1.0 + SAME_SIGN * share), 0.0)
        )

    def traces(self, f: Function) -> tuple[Array, Array]:
        """Estimate the traces of several functions, f from nodes (d,) to (..., d), with errors."""
        t = self.trace(f)
        value = (2.0 * t.gauss + t.radau) / 3.0
        error = self._sampling(t.gauss_residual, t.radau_residual) + np.abs(t.gauss - t.radau) / 4.0
        error += np.abs(t.convergence).sum(axis=-1) + np.linalg.norm(t.hidden, axis=-1)
        return value, error + _rounding(value, t.drift, t.pull)

    def _sampling(self, gauss_residual: Array, radau_residual: Array) -> Array:
        both = self.gauss.standard_error(gauss_residual), self.radau.standard_error(radau_residual)
        return (2.0 * both[0] + both[1]) / 3.0

    def estimate(
        self,
        function: Callable[..., float],
        gradient: Callable[..., tuple[float, ...]],
        *fs: Function,
    ) -> Estimate:
        """Estimate function(tr f_1, ...); its errors by the delta method with ``gradient``."""
        traces = [self.trace(f) for f in fs]
        gauss = function(*[float(t.gauss) for t in traces])
        radau = function(*[float(t.radau) for t in traces])
        value = (2.0 * gauss + radau) / 3.0
        slope = gradient(*[float(2.0 * t.gauss + t.radau) / 3.0 for t in traces])

        def along(part: Callable[[Trace], Array]) -> Array:
            return np.asarray(sum(s * part(t) for s, t in zip(slope, traces, strict=True)))

        g, r = along(lambda t: t.gauss_residual), along(lambda t: t.radau_residual)
        rounding = _rounding(np.asarray(value), along(lambda t: t.drift), along(lambda t: t.pull))
        convergence = np.abs(along(lambda t: t.convergence)).sum()
        hidden = np.linalg.norm(along(lambda t: t.hidden))
        return Estimate(
            value=value,
            sampling=float(self._sampling(g, r)),
            bias=(gauss - radau) / 4.0,
            convergence=float(convergence + hidden),
            rounding=float(rounding),
            probes=(2.0 * (g @ self.gauss.weights) + r @ self.radau.weights) / 3.0,
        )


SAME_SIGN = 20.0
"""Bound on the relative movement of a node by sums of one sign, in units of the resolution."""


def _rounding(value: Array, drift: Array, pull: Array) -> Array:
    """Bound the error of values from the uncertainty of the nodes and from rounding of sums."""
    moved = np.maximum(np.abs(drift), np.abs(drift - pull)).sum(axis=-1)
    return np.asarray(moved + 16.0 * np.finfo(np.float64).eps * np.abs(value))


def finite(f: Function, nodes: Array) -> Array:
    """Return f at the nodes; ValueError if it is infinite or NaN at one of them."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = np.asarray(f(nodes), dtype=np.float64)
    if y.shape[-1:] != nodes.shape or not np.isfinite(y).all():
        raise ValueError("f must map an array to an array of its shape, finite on [0, lambda_1]")
    return y


def check_rules(
    n: int, fro2: float, gauss: Array, g: Array, radau: Array, r: Array, rho: ArrayLike
) -> None:
    """Raise ValueError unless nodes, weights and residuals belong together."""
    if g.ndim != 2 or g.shape[1] < 2:
        raise ValueError(f"a density needs >= 2 probes; weights have the shape {g.shape}")
    b = g.shape[1]
    shapes = gauss.shape, np.shape(rho), radau.shape
    if shapes != (g.shape[:1], g.shape[:1], r.shape[:1]) or r.shape[1:] != (b,):
        raise ValueError(
            f"shapes do not match: gauss {gauss.shape}, {g.shape}, rho {np.shape(rho)}, "
            f"radau {radau.shape}, {r.shape}"
        )
    if not all(np.all(np.isfinite(x)) for x in (gauss, g, radau, r, rho, fro2)):
        raise ValueError("nodes, weights, residuals and fro2 must be finite")
    if n < 1 or fro2 < 0:
        raise ValueError(f"n must be >= 1 and fro2 >= 0, not n = {n}, fro2 = {fro2}")


def from_rules(
    n: int,
    fro2: float,
    gauss: tuple[ArrayLike, ArrayLike],
    radau: tuple[ArrayLike, ArrayLike],
    residuals: ArrayLike,
    resolution: float,
) -> Quadrature:
    """Build a quadrature: sort and deflate; ``resolution`` is relative to the largest node."""
    order = np.argsort(-np.asarray(gauss[0], dtype=np.float64), kind="stable")
    rho = np.asarray(residuals, dtype=np.float64)[order]
    (gn, gw), (rn, rw) = _sorted(*gauss), _sorted(*radau)
    cut = resolution * float(gn.max(initial=0.0))
    gn[gn < cut] = rn[rn < cut] = 0.0
    c = n if len(gn) >= n else converged_run(gn, gw, rho, cut)
    count, energy = float(n - c), max(fro2 - float(gn[:c].sum()), 0.0)
    return Quadrature(
        n=n,
        fro2=fro2,
        converged=gn[:c],
        gauss=Rule.fit(gn[c:], gw[c:], count, energy, resolution),
        radau=Rule.fit(rn[c:], rw[c:], count, energy, resolution),
        residuals=rho[c:],
        convergence_bounds=convergence_bounds(gn, rho, c, gw.shape[1]) if c < n else np.zeros(c),
        reach=reach(rho[:c], gw.shape[1]) if c < n else np.zeros(c),
        hidden=hidden_chances(gn, rho, c, gw.shape[1]) if c < n else np.zeros(c),
        resolution=cut,
    )


def _sorted(nodes: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    theta = np.maximum(np.asarray(nodes, dtype=np.float64), 0.0)
    order = np.argsort(-theta, kind="stable")
    return theta[order], np.asarray(weights, dtype=np.float64)[order]
