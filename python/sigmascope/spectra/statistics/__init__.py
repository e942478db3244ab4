# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of spectra: every measure as a function of singular values, and all of them at once.

``ranks``: norms, ranks, concentrations; ``marchenko_pastur``: the edge of even noise;
``noise_edge``: what noise of the observed bulk reaches; ``bulk``: outliers above the bulk;
``power_law``: alpha; ``wasserstein``: distances between spectra; ``measures``: a dictionary of all
measures with their errors. NumPy only; no files.
"""

from __future__ import annotations

from .bulk import correlation_traps, notes_on_bulk
from .marchenko_pastur import marchenko_pastur_median, mp_edge, noise_scale, tracy_widom_width
from .measures import (
    MatrixNorms,
    measures_from_density,
    measures_from_top,
    measures_from_values,
)
from .noise_edge import Extremes
from .power_law import (
    PowerLawFit,
    alpha_farms,
    alpha_hill,
    alpha_weighted,
    fit_power_law,
    log_alpha_norm,
)
from .ranks import (
    concentration,
    condition,
    effective_rank,
    effective_rank_energy,
    energy_rank,
    fro_norm,
    nuclear_norm,
    nuclear_rank,
    numerical_rank,
    participation_ratio,
    spectral_entropy,
    spectral_norm,
    stable_rank,
)
from .wasserstein import randomized_distance, wasserstein

__all__ = [
    "Extremes",
    "MatrixNorms",
    "PowerLawFit",
    "alpha_farms",
    "alpha_hill",
    "alpha_weighted",
    "concentration",
    "condition",
    "correlation_traps",
    "effective_rank",
    "effective_rank_energy",
    "energy_rank",
    "fit_power_law",
    "fro_norm",
    "log_alpha_norm",
    "marchenko_pastur_median",
    "measures_from_density",
    "measures_from_top",
    "measures_from_values",
    "mp_edge",
    "noise_scale",
    "notes_on_bulk",
    "nuclear_norm",
    "nuclear_rank",
    "numerical_rank",
    "participation_ratio",
    "randomized_distance",
    "spectral_entropy",
    "spectral_norm",
    "stable_rank",
    "tracy_widom_width",
    "wasserstein",
]
