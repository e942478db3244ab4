# SPDX-License-Identifier: BSD-3-Clause
"""Lineage: were checkpoints trained independently? Exact tests by permutations in small blocks."""

from __future__ import annotations

from .compute import group_by_lineage, lineage
from .fingerprints import Fingerprint
from .opening import fingerprint
from .outcomes import BLIND, MEANINGS, LayerLink, LayerOutcome, Match, Outcome
from .result import Lineage, Lineages

__all__ = [
    "BLIND",
    "MEANINGS",
    "Fingerprint",
    "LayerLink",
    "LayerOutcome",
    "Lineage",
    "Lineages",
    "Match",
    "Outcome",
    "fingerprint",
    "group_by_lineage",
    "lineage",
]
