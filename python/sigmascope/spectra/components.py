# SPDX-License-Identifier: BSD-3-Clause
"""Components of rows: signs of vectors, errors of their angles, and shares of a total."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def oriented(Vt: Array) -> Array:
    """Return the rows with signs such that the entry of largest magnitude of each is positive."""
    largest = np.argmax(np.abs(Vt), axis=1)
    return np.asarray(Vt * np.where(Vt[np.arange(len(Vt)), largest] < 0, -1.0, 1.0)[:, None])


def sine_bounds(values: Array, errors: Array, perturbations: Array) -> Array:
    """Bound the sines of the angles between k computed eigenvectors and the exact ones.

    Parameters
    ----------
    values : (k or more,)
        Computed values, descending. Values after the k-th show its distance from the others.
    errors : as values
        Bounds on the errors of the values.
    perturbations : (k,)
        Bound for each vector on the norm of its residual, or of the error of the matrix.

    Returns
    -------
    (k,) array
        By Davis & Kahan 1970: the perturbation over the distance of the computed value from the
        exact values of the others. It is 1 if that distance does not exceed the perturbation.
    """
    k = len(perturbations)
    drops = values[:-1] - values[1:]
    above = np.concatenate([[np.inf], drops - errors[:-1]])[:k]
    below = np.concatenate([drops - errors[1:], [np.inf]])[:k]
    least = np.minimum(above, below)
    resolved = least > perturbations
    return np.where(resolved, perturbations / np.where(resolved, least, 1.0), 1.0)


def shares(
    parts: Array, errors: Array | float, total: float, total_error: float
) -> tuple[Array, Array]:
    """Return the shares of parts in a total, and bounds on their errors.

    Shares are NaN, with infinite errors, if the total does not exceed its error.
    """
    if total <= total_error:
        return np.full(len(parts), np.nan), np.full(len(parts), np.inf)
    ratio = parts / total
    return ratio, (errors + ratio * total_error) / (total - total_error)
