# SPDX-License-Identifier: BSD-3-Clause
"""The projection of a matrix on the right singular vectors of a search, and its truncations.

For an orthonormal V (n, K), A V V^T is the best approximation of A whose rows are in the span of V.
Its squared error is ||A||_F^2 - ||A V||_F^2, whether or not the search converged. One product
Y = A V in float64 gives both. The K singular values of Y are those of the projection. An
approximation of rank k < K therefore also misses the squares of the K - k others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.change import images
from sigmascope.spectra import SVD, Measure
from sigmascope.spectra.statistics.measures import ROUNDING
from sigmascope.spectra.units import exponent_of

from .remaining import product_error, remaining, root

Array = NDArray[np.float64]


class Bound(NamedTuple):
    """An upper bound on a 2-norm, and the numbers from which it follows."""

    value: float
    evidence: str


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """K singular triplets of A V V^T, in units of 2^unit.

    Attributes
    ----------
    U, s, Vt
        (m, K), (K,) and (K, n), float64.
    errors
        (K,) bound on the distance of each value from the singular value of A of the same index.
    rest
        ||A - U S V^T||_F.
    norm
        ||A||_F.
    residual
        The larger of the bounds on ||A^T U - V S||_F and ||A V - U S||_F of the search.
    defect
        Bound on ||A V - U S||_F + (||U^T U - I|| + ||V^T V - I||) ||S||_F, from rounding only.
    passes
        Reads of A for the projection.
    complete
        True if all other values of A are 0, up to rounding.
    """

    U: Array
    s: Array
    Vt: Array
    errors: Array
    rest: Measure
    norm: float
    residual: float
    defect: float
    passes: int
    unit: int
    complete: bool

    def kept(self, k: int, *, smallest: bool = False) -> slice:
        """Return the indices of the k largest, or the k smallest, triplets."""
        return slice(len(self.s) - k, None) if smallest else slice(0, k)

    def remaining(self, kept: slice) -> Measure:
        """Return ||A - L||_F for some of the triplets L."""
        others = np.delete(self.s, kept)
        if len(others) == 0:
            return self.rest
        tail = float(np.linalg.norm(others))
        rest, off = self.rest.value, self.rest.error
        error2 = (2 * rest + off) * off + 2 * tail * self.defect + 2.0**-46 * tail**2
        return root(rest**2 + tail**2, error2)

    def least(self, k: int) -> float:
        """Bound ||A - X||_F from below for all X of rank k, by the values and their errors."""
        top2 = float(np.sum((self.s[:k] + self.errors[:k]) ** 2))
        return math.sqrt(max(self.norm**2 * (1 - 4 * ROUNDING) - top2, 0.0))

    def spectral_bound(self, kept: slice) -> Bound:
        """Bound ||A - L||_2 for some of the triplets L; unless they lead, all are needed.

        In the bases of U and V and their complements, A - L has three parts: S_2 of the other
        values, a block of at most the residual, and the rest. If no value was missed, the norm of
        the rest exceeds sigma_(K+1) by at most the residual (Weyl). ||A - L||_F is a bound, too.
        """
        left = self.remaining(kept)
        frobenius = left.value + left.error
        places = np.delete(np.arange(len(self.s)), kept)
        if len(places) == 0 and self.complete:
            return Bound(frobenius, "the Frobenius norm: no value is left")
        places = places if len(places) else np.array([len(self.s) - 1])
        value = float(np.max((self.s + self.errors)[places]))
        value += 2 * (self.residual + self.defect)
        if frobenius <= value:
            return Bound(frobenius, "the Frobenius norm of what remains")
        return Bound(
            value, f"value {places[0] + 1} of the search with its error, plus twice the residuals"
        )


def projected(a: Matrix, svd: SVD, **options: Any) -> Projection:
    """Project a matrix on the right vectors of a search, in one or two passes over it.

    Raises
    ------
    ValueError
        If ||A||_F is beyond the range of float64.
    MemoryLimitError
        If A V does not fit into memory_limit.
    """
    if not math.isfinite(svd.fro_norm):
        raise ValueError("||A||_F is beyond the range of float64; scale the matrix first")
    unit = exponent_of(svd.fro_norm)
    if unit:
        a, svd = a * 2.0**-unit, svd.scaled(-unit)
    V = np.asarray(matrix(svd.Vt), dtype=np.float64).T
    if svd.precision != "float64":
        V, _ = np.linalg.qr(V)  # n x K
    Y = images(a, np.ascontiguousarray(V), **options)
    if svd.precision == "float64":  # A V = U S, and orthonormal vectors, but for rounding
        U, s, Vt = np.asarray(matrix(svd.U), dtype=np.float64), svd.s, V.T
    else:
        Q, R = np.linalg.qr(Y)
        X, s, Wt = np.linalg.svd(R)
        U, Vt, Y = Q @ X, Wt @ V.T, Y @ Wt.T
    threads = options.get("num_threads")
    rest, reads = remaining(a, svd.fro_norm, (U * s, Vt), Y, threads)
    return Projection(
        U=U,
        s=s,
        Vt=Vt,
        errors=svd.errors + np.abs(s - svd.s),
        rest=rest,
        norm=svd.fro_norm,
        residual=float(np.linalg.norm(svd.residuals)),
        defect=_defect(Y, U, s, Vt, svd.fro_norm),
        passes=1 + reads,
        unit=unit,
        complete=len(s) == min(a.shape),
    )


def _defect(Y: Array, U: Array, s: Array, Vt: Array, norm: float) -> float:
    """Bound the effect of rounding on A V - U S, and on the orthonormality of U and V."""
    identity = np.eye(len(s))
    lost = np.linalg.norm(U.T @ U - identity) + np.linalg.norm(Vt @ Vt.T - identity)
    product = product_error(Vt.shape[1]) * norm * math.sqrt(len(s))
    return float(np.linalg.norm(Y - U * s) + product + lost * np.linalg.norm(s))
