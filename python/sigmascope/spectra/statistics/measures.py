# SPDX-License-Identifier: BSD-3-Clause
"""Dictionaries of all measures with their errors, from all values, a density, or the top k values.

A measure is in the result only if the input determines it: the effective rank of twenty values of a
sketch is not the effective rank of the matrix. Undefined measures (a ratio of a zero matrix, an
entropy of one value, a condition number below the floor) are absent too. Errors of the values are
propagated as bounds, to first order and all with their worst signs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope.spectra import Basis, Density, Known, Measure
from sigmascope.spectra.units import exponent_of, scaled, scaled_errors

from . import bulk, power_law, ranks
from .noise_edge import Extremes

Array = NDArray[np.float64]
Measures = dict[str, Measure]

ENERGY_SHARES = {"50": 0.50, "90": 0.90, "95": 0.95, "99": 0.99}
_TARGETS = np.array(list(ENERGY_SHARES.values())) * (1.0 - ranks.TIE)
ROUNDING = 2.0**-48
"""Relative error of sums of measures in float64, such as the Frobenius norm."""

COUNTS = "energy_rank_", "numerical_rank", "mp_outliers", "mp_lower_", "alpha_tail", "shoulder_"
"""Beginnings of the names of measures that are whole numbers, and may be exact."""

_WORST = 1e100
"""Largest error of a value that is counted, relative to the largest value; its square is finite."""

_SIGMAS = {"fro_norm": 1, "spectral_norm": 1, "nuclear_norm": 1, "mp_edge": 1, "alpha_x_min": 2}
"""Powers of sigma in the units of measures; all others have no unit, or are logarithms."""


class MatrixNorms(NamedTuple):
    """Shape and norms of one matrix.

    Attributes
    ----------
    shape, fro_norm
        (m, n), and the exact ||A||_F.
    unit
        Norms, and values that come with them, are in units of 2^unit; measures are not.
    extremes
        Largest norms of rows, columns and entries, if they are known.
    """

    shape: tuple[int, int]
    fro_norm: float
    unit: int = 0
    extremes: Extremes | None = None

    def in_unit(self, unit: int) -> MatrixNorms:
        """Return the norms in units of 2^unit."""
        if (shift := unit - self.unit) == 0:
            return self
        extremes = self.extremes and self.extremes.scaled(-shift)
        return MatrixNorms(self.shape, scaled(self.fro_norm, -shift), unit, extremes)


def measures_from_values(
    values: ArrayLike,
    errors: ArrayLike,
    norms: MatrixNorms,
    *,
    floor: float = 0.0,
    k: int | None = None,
) -> Measures:
    """Compute all measures of one matrix from all its singular values.

    Parameters
    ----------
    values, errors
        (min(m, n),) descending, and a bound on the error of each; in units of `norms`.
    floor
        Rounding floor: the method cannot distinguish a value below this sigma from zero.
    k
        Number of values of ``concentration_k``; min(64, min(m, n)) if None.

    Raises
    ------
    ValueError
        Unless the values are min(m, n) finite, non-negative, descending numbers.
    """
    s, e = _checked(values, errors, norms)
    shape = norms.shape
    if len(s) != min(shape):
        raise ValueError(f"{len(s)} singular values for a {shape[0]} x {shape[1]} matrix")
    if (shift := exponent_of(float(s[0]))) != 0:
        s, e, floor = scaled(s, -shift), scaled_errors(e, s, -shift), scaled(floor, -shift)
        norms = norms.in_unit(norms.unit + shift)
    unit = norms.unit
    k = min(64, len(s)) if k is None else k
    measures = _from_top(s, e, norms.fro_norm, min(k, len(s)), "spectrum")
    measures["nuclear_norm"] = Measure(float(s.sum()), float(e.sum()), "spectrum")
    known = Known(len(s), s, e)
    cut = bulk.Cut(max(ranks.RANK_RTOL * float(s[0]), floor))
    measures["numerical_rank"] = bulk.count(known, cut)
    if s[0] == 0:
        return _finished(measures, unit)
    measures |= _ranks(s / s[0], np.minimum(e / s[0], _WORST))
    if s[-1] > floor and s[-1] > 2 * e[-1]:
        value = float(s[0] / s[-1])
        worst = (1 + float(e[0] / s[0])) / (1 - float(e[-1] / s[-1]))
        measures["condition"] = Measure(value, value * (worst - 1), "spectrum")
    measures |= power_law.tail_measures(s, e, floor, unit)
    middle = known.quantile(0.5)
    if middle.value > max(floor, 2 * middle.error):
        top = measures["spectral_norm"]
        measures |= bulk.bulk_measures(known, middle, top, shape, norms.fro_norm, norms.extremes)
    return _finished(measures, unit)


def measures_from_density(
    density: Density,
    top: ArrayLike,
    top_errors: ArrayLike,
    norms: MatrixNorms,
    *,
    k: int | None = None,
) -> Measures:
    """Compute the measures of a density and the top k values: all except condition, power laws.

    ``numerical_rank`` is present only if it is certain: the energy outside the resolved values is
    at most (1e-6 sigma_1)^2, so that no other value can exceed the threshold. ``top`` and
    ``top_errors`` are in units of `norms`.
    """
    s, e = _checked(top, top_errors, norms)
    if (shift := density.exponent - norms.unit) != 0:
        s, e = scaled(s, -shift), scaled_errors(e, s, -shift)
        norms = norms.in_unit(density.exponent)
    shape, fro_norm, unit, extremes = norms
    density = density.in_units()
    measures = _from_top(s, e, fro_norm, min(k or len(s), len(s)), "top")
    measures["nuclear_norm"] = density.nuclear_norm()
    rank = _certain_rank(density)
    if rank is not None:
        measures["numerical_rank"] = rank
    if fro_norm == 0:
        return _finished(measures, unit)
    nuclear = measures["nuclear_norm"]
    rank_of_norm = (nuclear.value / fro_norm) ** 2
    measures["nuclear_rank"] = Measure(
        rank_of_norm, 2 * rank_of_norm * nuclear.error / nuclear.value, "density"
    )
    measures["effective_rank"] = density.effective_rank()
    measures["effective_rank_energy"] = density.effective_rank_energy()
    measures["participation_ratio"] = density.participation_ratio()
    measures |= _spectral_entropy(measures["effective_rank"], min(shape))
    for name, share in ENERGY_SHARES.items():
        measures.setdefault(f"energy_rank_{name}", density.energy_rank(share))
    known = Known(min(shape), s, e, density)
    middle = known.quantile(0.5)
    if middle.value > 2 * middle.error:
        top_value = measures["spectral_norm"]
        measures |= bulk.bulk_measures(known, middle, top_value, shape, fro_norm, extremes)
    return _finished(measures, unit)


def measures_from_top(top: ArrayLike, top_errors: ArrayLike, norms: MatrixNorms) -> Measures:
    """Compute the measures that follow from the top k values and the exact ||A||_F.

    These are norms, stable rank, concentrations, and the energy ranks that the k values reach. With
    k = min(m, n) the values are the whole spectrum, and the result equals
    :func:`measures_from_values`. ``top`` and ``top_errors`` are in units of `norms`.
    """
    s, e = _checked(top, top_errors, norms)
    if len(s) == min(norms.shape):
        return measures_from_values(s, e, norms, k=len(s))
    if (shift := exponent_of(float(s[0]))) != 0:
        s, e = scaled(s, -shift), scaled_errors(e, s, -shift)
        norms = norms.in_unit(norms.unit + shift)
    return _finished(_from_top(s, e, norms.fro_norm, len(s), "top"), norms.unit)


def _finished(measures: Measures, unit: int) -> Measures:
    """Return the measures of the matrix times 2^unit, with the rounding of their own sums.

    Errors of values that nearly cancel in a measure may be far below a unit in its last place.
    """
    return {
        name: _rounded(name, measure).scaled(_SIGMAS.get(name, 0) * unit)
        for name, measure in measures.items()
    }


def _rounded(name: str, measure: Measure) -> Measure:
    least = ROUNDING * abs(measure.value)
    if measure.error >= least or name.startswith(COUNTS):
        return measure
    return replace(measure, error=least)


def _checked(values: ArrayLike, errors: ArrayLike, norms: MatrixNorms) -> tuple[Array, Array]:
    shape, fro_norm = norms.shape, norms.fro_norm
    s, e = ranks.checked(values), np.asarray(errors, dtype=np.float64)
    if e.shape != s.shape or not (e.min() >= 0 and e.max() < math.inf):  # false for NaN
        raise ValueError(f"errors must be {len(s)} finite numbers >= 0, not of shape {e.shape}")
    if len(s) > min(shape):
        raise ValueError(f"{len(s)} singular values for a {shape[0]} x {shape[1]} matrix")
    if not (math.isfinite(fro_norm) and fro_norm >= 0):
        raise ValueError(f"fro_norm must be finite and >= 0, not {fro_norm}")
    return s, e


def _from_top(s: Array, e: Array, fro: float, k: int, basis: Basis) -> Measures:
    """Compute norms, stable rank, concentrations, and the energy ranks that the values reach."""
    measures: Measures = {
        "fro_norm": Measure(fro, ROUNDING * fro, "exact"),
        "spectral_norm": Measure(float(s[0]), float(e[0]), basis),
    }
    if fro == 0 or s[0] == 0:
        return measures
    share, e = (s / fro) ** 2, np.minimum(e, _WORST * s[0])
    spread = e * (2 * s + e) / fro**2
    stable = 1.0 / float(share[0])
    measures["stable_rank"] = Measure(stable, stable * (2 * float(e[0] / s[0]) + ROUNDING), basis)
    energy, slack = share.cumsum(), spread.cumsum()
    for name, count in (("1", 1), ("10", 10), ("k", k)):
        if count <= len(s):
            value = min(float(energy[count - 1]), 1.0)
            error = min(float(slack[count - 1]) + ROUNDING * value, 1.0)
            measures[f"concentration_{name}"] = Measure(value, error, basis)
    return measures | _energy_ranks(energy, slack, basis)


def _energy_ranks(energy: Array, slack: Array, basis: Basis) -> Measures:
    """Return the least k whose cumulative energies (k,) reach each share that is reached.

    The error covers the least k of all energies within `slack` (k,).
    """
    certain = np.maximum.accumulate(energy - slack)
    places = (x.searchsorted(_TARGETS).tolist() for x in (energy, energy + slack, certain))
    return {
        f"energy_rank_{name}": Measure(float(k + 1), float(max(k - least, most - k)), basis)
        for name, k, least, most in zip(ENERGY_SHARES, *places, strict=True)
        if k < len(energy)
    }


def _ranks(s: Array, e: Array) -> Measures:
    """Compute the ranks that need every value; s and e are relative to sigma_1."""
    x, d, p = s**2, e * (2 * s + e), len(s)
    total, energy, fourth = float(s.sum()), float(x.sum()), float((x**2).sum())
    nuclear_slope = np.abs(1 / total - s / energy)
    ratio_slope = np.abs(1 / energy - x / fourth)

    def rank(value: float, error: float) -> Measure:
        return Measure(value, min(error, p - 1.0), "spectrum")  # ranks are between 1 and p

    of_values, of_energies = ranks.entropy_rank(s), ranks.entropy_rank(x)
    nuclear, ratio = total**2 / energy, energy**2 / fourth
    effective = rank(of_values, ranks.entropy_rank_error(of_values, s, e))
    return {
        "effective_rank": effective,
        "effective_rank_energy": rank(of_energies, ranks.entropy_rank_error(of_energies, x, d)),
        **_spectral_entropy(effective, p),
        "participation_ratio": rank(ratio, 2 * ratio * float((ratio_slope * d).sum())),
        "nuclear_rank": rank(nuclear, 2 * nuclear * float((nuclear_slope * e).sum())),
    }


def _spectral_entropy(rank: Measure, p: int) -> Measures:
    if p == 1:
        return {}
    value = math.log(max(rank.value, 1.0)) / math.log(p)
    return {"spectral_entropy": Measure(value, rank.error / rank.value / math.log(p), rank.basis)}


def _certain_rank(density: Density) -> Measure | None:
    """Return the numerical rank if neither rounding nor the remaining energy can change it."""
    rule = density.quadrature
    values = rule.converged
    if density.fro_norm == 0:
        return Measure(0.0, 0.0, "density")
    if len(values) == 0 or rule.distance.frobenius > 0:
        return None
    cut = ranks.RANK_RTOL**2 * float(values[0])
    # The error of a node is at most the resolution; twice that if it was set to 0.
    doubtful = bool(np.any(np.abs(values - cut) <= 2.0 * rule.resolution))
    left = abs(density.fro_norm**2 - float(values.sum())) + len(values) * rule.resolution
    if doubtful or not (density.exact or left <= cut):
        return None
    return Measure(float(np.sum(values > cut)), 0.0, "density")
