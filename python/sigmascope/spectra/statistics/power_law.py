# SPDX-License-Identifier: BSD-3-Clause
"""Power-law fits of the tail of lambda, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope.spectra import Measure
from sigmascope.spectra.tails import least_distances

from .ranks import TINY, checked, relative, spectral_norm

Array = NDArray[np.float64]

# lambda below this fraction of lambda_1 is left out. The threshold is relative: an absolute one
# would make the alpha of a matrix of small scale meaningless.
RELATIVE_CUT = 1e-10
# No tail shorter than this is fitted: with a handful of values every law fits.
MIN_TAIL = 10
# Tails whose D is within this factor of the least D count as equally good.
STABLE = 1.05


@dataclass(frozen=True, slots=True)
class PowerLawFit:
    """Density ~ lambda^-alpha for lambda >= x_min.

    Attributes
    ----------
    alpha, standard_error
        Maximum likelihood exponent, and (alpha - 1) / sqrt(tail).
    D
        Kolmogorov-Smirnov distance between the tail and the law.
    x_min, tail
        Least value of the tail (lambda units), and its number of values.
    low, high
        Stability range: least and largest alpha over all x_min with D <= 1.05 D_min.
    """

    alpha: float
    standard_error: float
    D: float
    x_min: float
    tail: int
    low: float
    high: float


def fit_power_law(sigma: ArrayLike, floor: float = 0.0) -> PowerLawFit:
    """Fit alpha by Clauset, Shalizi & Newman 2009: x_min is the lambda_i with the least D.

    Parameters
    ----------
    sigma
        (p,) singular values, descending. Those with lambda <= 1e-10 lambda_1, or not above
        ``floor`` (sigma units), are left out. O(p^2) time at worst, O(p) memory.

    Raises
    ------
    ValueError
        If all values are zero or equal, or fewer than 10 values remain.

    Notes
    -----
    The distance is two-sided at every step, so D >= 1 / (2 tail) and short tails are not favoured.
    D often has two nearly equal minima with very different alpha: compare ``low`` and ``high``.
    """
    s = checked(sigma)
    return _fit(relative(s), float(s[0]), floor)


def _fit(s: Array, top: float, floor: float) -> PowerLawFit:
    """Compute :func:`fit_power_law` of values relative to the largest, which is `top`."""
    x = s**2
    x = x[: np.count_nonzero((x > RELATIVE_CUT) & (s > floor / top))]
    log, count = np.log(x), np.arange(MIN_TAIL, len(x) + 1)
    excess = log.cumsum()[MIN_TAIL - 1 :] - count * log[MIN_TAIL - 1 :]
    usable = excess > 1e-9 * count
    usable[:-1] &= x[MIN_TAIL:] < x[MIN_TAIL - 1 : -1]  # the last of equal values
    count, excess = count[usable], excess[usable]
    if len(count) == 0:
        raise ValueError(f"a power law needs {MIN_TAIL} values, not all equal; {len(x)} are usable")
    alpha = 1.0 + count / excess
    D = least_distances(log, count, alpha, STABLE, both=True)
    best, least = int(D.argmin()), float(D.min())
    stable = alpha[STABLE * least >= D]
    tail = int(count[best])
    return PowerLawFit(
        alpha=float(alpha[best]),
        standard_error=float((alpha[best] - 1.0) / math.sqrt(tail)),
        D=least,
        x_min=float(x[tail - 1] * top**2),
        tail=tail,
        low=float(stable.min()),
        high=float(stable.max()),
    )


def alpha_weighted(fit: PowerLawFit, sigma: ArrayLike) -> float:
    """Return alpha log10 lambda_1 (Martin & Mahoney). Depends on the scale of the matrix."""
    return fit.alpha * 2.0 * math.log10(spectral_norm(sigma))


def log_alpha_norm(fit: PowerLawFit, sigma: ArrayLike) -> float:
    """Return log10 sum lambda^alpha (Martin & Mahoney). Depends on the scale of the matrix."""
    powers = relative(sigma) ** (2.0 * fit.alpha)
    return alpha_weighted(fit, sigma) + math.log10(float(powers.sum()))


def alpha_hill(sigma: ArrayLike, floor: float = 0.0) -> float:
    """Return 1 + k / sum_{i <= k} ln(lambda_i / lambda_k) for k = p // 2 (Hill 1975).

    Range (1, inf). The aspect ratio biases it: compare only matrices of one shape. ValueError if
    k < 2, if sigma_k is not above ``floor`` and 1e-5 sigma_1, or if the k values are equal.
    """
    s = checked(sigma)
    return _hill(relative(s), float(s[0]), floor)


def _hill(s: Array, top: float, floor: float) -> float:
    """Compute :func:`alpha_hill` of values relative to the largest, which is `top`."""
    k = len(s) // 2
    if k < 2 or s[k - 1] ** 2 <= RELATIVE_CUT or s[k - 1] <= floor / top:
        raise ValueError(f"alpha_hill needs at least 2 resolved values in the upper half; k = {k}")
    total = float((np.log(s[:k] ** 2) - math.log(s[k - 1] ** 2)).sum())
    if total <= 1e-9 * k:
        raise ValueError("alpha_hill is undefined: the upper half of the values is all equal")
    return 1.0 + k / total


def tail_measures(sigma: Array, errors: Array, floor: float, unit: int = 0) -> dict[str, Measure]:
    """Compute the power laws of all p singular values; laws that cannot be fitted are absent.

    alpha, alpha_low, alpha_high
        See :class:`PowerLawFit`. Range (1, inf), no unit. The error of alpha is its standard error
        for the chosen x_min; the range is exact for the computed values.
    alpha_D, alpha_x_min, alpha_tail
        No unit, lambda, a count; exact for the computed values, up to their errors.
    alpha_weighted, log_alpha_norm
        log10 of lambda, for sigma in units of 2^unit; the error follows from that of alpha.
    alpha_hill
        Range (1, inf); the error is (alpha - 1) / sqrt(k).

    O(p^2) time at worst, mostly O(p).
    """
    measures: dict[str, Measure] = {}
    top, s = float(sigma[0]), sigma / sigma[0]

    def put(name: str, value: float, error: float = 0.0) -> None:
        measures[name] = Measure(value, error, "spectrum")

    with suppress(ValueError):
        fit = _fit(s, top, floor)
        put("alpha", fit.alpha, fit.standard_error)
        put("alpha_D", fit.D)
        e = float(errors[fit.tail - 1])
        put("alpha_x_min", fit.x_min, 2 * math.sqrt(fit.x_min) * e + e**2)
        put("alpha_tail", float(fit.tail))
        put("alpha_low", fit.low)
        put("alpha_high", fit.high)
        decades = 2 * (math.log10(top) + unit * math.log10(2.0))
        put("alpha_weighted", fit.alpha * decades, fit.standard_error * abs(decades))
        powers = s ** (2 * fit.alpha)
        total = float(powers.sum())
        slope = decades + 2 * float((powers * np.log10(np.maximum(s, TINY))).sum()) / total
        log_norm = fit.alpha * decades + math.log10(total)
        put("log_alpha_norm", log_norm, abs(slope) * fit.standard_error)
    with suppress(ValueError):
        hill = _hill(s, top, floor)
        put("alpha_hill", hill, (hill - 1) / math.sqrt(len(s) // 2))
    return measures


def alpha_farms(parts: Sequence[ArrayLike], floor: float = 0.0) -> Measure:
    """Return the Hill exponent of the values of several sub-matrices, taken together.

    Parameters
    ----------
    parts
        Every singular value of each sub-matrix, (p,) descending. All sub-matrices have one shape.
        The aspect ratio, which biases :func:`alpha_hill`, is therefore the same for every matrix.
    floor
        Rounding floor: values at or below this sigma are not resolved.

    Returns
    -------
    Measure
        1 + k / sum_{i <= k} ln(lambda_i / lambda_k) over the k largest of all values, k half of
        their number. Range (1, inf), no unit. The standard error is the larger of
        (alpha - 1) / sqrt(k) and the standard error of the mean over the parts, which overlap. With
        one part it is the former.

    Raises
    ------
    ValueError
        As :func:`alpha_hill` does, for all values together.

    Notes
    -----
    Hu, Goel, Killiakov & Yang 2025 (FARMS, arXiv 2506.06280). They use a regular grid of windows;
    the windows of this package are defined in :mod:`sigmascope.analysis.requested`.
    """
    pooled = np.sort(np.concatenate([np.asarray(part, dtype=np.float64) for part in parts]))[::-1]
    alpha = alpha_hill(pooled, floor)
    error = (alpha - 1.0) / math.sqrt(len(pooled) // 2)
    if len(parts) > 1:
        with suppress(ValueError):  # a part may be all zeros
            each = [alpha_hill(part, floor) for part in parts]
            error = max(error, float(np.std(each, ddof=1)) / math.sqrt(len(parts)))
    return Measure(alpha, error, "sub-matrices")
