# SPDX-License-Identifier: BSD-3-Clause
"""Every measure that an effort allows, each with its error: values, density, or top k in, dict out.

A measure is in the result only if what was computed supports it. An effective rank of the twenty
values that a sketch kept is not an effective rank; what is undefined (a ratio of a zero matrix, an
entropy of one value, a condition number below the floor) is absent too. Errors of the values are
propagated as bounds, to first order and all at their worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope.spectra import Basis, Density, Measure

from . import marchenko_pastur as mp
from . import power_law, ranks

Array = NDArray[np.float64]
Measures = dict[str, Measure]

ENERGY_SHARES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99}
ROUNDING = 2.0**-48  # of a Frobenius norm summed in float64, relative


def measures_from_values(
    values: ArrayLike,
    errors: ArrayLike,
    shape: tuple[int, int],
    fro_norm: float,
    *,
    floor: float = 0.0,
    k: int | None = None,
    rtol: float = ranks.RANK_RTOL,
) -> Measures:
    """Compute all measures of one matrix from all its singular values.

    Parameters
    ----------
    values, errors
        (min(m, n),) descending, and a bound on the error of each; sigma units.
    shape, fro_norm
        (m, n), and the exact ||A||_F.
    floor
        Below this sigma the method cannot tell a value from zero.
    k
        For ``concentration_k``; min(64, min(m, n)) if None.
    rtol
        Relative cut of ``numerical_rank``.

    Raises
    ------
    ValueError
        Values that are not min(m, n) finite, non-negative, descending numbers.
    """
    s, e = _checked(values, errors, shape, fro_norm)
    if len(s) != min(shape):
        raise ValueError(f"{len(s)} singular values for a {shape[0]} x {shape[1]} matrix")
    k = min(64, len(s)) if k is None else k
    found = _from_top(s, e, fro_norm, min(k, len(s)), "spectrum")
    found["nuclear_norm"] = Measure(float(s.sum()), float(e.sum()), "spectrum")
    found["numerical_rank"] = _numerical_rank(s, e, rtol, floor)
    if s[0] == 0:
        return found
    found |= _ranks(s / s[0], e / s[0])
    if s[-1] > floor and s[-1] > 2 * e[-1]:
        value = ranks.condition(s)
        worst = (1 + float(e[0] / s[0])) / (1 - float(e[-1] / s[-1]))
        found["condition"] = Measure(value, value * (worst - 1), "spectrum")
    found |= _tail(s, floor)
    middle = Measure(float(np.median(s)), float(np.median(e)), "spectrum")
    if middle.value > floor:
        found |= _noise(middle, found["spectral_norm"], shape, lambda x, w: _count(s, e, x, w))
    return found


def measures_from_density(
    density: Density,
    top: ArrayLike,
    top_errors: ArrayLike,
    shape: tuple[int, int],
    fro_norm: float,
    *,
    k: int | None = None,
    rtol: float = ranks.RANK_RTOL,
) -> Measures:
    """Compute what a density and the top k values allow: all but condition and power laws.

    ``numerical_rank`` is there only if it is certain: the resolved values hold all the energy but
    what (rtol sigma_1)^2 could, so that no other value can exceed the cut.
    """
    s, e = _checked(top, top_errors, shape, fro_norm)
    found = _from_top(s, e, fro_norm, min(k or len(s), len(s)), "top")
    found["nuclear_norm"] = density.nuclear_norm()
    rank = _certain_rank(density, rtol)
    if rank is not None:
        found["numerical_rank"] = rank
    if fro_norm == 0:
        return found
    nuclear = found["nuclear_norm"]
    rank_of_norm = (nuclear.value / fro_norm) ** 2
    found["nuclear_rank"] = Measure(
        rank_of_norm, 2 * rank_of_norm * nuclear.error / nuclear.value, "density"
    )
    found["effective_rank"] = density.effective_rank()
    found["effective_rank_energy"] = density.effective_rank_energy()
    found["participation_ratio"] = density.participation_ratio()
    found |= _spectral_entropy(found["effective_rank"], min(shape))
    for name, share in ENERGY_SHARES.items():
        found.setdefault(f"energy_rank_{name}", density.energy_rank(share))
    middle = density.quantile(0.5)
    if middle.value > 2 * middle.error:

        def count(x: float, width: float) -> Measure:
            if len(s) == min(shape) or s[-1] < x - width:
                return _count(s, e, x, width)
            low, mid, high = (density.count_above(y) for y in (x - width, x, x + width))
            error = mid.error + (low.value - high.value) / 2
            return Measure(float(round(mid.value)), error, "density")

        found |= _noise(middle, found["spectral_norm"], shape, count)
    return found


def measures_from_top(
    top: ArrayLike, top_errors: ArrayLike, shape: tuple[int, int], fro_norm: float
) -> Measures:
    """Compute what the top k values and the exact ||A||_F allow.

    Norms, stable rank, concentrations, and those energy ranks that the k values reach. With
    k = min(m, n) they are the whole spectrum, and so is the answer.
    """
    s, e = _checked(top, top_errors, shape, fro_norm)
    if len(s) == min(shape):
        return measures_from_values(s, e, shape, fro_norm, k=len(s))
    return _from_top(s, e, fro_norm, len(s), "top")


def _checked(
    values: ArrayLike, errors: ArrayLike, shape: tuple[int, int], fro_norm: float
) -> tuple[Array, Array]:
    s, e = ranks.checked(values), np.asarray(errors, dtype=np.float64)
    if e.shape != s.shape or not np.all(np.isfinite(e)) or e.min() < 0:
        raise ValueError(f"errors must be {len(s)} finite numbers >= 0, not of shape {e.shape}")
    if len(s) > min(shape):
        raise ValueError(f"{len(s)} singular values for a {shape[0]} x {shape[1]} matrix")
    if not (math.isfinite(fro_norm) and fro_norm >= 0):
        raise ValueError(f"fro_norm must be finite and >= 0, not {fro_norm}")
    return s, e


def _from_top(s: Array, e: Array, fro: float, k: int, basis: Basis) -> Measures:
    """Norms, stable rank, concentrations, and the energy ranks within reach."""
    found: Measures = {
        "fro_norm": Measure(fro, ROUNDING * fro, "exact"),
        "spectral_norm": Measure(float(s[0]), float(e[0]), basis),
    }
    if fro == 0 or s[0] == 0:
        return found
    share = (s / fro) ** 2
    spread = (2 * s * e + e**2) / fro**2
    stable = 1.0 / float(share[0])
    found["stable_rank"] = Measure(stable, stable * (2 * float(e[0] / s[0]) + ROUNDING), basis)
    held, slack = np.cumsum(share), np.cumsum(spread)
    for name, count in (("1", 1), ("10", 10), ("k", k)):
        if count <= len(s):
            value = min(float(held[count - 1]), 1.0)
            error = float(slack[count - 1]) + ROUNDING * value
            found[f"concentration_{name}"] = Measure(value, error, basis)
    for name, q in ENERGY_SHARES.items():
        rank = _energy_rank(held, slack, q, basis)
        if rank is not None:
            found[f"energy_rank_{name}"] = rank
    return found


def _energy_rank(held: Array, slack: Array, q: float, basis: Basis) -> Measure | None:
    """Least k that holds q, with the ranks that the slack of the energies allows as its error."""
    target = q * (1.0 - ranks.TIE)
    k, least, most = (int(np.searchsorted(x, target)) for x in (held, held + slack, held - slack))
    if k == len(held):
        return None
    return Measure(float(k + 1), float(max(k - least, most - k)), basis)


def _ranks(s: Array, e: Array) -> Measures:
    """Ranks that need every value; s and e relative to sigma_1."""
    x, d = s**2, 2 * s * e + e**2
    p = len(s)
    effective = _entropy_rank(ranks.effective_rank(s), s, e)
    energy = _entropy_rank(ranks.effective_rank_energy(s), x, d)
    ratio, ratio4 = ranks.nuclear_rank(s), ranks.participation_ratio(s)
    nuclear_slope = np.abs(2 / s.sum() - 2 * s / x.sum())
    ratio_slope = np.abs(2 / x.sum() - 2 * x / np.sum(x**2))
    return {
        "effective_rank": effective,
        "effective_rank_energy": energy,
        **_spectral_entropy(effective, p),
        "participation_ratio": Measure(ratio4, float(ratio4 * (ratio_slope @ d)), "spectrum"),
        "nuclear_rank": Measure(ratio, float(ratio * (nuclear_slope @ e)), "spectrum"),
    }


def _entropy_rank(rank: float, weights: Array, errors: Array) -> Measure:
    """Return exp of an entropy; d entropy / d weight_i = -(ln p_i + entropy) / total."""
    total = weights.sum()
    # ln p is infinite at 0; over the error of a value it is no worse than at that error.
    p = np.maximum(weights, np.maximum(errors, np.finfo(np.float64).tiny)) / total
    slope = np.abs(np.log(p) + math.log(rank)) / total
    return Measure(rank, float(rank * (slope @ errors)) + 1e-14 * rank, "spectrum")


def _spectral_entropy(rank: Measure, p: int) -> Measures:
    if p == 1:
        return {}
    value = math.log(max(rank.value, 1.0)) / math.log(p)
    return {"spectral_entropy": Measure(value, rank.error / rank.value / math.log(p), rank.basis)}


def _numerical_rank(s: Array, e: Array, rtol: float, floor: float) -> Measure:
    cut = max(rtol * float(s[0]), floor)
    return _count(s, e, cut, 0.0)


def _count(s: Array, e: Array, x: float, width: float) -> Measure:
    """How many values exceed x, and how many of them could be on the other side of it."""
    above = int(np.sum(s > x))
    most, least = int(np.sum(s + e > x - width)), int(np.sum(s - e > x + width))
    return Measure(float(above), float(max(most - above, above - least)), "spectrum")


def _certain_rank(density: Density, rtol: float) -> Measure | None:
    """Return the numerical rank if rounding and the energy left over cannot change it."""
    rule = density.quadrature
    values = rule.converged
    if density.fro_norm == 0:
        return Measure(0.0, 0.0, "density")
    if len(values) == 0:
        return None
    cut = rtol**2 * float(values[0])
    # A node is known to its resolution, and one that was taken for 0 to twice that.
    doubtful = bool(np.any(np.abs(values - cut) <= 2.0 * rule.resolution))
    left = abs(density.fro_norm**2 - float(values.sum())) + len(values) * rule.resolution
    if doubtful or not (density.exact or left <= cut):
        return None
    return Measure(float(np.sum(values > cut)), 0.0, "density")


def _tail(s: Array, floor: float) -> Measures:
    """Power laws; each is absent where it cannot be fitted."""
    found: Measures = {}

    def put(name: str, value: float, error: float = 0.0) -> None:
        found[name] = Measure(value, error, "spectrum")

    with suppress(ValueError):
        fit = power_law.fit_power_law(s, floor)
        put("alpha", fit.alpha, fit.standard_error)
        put("alpha_D", fit.D)
        put("alpha_x_min", fit.x_min)
        put("alpha_tail", float(fit.tail))
        put("alpha_low", fit.low)
        put("alpha_high", fit.high)
        decades = 2 * math.log10(float(s[0]))
        put("alpha_weighted", fit.alpha * decades, fit.standard_error * abs(decades))
        powers = (s / s[0]) ** (2 * fit.alpha)
        logs = np.log10(np.where(s > 0, s, s[0])) * 2
        slope = abs(float(powers @ logs / powers.sum()))
        put("log_alpha_norm", power_law.log_alpha_norm(fit, s), slope * fit.standard_error)
    with suppress(ValueError):
        hill = power_law.alpha_hill(s, floor)
        put("alpha_hill", hill, (hill - 1) / math.sqrt(len(s) // 2))
    return found


def _noise(
    middle: Measure,
    top: Measure,
    shape: tuple[int, int],
    count: Callable[[float, float], Measure],
) -> Measures:
    """Marchenko-Pastur edge and what stands above it; nothing for a handful of values."""
    if min(shape) < mp.MIN_VALUES:
        return {}
    edge = mp.mp_edge(middle.value, shape)
    error = edge * middle.error / middle.value
    soft = (edge / top.value) ** 2
    soft_error = 2 * soft * (middle.error / middle.value + top.error / top.value)
    # Noise itself may pass the edge by two Tracy-Widom widths.
    outliers = count(edge, error + 2 * mp.tracy_widom_width(middle.value, shape))
    return {
        "mp_edge": Measure(edge, error, middle.basis),
        "mp_outliers": Measure(outliers.value, outliers.error, middle.basis),
        "mp_softrank": Measure(soft, soft_error, middle.basis),
    }
