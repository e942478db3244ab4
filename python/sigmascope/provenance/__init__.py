# SPDX-License-Identifier: BSD-3-Clause
"""Provenance: what weights alone show about the origin of a checkpoint."""

from __future__ import annotations

from .lineage import (
    Fingerprint,
    LayerLink,
    LayerOutcome,
    Lineage,
    Lineages,
    Match,
    Outcome,
    fingerprint,
    lineage,
)

__all__ = [
    "Fingerprint",
    "LayerLink",
    "LayerOutcome",
    "Lineage",
    "Lineages",
    "Match",
    "Outcome",
    "fingerprint",
    "lineage",
]
