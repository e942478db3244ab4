# SPDX-License-Identifier: BSD-3-Clause
"""The columns of weightwatcher 0.7.7, computed from a spectrum.

Names and units follow its table ``details``: spectral_norm and xmin are eigenvalues lambda =
sigma^2, norm is their sum. If its rules differ from those of this package, its rules apply: its
power law leaves out eigenvalues at or below 1e-5, whatever the scale of the matrix, and takes the
distance D on one side of each step. A column is None if weightwatcher would print a placeholder
(an alpha of -1, which its thresholds then call over-trained), or if the effort cannot give it.
:func:`details` names the one column that is estimated in another way.

The tests check it against the published formulas (Martin & Mahoney 2021) and, if it is installed,
against weightwatcher itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .measure import Measure
from .tails import least_distances

FIT = ("ww_alpha", "ww_D", "ww_xmin", "ww_num_pl_spikes", "ww_log_alpha_norm")
"""Results of :func:`power_law`; a scan stores them, since its rows hold no spectrum."""

THRESHOLD = 1e-5
SMALL, LEAST_TAIL = 20, 8
OVER_TRAINED, UNDER_TRAINED = 2.0, 6.0
WEAK = 1e-6


def power_law(sigma: ArrayLike | None) -> dict[str, float | None]:
    """Fit the power law of lambda by the rules of weightwatcher 0.7.7.

    Parameters
    ----------
    sigma
        (p,) every singular value, in any order; None if they are not known.

    Returns
    -------
    dict
        The columns `FIT`: alpha = 1 + n / sum ln(lambda / xmin) over the n values from xmin up;
        D, the largest |F(lambda_j) - (j - 1)/n| of these in ascending order; xmin (lambda), the
        value with the least D; the number of values from there up; log10 sum lambda^alpha. With
        fewer than 20 values, n - 1 replaces n in alpha, and tails have at least 8 values. All are
        None if nothing can be fitted. O(p^2) time at worst, O(p) memory.
    """
    nothing: dict[str, float | None] = dict.fromkeys(FIT)
    if sigma is None:
        return nothing
    with np.errstate(over="ignore"):
        every = np.sort(np.asarray(sigma, dtype=np.float64) ** 2)[::-1]
    x = every[(every > THRESHOLD) & np.isfinite(every[0])]
    few = len(x) < SMALL
    log = np.log(x)
    count = np.arange(1, len(x) + 1)
    excess = np.cumsum(log) - count * log
    least = max(min(LEAST_TAIL, len(x)) if few else 2, 2)
    usable = np.flatnonzero((count >= least) & (excess > 1e-12 * count))  # not all equal
    if len(usable) == 0:
        return nothing
    alphas = 1.0 + (count[usable] - few) / excess[usable]
    D = least_distances(log, count[usable], alphas, 1.0, both=False)
    best = len(D) - 1 - int(np.argmin(D[::-1]))  # the longest tail among equal ones
    alpha, xmin, top = float(alphas[best]), float(x[usable[best]]), float(every[0])
    powers = math.log10(float(np.sum((every / top) ** alpha)))
    spikes = float(np.sum(every >= xmin))
    numbers = alpha, float(D[best]), xmin, spikes, alpha * math.log10(top) + powers
    return dict(zip(FIT, numbers, strict=True))


def details(record: Mapping[str, Any], least: Measure | None) -> dict[str, Any]:
    """Return the columns of one layer, from N on.

    Parameters
    ----------
    record
        ``rows``, ``columns``, ``effort``, measures and their errors by our names, and `FIT`.
    least
        The smallest singular value (sigma), if it is known or estimated.

    Notes
    -----
    ``entropy`` is -sum p ln p / ln rank for p = lambda / sum lambda, without the 1e-10 that
    weightwatcher adds to each p. ``mp_softrank``, the edge of the bulk over lambda_max, takes the
    scale of the noise from the median singular value. weightwatcher fits a smoothed histogram,
    which a few large values distort. ``rank_loss``, ``weak_rank_loss``, ``matrix_rank`` and
    ``entropy`` are given only if the rank is certainly full.
    """
    M, N = sorted((int(record["rows"]), int(record["columns"])))
    norm, top = _square(record.get("fro_norm")), _square(record.get("spectral_norm"))
    known = least is not None and least.value > 2.0 * least.error
    full = record.get("numerical_rank") == M and record.get("numerical_rank_error") == 0.0
    alpha, spikes = record.get("ww_alpha"), record.get("ww_num_pl_spikes")
    energy = record.get("effective_rank_energy")
    return {
        "N": N,
        "M": M,
        "rf": 1,
        "Q": N / M,
        "num_evals": M,
        "sv_max": record.get("spectral_norm"),
        "sv_min": least.value if least is not None and known else None,
        "rank_loss": 0 if full else None,
        "weak_rank_loss": 0 if full and least is not None and least.value**2 > 2 * WEAK else None,
        "lambda_max": top,
        "alpha": alpha,
        "xmin": record.get("ww_xmin"),
        "xmax": None if alpha is None else top,
        "D": record.get("ww_D"),
        "sigma": None if alpha is None or not spikes else (alpha - 1.0) / math.sqrt(spikes),
        "num_pl_spikes": None if spikes is None else int(spikes),
        "status": "success" if alpha is not None else _failed(record),
        "warning": None if alpha is None else _warning(alpha),
        "norm": norm,
        "log_norm": _log10(norm),
        "spectral_norm": top,
        "log_spectral_norm": _log10(top),
        "alpha_weighted": None if alpha is None or not top else alpha * math.log10(top),
        "log_alpha_norm": record.get("ww_log_alpha_norm"),
        "stable_rank": record.get("stable_rank"),
        "matrix_rank": M if full else None,
        "entropy": math.log(energy) / math.log(M) if full and energy and M > 1 else None,
        "mp_softrank": record.get("mp_softrank"),
    }


def _failed(record: Mapping[str, Any]) -> str | None:
    """Return "failed" if a fit was tried, which needs every value; else None."""
    return "failed" if record.get("effort") == "exact" else None


def _warning(alpha: float) -> str:
    if alpha < OVER_TRAINED:
        return "over-trained"
    return "under-trained" if alpha > UNDER_TRAINED else ""


def _square(x: float | None) -> float | None:
    return None if x is None else x * x


def _log10(x: float | None) -> float | None:
    return math.log10(x) if x else None
