# SPDX-License-Identifier: BSD-3-Clause
"""Known singular values of a matrix: all n, or the largest ones and a density of all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .density import Density
from .measure import Basis, Measure

Array = NDArray[np.float64]

FRACTIONS = np.linspace(0.0, 1.0, 33)
"""Fractions at which the quantiles of a spectrum are taken: multiples of 1/32."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The largest of n singular values with their errors: all n, or fewer and a density.

    Attributes
    ----------
    n
        Number of singular values, min(m, n) of the matrix.
    values, errors
        (k,) descending, k <= n, and a bound on the error of each; sigma units.
    density
        Density of all n values; not needed if k = n.
    """

    n: int
    values: Array
    errors: Array
    density: Density | None = None

    @property
    def complete(self) -> bool:
        """True if every value is known."""
        return len(self.values) == self.n

    @property
    def basis(self) -> Basis:
        """Basis of the measures that need the whole spectrum."""
        return "spectrum" if self.complete else "density"

    def reaches(self, x: float) -> bool:
        """Return whether every value that exceeds x (sigma) is one of ``values``."""
        return self.complete or bool(self.values[-1] < x)

    def quantiles(self, fractions: ArrayLike) -> tuple[Array, Array]:
        """Return the sigma below which each fraction of the n values lies, and its error.

        Parameters
        ----------
        fractions
            (f,) in [0, 1]: 0 is the least value, 0.5 the median, 1 the largest.

        Returns
        -------
        sigma, errors
            (f,) each. The value at q has the index (1 - q)(n - 1) in descending order, counted from
            0, and is interpolated linearly between its neighbours, as in ``numpy.quantile``. Errors
            are bounds if the values are known, else the standard errors of the density.

        Raises
        ------
        ValueError
            If a fraction is outside [0, 1], or needs a density and there is none.
        """
        q = np.asarray(fractions, dtype=np.float64)
        if q.ndim != 1 or np.any((q < 0) | (q > 1)):
            raise ValueError(f"fractions must be a vector of numbers in [0, 1], not {fractions!r}")
        place = np.array([self._place(fraction) for fraction in q.tolist()])
        known = np.arange(len(self.values))
        sigma = np.interp(place, known, self.values)
        errors = np.interp(place, known, self.errors)
        rest = place > known[-1]
        if np.any(rest):
            if self.density is None:
                which = f"the quantile {q[rest][0]:g} of {self.n} values"
                raise ValueError(f"{which} needs a density or all values")
            # In the density, half of a value lies on each side of its index.
            middle = q[rest] if self.density.exact else 1.0 - (place[rest] + 0.5) / self.n
            quantiles, errors[rest] = self.density.quantiles(middle)
            sigma[rest] = np.minimum(quantiles, self.values[-1])
        return sigma, errors

    def quantile(self, fraction: float) -> Measure:
        """Return one quantile; see :meth:`quantiles`."""
        if self.complete and 0.0 <= fraction <= 1.0:  # the same without arrays
            place = self._place(fraction)
            i, j = int(place), math.ceil(place)
            value, error = (
                float(x[i] + (x[j] - x[i]) * (place - i)) for x in (self.values, self.errors)
            )
            return Measure(value, error, self.basis)
        sigma, errors = self.quantiles([fraction])
        return Measure(float(sigma[0]), float(errors[0]), self.basis)

    def _place(self, fraction: float) -> float:
        """Return the index, in descending order, of the value below which a fraction lies."""
        place = (1.0 - fraction) * (self.n - 1)
        nearest = float(round(place))  # an integer index may have been rounded
        return nearest if abs(place - nearest) < 1e-15 * self.n else place
