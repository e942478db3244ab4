# SPDX-License-Identifier: BSD-3-Clause
"""Names of measures that several tests tell apart."""

from __future__ import annotations

EDGE_MEASURES = (
    "mp_edge",
    "mp_outliers",
    "mp_softrank",
    "effective_rank_above_edge",
    "mp_lower_outliers",
)
"""Measures that need a bulk of noise."""

REQUESTED = ("alpha_farms", "randomized_distance", "correlation_traps")
"""Measures that are made on request, in the order of results."""
