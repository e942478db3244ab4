# SPDX-License-Identifier: BSD-3-Clause
"""The result of low_rank: an approximation with the error that remains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigmascope._words.text import at_most, counted, with_error
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Measure
from sigmascope.spectra.results import state

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class LowRankApproximation:
    """A product L = B A of two thin matrices near a matrix M, and ||M - L||.

    Attributes
    ----------
    factors : LowRank
        L, as the product of B = U diag(s), shape (m, rank), and A = V^T, shape (rank, n), in
        float64. The rows of A are orthonormal. If the rank is 0, a column and a row of zeros.
    rank : int
        Number of singular triplets in L.
    s, errors : array, shape (rank,)
        Singular values of L, descending (sigma), and a bound on the distance of each from the
        singular value of M that it approximates; with a weight, from the one of the same index.
    remaining : Measure
        ||M - L||_F of these factors (sigma), with a bound on its error.
    least : float
        Lower bound on ||M - X||_F over all X of this rank (sigma), as certain as `errors`.
    spectral_bound : float
        Upper bound on ||M - L||_2 (sigma).
    spectral_evidence : str
        The numbers from which the bound follows.
    fro_norm : float
        ||M||_F (sigma).
    criterion : str
        The criterion that decided the rank: "energy = 0.9".
    met : bool
        True if `remaining`, with its error, satisfies the criterion.
    converged : bool
        True if the search for the triplets converged. If it did not, another product of this rank
        may be nearer to M; `remaining` and `spectral_bound` are valid in any case.
    weighted : Measure or None
        With a weight S: ||(M - L) S^(1/2)||_F, with a bound on its error.
    weighted_norm : float or None
        With a weight: ||M S^(1/2)||_F.
    edge, outliers : Measure or None
        With the criterion "edge": the noise edge (sigma), and the number of values above it. The
        rank counts only the values that are clearly above it.
    passes, method, precision, seed, seconds, num_threads, notes
        How the result was computed, and remarks on it. `precision` refers to the search.
    """

    factors: LowRank
    rank: int
    s: Array
    errors: Array
    remaining: Measure
    least: float
    spectral_bound: float
    spectral_evidence: str
    fro_norm: float
    criterion: str
    met: bool
    converged: bool
    passes: int
    method: str
    precision: str
    seed: int
    seconds: float
    num_threads: int
    weighted: Measure | None = None
    weighted_norm: float | None = None
    edge: Measure | None = None
    outliers: Measure | None = None
    notes: tuple[str, ...] = ()

    @property
    def relative_error(self) -> Measure:
        """Relative error ||M - L||_F / ||M||_F; 0 for a matrix of zeros."""
        return self.remaining / self.fro_norm if self.fro_norm else self.remaining

    @property
    def energy(self) -> Measure:
        """Share of ||M||_F^2 in L: 1 - relative_error^2."""
        relative = self.relative_error
        return 1.0 - relative * relative

    @property
    def balanced(self) -> LowRank:
        """The same product, to rounding, with factors U diag(sqrt(s)) and diag(sqrt(s)) V^T."""
        roots = np.sqrt(self.s) if self.rank else np.ones(1)
        safe = np.where(roots > 0.0, roots, 1.0)
        B, A = (np.asarray(x, dtype=np.float64) for x in (self.factors.B, self.factors.A))
        return LowRank(B / safe, roots[:, None] * A)

    def residual(self, A: Matrix) -> Matrix:
        """Return A - L lazily, for the matrix A that was approximated."""
        return A - self.factors.matrix()

    def __repr__(self) -> str:
        return (
            f"LowRankApproximation(rank {self.rank} of {self.factors.shape}, {self.criterion}, "
            f"remaining {with_error(self.remaining.value, self.remaining.error)} of "
            f"{self.fro_norm:.6g}, 2-norm <= {at_most(self.spectral_bound, 3)}, "
            f"{state(self.converged)}, {counted(self.passes, 'read')}, {self.seconds:.2f} s)"
        )
