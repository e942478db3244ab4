# SPDX-License-Identifier: BSD-3-Clause
"""Bounds on the norm of an error from its products with Gaussian vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigmascope._distributions import mean_square_quantile, wilson_hilferty

UNLIKELY = 5e-5
"""Largest probability with which the error of a sketch may exceed its bound."""

LEAST_COLUMNS = 6
"""Least number of columns of a sketch from which its error is estimated."""

_SPLITS = 4
"""Number of ways in which columns are left out; the smallest of their bounds counts."""

_RARE = 3.090
"""Quantile of the normal distribution that is exceeded with probability 1e-3."""


def mean_square_limits(count: int) -> tuple[float, float]:
    """Return the limits of a mean of squares of Gaussians, each passed with probability 1e-3."""
    variance = 2 / (9 * count)
    return wilson_hilferty(variance, -_RARE), wilson_hilferty(variance, _RARE)


def missed_by_sketch(
    z: NDArray[np.float64], y2: NDArray[np.float64], chance: float = UNLIKELY
) -> float:
    """Bound the norm of E = A^T (I - Q Q^T) A with Q = orth(A Omega), by leaving columns out.

    Parameters
    ----------
    z : A^T A Omega (n, l)
    y2 : (A Omega)^T (A Omega) (l, l), not singular
    chance : largest probability over Gaussian Omega that ||E|| exceeds the bound

    Notes
    -----
    Leave out h columns J. The Q of the other columns K has the error E_J >= E, which does not
    depend on Omega_J. Let v be the first eigenvector of E_J. Then x = Omega_J^T v is Gaussian, and
    v^T E_J Omega_J = ||E_J|| x^T. So ||E_J Omega_J|| >= ||E_J|| ||x||, and ||x||^2 is below a
    quantile of chi^2_h with the probability of that quantile. Four choices of J share `chance`.
    With Y = y2, E_J Omega_J = z_J - z_K Y_KK^-1 Y_KJ.

    Leaving columns out follows Epperly & Tropp 2024, "Efficient error and variance estimation for
    randomized matrix computations". The bound follows Halko, Martinsson & Tropp 2011, section 4.3,
    with the norm of a block instead of the largest norm of its columns.
    """
    width = len(y2)
    if width < LEAST_COLUMNS:
        return np.inf
    out = 2 * round(0.21 * width)  # a compromise: more columns raise chi^2_h, fewer keep E_J small
    least = out * mean_square_quantile(out, chance / _SPLITS)
    order = np.arange(width)
    norms = []
    for split in range(_SPLITS):
        J, K = np.split(np.roll(order, -(split * width // _SPLITS)), [out])
        images = z[:, J] - z[:, K] @ np.linalg.solve(y2[np.ix_(K, K)], y2[np.ix_(K, J)])
        norms.append(np.linalg.norm(images, 2))
    return float(min(norms) / math.sqrt(least))
