# SPDX-License-Identifier: BSD-3-Clause
"""How large an error is, from its products with Gaussian vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

UNLIKELY = 5e-5
"""Probability with which a sketch may miss more than its bound, at most."""

LEAST_COLUMNS = 6
"""Fewer columns of a sketch say too little of what it misses."""

_SPLITS = 4
"""Choices of columns that are left out; the best of their bounds counts."""


def chi_square_mean(degrees: int, deviations: float) -> float:
    """Quantile of chi^2 over its degrees of freedom; Wilson & Hilferty 1931: low ones too low."""
    spread = 2.0 / (9.0 * degrees)
    return float(max(1.0 - spread + deviations * np.sqrt(spread), 0.0) ** 3)


def least_mean_square(degrees: int, chance: float = UNLIKELY) -> float:
    """Return what the mean square of an even number of Gaussian numbers is below by that chance.

    P(chi^2_2h < 2 x) = exp(-x) sum_{j >= h} x^j / j!, by bisection.
    """
    half = degrees // 2

    def below(x: float) -> float:
        term = total = math.exp(half * math.log(x) - x - math.lgamma(half + 1))
        j = half
        while term > 1e-17 * total:
            j += 1
            term *= x / j
            total += term
        return total

    low, high = 0.0, float(half)
    while high - low > 1e-9 * high:
        x = (low + high) / 2
        low, high = (x, high) if below(x) < chance else (low, x)
    return low / half


def missed_by_sketch(
    z: NDArray[np.float64], y2: NDArray[np.float64], chance: float = UNLIKELY
) -> float:
    """Bound the norm of E = A^T (I - Q Q^T) A with Q = orth(A Omega), by leaving columns out.

    Parameters
    ----------
    z : A^T A Omega (n, l)
    y2 : (A Omega)^T (A Omega) (l, l), not singular
    chance : the probability over Gaussian Omega that ||E|| is larger, at most

    Notes
    -----
    Leave h columns J out. What the others' Q misses is E_J >= E, and Omega_J does not depend on it.
    Let v be E_J's first eigenvector: x = Omega_J^T v is Gaussian, and v^T E_J Omega_J =
    ||E_J|| x^T. So ||E_J Omega_J|| >= ||E_J|| ||x||, and ||x||^2 is below its quantile of chi^2_h
    by the chance of that quantile alone. Four choices of J share the chance. E_J Omega_J =
    z_J - z_K Y_KK^-1 Y_KJ, with K the other columns and Y = y2.

    Leaving out is that of Epperly & Tropp 2024, "Efficient error and variance estimation for
    randomized matrix computations"; the norm is bounded as by Halko, Martinsson & Tropp 2011,
    section 4.3, but by the norm of a block, where they take the largest of its columns.
    """
    width = len(y2)
    if width < LEAST_COLUMNS:
        return np.inf
    out = 2 * round(0.21 * width)  # wide for a large chi^2, and narrow for a small E_J
    least = out * least_mean_square(out, chance / _SPLITS)
    order = np.arange(width)
    norms = []
    for split in range(_SPLITS):
        J, K = np.split(np.roll(order, -(split * width // _SPLITS)), [out])
        images = z[:, J] - z[:, K] @ np.linalg.solve(y2[np.ix_(K, K)], y2[np.ix_(K, J)])
        norms.append(np.linalg.norm(images, 2))
    return float(min(norms) / math.sqrt(least))
