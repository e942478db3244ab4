# SPDX-License-Identifier: BSD-3-Clause
"""How large an error is, from its products with Gaussian vectors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

UNLIKELY = 1e-6
"""Probability with which a sketch may miss more than its estimate, by the model of that."""

_DEVIATIONS = 4.753
"""Standard deviations of a normal number that are exceeded with that probability."""

LEAST_COLUMNS = 6
"""Fewer columns of a sketch say too little of what it misses."""

MOST_COLUMNS = 19
"""More are not trusted to narrow a quantile: what a sketch misses depends on all of them."""


def chi_square_mean(degrees: int, deviations: float) -> float:
    """Quantile of chi^2 over its degrees of freedom; Wilson & Hilferty 1931: low ones too low."""
    spread = 2.0 / (9.0 * degrees)
    return float(max(1.0 - spread + deviations * np.sqrt(spread), 0.0) ** 3)


def least_mean_square(degrees: int) -> float:
    """Return what the mean square of Gaussian numbers is below with probability `UNLIKELY` at most.

    P(chi^2 < q) < (q/2)^h / h! for h = degrees / 2, or by :func:`chi_square_mean`: both are low.
    """
    half = degrees / 2
    series = math.exp((math.log(UNLIKELY) + math.lgamma(half + 1)) / half) / half
    return max(series, chi_square_mean(degrees, -_DEVIATIONS))


def missed_by_sketch(z: NDArray[np.float64], y2: NDArray[np.float64]) -> float:
    """Bound the norm of E = A^T (I - Q Q^T) A with Q = orth(A Omega), by leaving out.

    z = A^T A Omega is n x l, y2 = (A Omega)^T (A Omega) l x l and not singular. Leave two columns
    out, J = {i, j}: what their Q_J misses is E_J >= E, of which omega_i and omega_j are
    independent, so that (omega_i^T E_J^2 omega_j)^2 has the mean tr E_J^4 >= ||E||^4. All pairs
    come from one inverse, M = y2^-1: with C = z M, E_J Omega_J = C_J (M_JJ)^-1.

    Leaving out is that of Epperly & Tropp 2024, "Efficient error and variance estimation for
    randomized matrix computations"; pairs for the fourth power are those of Kong & Valiant 2017.
    The mean over pairs errs by chance: where E has one direction, it is ||E||^4 times the square of
    chi^2_l / l, by whose quantile it is divided. On steep spectra E itself is a matter of chance,
    and the mean over pairs has heavy tails, so that l counts as no more than 19 there. That is a
    model and a margin, not a theorem; how often it holds was measured, see :meth:`Sketch.svd`.
    """
    width = len(y2)
    if width < LEAST_COLUMNS:
        return np.inf
    M = np.linalg.inv(y2)
    C = z @ M
    G = C.T @ C
    m, g = np.diag(M), np.diag(G)
    squares = M**2
    determinants = np.outer(m, m) - squares
    np.fill_diagonal(determinants, 1.0)
    cross = (np.outer(m, m) + squares) * G - M * (np.outer(g, m) + np.outer(m, g))
    pairs = cross / determinants**2  # omega_i^T E_J^2 omega_j
    np.fill_diagonal(pairs, 0.0)
    fourth = float(np.sum(pairs**2)) / (width * (width - 1))
    return float(fourth**0.25 / np.sqrt(least_mean_square(min(width, MOST_COLUMNS))))
