# SPDX-License-Identifier: BSD-3-Clause
"""The glossary entries of measures of one matrix; docs/measures.md has formulas and pitfalls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """The glossary entry of one measure.

    Attributes
    ----------
    label
        Name in words.
    meaning
        One sentence for a reader who does not know the measure.
    group
        Heading under which the measure is listed.
    unit
        "σ" (scales with the matrix), "λ" (with its square), or "" (does not scale).
    log
        True if values span decades and are drawn on a logarithmic axis.
    rank
        True if it counts directions, so that fractions of the full rank compare different shapes.
    signed
        True if it is a change, so that its colour scale is centred at zero.
    """

    label: str
    meaning: str
    group: str
    unit: str = ""
    log: bool = False
    rank: bool = False
    signed: bool = False


_RANKS, _NORMS, _SHARES = "Ranks", "Norms", "Concentration"
_NOISE, _TAIL = "Signal and noise", "Power law"

MEASURES: dict[str, Entry] = {
    "effective_rank": Entry(
        "effective rank",
        "How many directions carry the matrix: the exponential of the entropy of its singular "
        "values. Noise counts too.",
        _RANKS,
        rank=True,
    ),
    "stable_rank": Entry(
        "stable rank",
        "Energy of the whole matrix divided by the energy of its strongest direction; 1 if "
        "there is only one direction.",
        _RANKS,
        rank=True,
    ),
    "effective_rank_above_edge": Entry(
        "effective rank above the noise edge",
        "The effective rank of only the singular values above the noise edge: noise does not "
        "count.",
        _RANKS,
        rank=True,
    ),
    "effective_rank_energy": Entry(
        "effective rank of the energy",
        "The effective rank with squared singular values: strong directions weigh more.",
        _RANKS,
        rank=True,
    ),
    "spectral_entropy": Entry(
        "spectral entropy",
        "Logarithm of the effective rank divided by the logarithm of the full rank: 1 if all "
        "directions are equally strong, 0 if there is only one.",
        _RANKS,
    ),
    "participation_ratio": Entry(
        "participation ratio",
        "(Sum of squared singular values)² over the sum of their fourth powers: a rank that the "
        "strongest directions dominate.",
        _RANKS,
        rank=True,
    ),
    "nuclear_rank": Entry(
        "nuclear rank",
        "(Sum of the singular values)² over the sum of their squares: a rank between the "
        "effective and the full one.",
        _RANKS,
        rank=True,
    ),
    "numerical_rank": Entry(
        "numerical rank",
        "How many singular values exceed both a millionth of the largest one and the floor of "
        "the method.",
        _RANKS,
        rank=True,
    ),
    "energy_rank_50": Entry(
        "rank of 50 % energy", "How many directions hold half of the energy.", _RANKS, rank=True
    ),
    "energy_rank_90": Entry(
        "rank of 90 % energy", "How many directions hold 90 % of the energy.", _RANKS, rank=True
    ),
    "energy_rank_95": Entry(
        "rank of 95 % energy", "How many directions hold 95 % of the energy.", _RANKS, rank=True
    ),
    "energy_rank_99": Entry(
        "rank of 99 % energy", "How many directions hold 99 % of the energy.", _RANKS, rank=True
    ),
    "fro_norm": Entry(
        "Frobenius norm",
        "Square root of the sum of all squared entries: the size of the matrix.",
        _NORMS,
        unit="σ",
        log=True,
    ),
    "spectral_norm": Entry(
        "largest singular value σ₁",
        "The most by which the matrix stretches a vector: the strength of its strongest direction.",
        _NORMS,
        unit="σ",
        log=True,
    ),
    "abs_max": Entry(
        "largest entry", "The largest magnitude of an entry.", _NORMS, unit="σ", log=True
    ),
    "nuclear_norm": Entry(
        "nuclear norm", "Sum of all singular values.", _NORMS, unit="σ", log=True
    ),
    "condition": Entry(
        "condition number",
        "Largest singular value divided by the smallest: how unevenly the matrix stretches.",
        _NORMS,
        log=True,
    ),
    "concentration_1": Entry(
        "energy in the first direction",
        "Share of the energy in the strongest direction.",
        _SHARES,
    ),
    "concentration_10": Entry(
        "energy in ten directions", "Share of the energy in the ten strongest directions.", _SHARES
    ),
    "concentration_k": Entry(
        "energy in k directions",
        "Share of the energy in the k strongest directions; k is the requested number.",
        _SHARES,
    ),
    "mp_edge": Entry(
        "noise edge",
        "Upper end of the singular values of homogeneous noise with the same median "
        "(Marchenko-Pastur).",
        _NOISE,
        unit="σ",
        log=True,
    ),
    "mp_outliers": Entry(
        "values above the noise edge",
        "How many singular values exceed the noise edge. The count minus its error is more than "
        "noise. It is absent where the bulk does not look like noise.",
        _NOISE,
        rank=True,
    ),
    "mp_lower_outliers": Entry(
        "values below the noise edge",
        "How many singular values are smaller than those of noise with the same median: "
        "directions that the matrix suppresses.",
        _NOISE,
        rank=True,
    ),
    "mp_softrank": Entry(
        "noise edge over σ₁, squared",
        "Near 1: everything is noise. Near 0: the strongest direction stands far above the noise.",
        _NOISE,
        log=True,
    ),
    "shoulder_200": Entry(
        "values above 2 × the median",
        "How many singular values exceed twice their median.",
        _NOISE,
        rank=True,
    ),
    "shoulder_286": Entry(
        "values above 2.86 × the median",
        "How many singular values exceed 2.86 times their median.",
        _NOISE,
        rank=True,
    ),
    "shoulder_400": Entry(
        "values above 4 × the median",
        "How many singular values exceed four times their median.",
        _NOISE,
        rank=True,
    ),
    "randomized_distance": Entry(
        "distance to the shuffled matrix",
        "Distance between the spectrum and that of the matrix with shuffled entries.",
        _NOISE,
        unit="σ",
        log=True,
    ),
    "correlation_traps": Entry(
        "values above the noise edge, shuffled",
        "How many singular values exceed the noise edge after the entries are shuffled: single "
        "large entries cause them, not structure.",
        _NOISE,
        rank=True,
    ),
    "alpha": Entry(
        "power-law exponent α",
        "Exponent of a power law fitted to the upper tail. It may have several good fits: see its "
        "stability range.",
        _TAIL,
    ),
    "alpha_low": Entry(
        "α, lower end of its stability range",
        "The smallest exponent that fits almost as well as the best.",
        _TAIL,
    ),
    "alpha_high": Entry(
        "α, upper end of its stability range",
        "The largest exponent that fits almost as well as the best.",
        _TAIL,
    ),
    "alpha_D": Entry(
        "misfit of the power law",
        "Largest distance between the tail and its fit (Kolmogorov-Smirnov); 0 is perfect.",
        _TAIL,
    ),
    "alpha_x_min": Entry(
        "beginning of the tail",
        "The squared singular value at which the fitted tail begins.",
        _TAIL,
        unit="λ",
        log=True,
    ),
    "alpha_tail": Entry(
        "values in the tail", "How many values the power law was fitted to.", _TAIL, rank=True
    ),
    "alpha_weighted": Entry(
        "α, weighted by scale", "α times the logarithm of the largest λ = σ₁².", _TAIL
    ),
    "log_alpha_norm": Entry("log α-norm", "Logarithm of the sum of all λ to the power α.", _TAIL),
    "alpha_hill": Entry(
        "α by Hill",
        "Hill's estimate over the upper half of the values; compare only matrices of the same "
        "shape.",
        _TAIL,
    ),
    "alpha_farms": Entry(
        "α at a fixed aspect ratio",
        "Hill's estimate over sub-matrices of one aspect ratio, which makes different shapes "
        "comparable (FARMS).",
        _TAIL,
    ),
}
