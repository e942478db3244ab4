# SPDX-License-Identifier: BSD-3-Clause
"""Rows |a . c - t| <= b that numbers give for the weights c, and the ellipsoid around some rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .number_formats import Reals

Indices = NDArray[np.intp]

NULL = 1e-12
"""Eigenvalues of the scaled Gram matrix below this part of the largest are null directions."""


@dataclass(frozen=True, slots=True)
class NumberRows:
    """Rows |a . c - t| <= b of n numbers, and what cannot be written as a row.

    Attributes
    ----------
    a, t, b
        Coefficients of shape (p, n), middles and bounds.
    places
        Indices of the numbers.
    impossible
        Indices of numbers that no weights explain.
    """

    a: Reals
    t: Reals
    b: Reals
    places: Indices
    impossible: Indices

    def chosen(self, indices: Indices) -> NumberRows:
        """Return some of the rows."""
        return NumberRows(
            self.a[:, indices],
            self.t[indices],
            self.b[indices],
            self.places[indices],
            self.impossible,
        )

    def joined(self, other: NumberRows) -> NumberRows:
        """Return these rows and others."""
        return NumberRows(
            np.hstack([self.a, other.a]),
            np.append(self.t, other.t),
            np.append(self.b, other.b),
            np.append(self.places, other.places),
            np.append(self.impossible, other.impossible),
        )


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid that contains all weights: from sums of squares over some rows.

    From |a . c - t| <= b for each row it follows, with any weights w >= 0, that
    (c - centre)' G (c - centre) <= sum w b^2 - rest, with G = sum w a a' and the least squares
    centre and rest.

    Attributes
    ----------
    centre
        The least squares weights, of shape (p,).
    axes
        Columns that span the ellipsoid of radius 1, of shape (p, k).
    radius
        Its radius; negative if the squares prove that nothing fits.
    null
        Directions in which these rows do not tell weights apart, of shape (p - k, p).
    rows
        The rows.
    """

    centre: Reals
    axes: Reals
    radius: float
    null: Reals
    rows: NumberRows

    @classmethod
    def of(cls, rows: NumberRows) -> Ellipsoid | None:
        """Return the ellipsoid of some rows; None if no donor changes any of their numbers."""
        p = len(rows.a)
        size = np.sqrt((rows.a * rows.a).sum(axis=0))
        live = size > 0
        if not live.any():
            return None
        # Numbers near zero have tiny cells: without a limit a few of them would own the matrix.
        weights = 1 / (1 + (size / np.median(size[live])) ** 2)
        weighted = rows.a * weights
        gram, right = weighted @ rows.a.T, weighted @ rows.t
        scale = np.sqrt(np.diag(gram))
        scale[scale == 0] = 1
        values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
        keep = values > NULL * values[-1]
        axes = vectors[:, keep] / np.sqrt(values[keep]) / scale[:, None]
        centre = axes @ (axes.T @ right)
        misfit = rows.t - centre @ rows.a
        total = float((weights * rows.b * rows.b).sum())
        squared = total * (1 + 1e-9) - float((weights * misfit * misfit).sum())
        radius = float(np.sqrt(squared)) if squared >= 0 else -1.0
        null = (vectors[:, ~keep] / scale[:, None]).T.reshape(-1, p)
        return cls(centre, axes, radius, null, rows)
