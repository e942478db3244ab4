# SPDX-License-Identifier: BSD-3-Clause
"""A weight and its change by DoRA: the outputs of W + s B A are scaled to learned magnitudes.

With the rows of W as outputs, W' = g (W + s B A), row by row, where g is the magnitude of a row
over the norm of the row of W + s B A (Liu et al. 2024, equation 5). dW = (g - 1) W + g s B A has
full rank. It is a list of tiles over the stored bytes, with a scale for each row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.options import CallOptions
from sigmascope.adapters.dora import Dora
from sigmascope.analysis.low_rank import LowRank
from sigmascope.errors import NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import change
from sigmascope.solvers.moments import check_finite, element_moments

from .pair_base import PairBase, loaded
from .pair_norms import PairNorms


@dataclass(frozen=True, slots=True)
class ScaledPair(PairBase):
    """A stored matrix, the product that is added to it, and the magnitudes of its outputs.

    Attributes
    ----------
    before
        W, as the base stores it.
    dora
        The product in the same orientation, and the magnitudes.
    growth
        The factor g of each output. Until it is measured, tiles have the factor 2, since plans
        depend only on the form of the tiles.
    """

    before: Matrix
    dora: Dora
    growth: NDArray[np.float64] | None = None

    @property
    def _stored(self) -> tuple[Matrix, LowRank]:
        return self.before, self.dora.product

    @property
    def after(self) -> Matrix:
        """The changed weight, as a list of tiles."""
        return self.before + self.delta

    @property
    def delta(self) -> Matrix:
        """The change, as a list of tiles."""
        return self._changed(0.0)

    def without(self, decay: float) -> Matrix:
        """Return `delta` - `decay` * `before`, as a list of tiles."""
        return self._changed(decay)

    def _changed(self, decay: float) -> Matrix:
        """Return (g - 1 - decay) W + g s B A."""
        weight, product = self._by_outputs
        growth = np.full(weight.shape[0], 2.0) if self.growth is None else self.growth
        B = np.asarray(product.B, dtype=np.float64) * growth[:, None]
        factors = (growth - 1.0 - decay).astype(np.float32)
        delta = Matrix(weight.native.times_rows(factors)) + LowRank(B, product.A, product.scale)
        return delta.T if self.dora.outputs == 1 else delta

    @property
    def _by_outputs(self) -> tuple[Matrix, LowRank]:
        """The weight and the product with a row for each output."""
        if self.dora.outputs == 1:
            return self.before.T, self.dora.product.T
        return self.before, self.dora.product

    def measured(self, **options: Any) -> ScaledPair:
        """Return the pair with its factors, from the norms of W + s B A in one pass.

        Raises
        ------
        NonFiniteError
            If a number is NaN or infinite, or an output of W + s B A is zero.
        """
        weight, product = self._by_outputs
        added = weight + product
        call = CallOptions.of(added, **options)
        moments = element_moments(added, call, histogram=False)
        check_finite(moments, "W + s B A", ", outputs first")
        norms = moments.row_norms
        assert norms is not None
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = self.dora.magnitudes / norms
        bad = np.flatnonzero(~np.isfinite(growth))
        if bad.size:
            i = int(bad[0])
            raise NonFiniteError(
                f"DoRA divides the magnitude {self.dora.magnitudes[i]:.6g} of output {i} by the "
                f"norm {norms[i]:.6g} of W + s B A there; {bad.size} outputs have no finite factor"
            )
        return replace(self, growth=growth)

    def load(self) -> ScaledPair:
        """Return the pair with the matrix and the factors in memory."""
        before, product = loaded(*self._stored)
        return replace(self, before=before, dora=self.dora._replace(product=product))

    def norms(self, **options: Any) -> PairNorms:
        """Compute the sums in a second pass; no single format explains the rounding."""
        seen = change(self.before, self.after, **options)
        units = seen.unit, seen.delta_unit
        digest, unchanged = seen.fingerprint, seen.unchanged / self.before.size
        return PairNorms(seen.change, seen.after2, None, None, 2, *units, digest, unchanged)
