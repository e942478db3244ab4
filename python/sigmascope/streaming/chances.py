# SPDX-License-Identifier: BSD-3-Clause
"""Bounds on the norm of an error from its products with Gaussian vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

UNLIKELY = 5e-5
"""Largest probability with which the error of a sketch may exceed its bound."""

LEAST_COLUMNS = 6
"""Least number of columns of a sketch from which its error is estimated."""

_SPLITS = 4
"""Number of ways in which columns are left out; the smallest of their bounds counts."""


def chi_square_mean(degrees: int, deviations: float) -> float:
    """Return a quantile of chi^2 over its degrees of freedom; low quantiles are slightly too low.

    ``deviations`` is the quantile of the normal distribution (Wilson & Hilferty 1931).
    """
    spread = 2.0 / (9.0 * degrees)
    return float(max(1.0 - spread + deviations * np.sqrt(spread), 0.0) ** 3)


def least_mean_square(degrees: int, chance: float = UNLIKELY) -> float:
    """Return the level below which the mean square of Gaussian numbers is with this probability.

    The number of numbers, `degrees`, must be even. The level solves P(chi^2_2h < 2 x) =
    exp(-x) sum_{j >= h} x^j / j! = `chance`, by bisection.
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
    least = out * least_mean_square(out, chance / _SPLITS)
    order = np.arange(width)
    norms = []
    for split in range(_SPLITS):
        J, K = np.split(np.roll(order, -(split * width // _SPLITS)), [out])
        images = z[:, J] - z[:, K] @ np.linalg.solve(y2[np.ix_(K, K)], y2[np.ix_(K, J)])
        norms.append(np.linalg.norm(images, 2))
    return float(min(norms) / math.sqrt(least))
